"""A policy that filters the state step by step sees what a rollout over the window sees."""

import numpy as np
import pytest
import torch

from lawm_models.networks.dynamics import State
from lawm_models.networks.encoders._protocol import Observation
from lawm_models.networks.policies import FilteringPolicy, noisy
from lawm_models.networks.rssm import RSSMConfig
from lawm_models.networks.scaling import ActionScale
from lawm_models.networks.world_model import WorldModel, WorldModelConfig

STEPS, N, A = 5, 3, 2


@pytest.fixture
def world(randomize, spec):
    torch.manual_seed(0)
    config = WorldModelConfig(
        rssm=RSSMConfig(deter=5, stoch=4, hidden=6), embed=4, units=6, layers=1
    )
    world = WorldModel(config, spec.observations, A).double()
    randomize(world)
    return world


@pytest.fixture
def scale():
    return ActionScale((-1.0, -0.3), (1.0, 0.7)).double()


@pytest.fixture
def observations():
    return np.random.default_rng(0).normal(size=(STEPS, N, 3)).astype(np.float32)


def wave(state, _):
    """Some action that depends on the state."""
    return torch.tanh(state.feature[:, :A] + state.stoch[:, :A])


def test_same_states_as_a_rollout(world, scale, observations):
    """With zero noise and the same actions, s_t is that of ``RSSM.observe``."""
    states = []

    def choose(state, generator):
        states.append(state)
        return wave(state, generator)

    policy = FilteringPolicy(world, scale, choose)
    policy.start(N, 0)
    actions = torch.stack(
        [scale.to_model(torch.from_numpy(policy.act(o))) for o in observations], 1
    )
    embed = world.encoder(Observation(torch.from_numpy(observations).double().transpose(0, 1)))
    noise = torch.zeros(N, STEPS, 4).double()
    observed = world.rssm.observe(embed, lambda t, _: actions[:, t], noise)
    assert len(states) == STEPS
    for t, state in enumerate(states):
        torch.testing.assert_close(state.deter, observed.state.deter[:, t])
        torch.testing.assert_close(state.stoch, observed.state.stoch[:, t])
    assert not any(state.deter.requires_grad for state in states)


def test_acts_in_environment_units(world, scale, observations):
    policy = FilteringPolicy(world, scale, lambda state, _: torch.ones(len(state.deter), A))
    policy.start(N, 0)
    assert policy.act(observations[0]).tolist() == pytest.approx(np.array([[1.0, 0.7]] * N))


def test_start_forgets(world, scale, observations):
    policy = FilteringPolicy(world, scale, wave)
    policy.start(N, 0)
    first = [policy.act(o) for o in observations]
    policy.start(N, 0)
    np.testing.assert_array_equal([policy.act(o) for o in observations], first)
    assert not np.array_equal(policy.act(observations[0]), first[0])  # it does remember


def test_environments_do_not_mix(world, scale, observations):
    policy = FilteringPolicy(world, scale, wave)
    policy.start(N, 0)
    together = [policy.act(o) for o in observations]
    for n in range(N):
        policy.start(1, 0)
        alone = [policy.act(o[n : n + 1])[0] for o in observations]
        np.testing.assert_allclose(alone, [a[n] for a in together], rtol=1e-9)


def test_noise_comes_from_the_seed(world, scale, observations):
    policy = FilteringPolicy(world, scale, noisy(lambda _, noise: torch.tanh(noise), A))

    def act(seed):
        policy.start(N, seed)
        return np.stack([policy.act(o) for o in observations])

    np.testing.assert_array_equal(act(3), act(3))
    assert not np.array_equal(act(3), act(4))
    assert len(np.unique(act(3)[..., 0])) == STEPS * N


@pytest.mark.parametrize("outside", [0.3, 1.7])
def test_what_was_done_is_remembered(world, observations, outside):
    """Not what the policy would have liked: discrete actions are rounded, others kept in bounds."""
    scale = ActionScale((0.0, 0.0), (1.0, 2.0), whole=True).double()
    policy = FilteringPolicy(world, scale, lambda state, _: outside * wave(state, _))
    policy.start(N, 0)
    done = [torch.from_numpy(policy.act(o)) for o in observations]
    assert all(torch.equal(action, action.round()) for action in done)
    assert len({tuple(action.flatten().tolist()) for action in done}) > 1
    embed = world.encoder(Observation(torch.from_numpy(observations).double().transpose(0, 1)))
    actions = torch.stack([scale.to_model(action) for action in done], 1)
    noise = torch.zeros(N, STEPS, 4).double()
    observed = world.rssm.observe(embed, lambda t, _: actions[:, t], noise)
    torch.testing.assert_close(
        policy._memory,
        world.rssm.transition(State(*(x[:, -1] for x in observed.state)), actions[:, -1]),
    )
