"""IQL against a slow evaluation in float64, in NumPy; gradients are central differences."""

import numpy as np
import pytest
import torch
from numpy_steps import (
    ACTION,
    OBSERVATION,
    flat,
    make_noise,
    make_transitions,
    mean,
    network,
    twin_values,
)

from lawm_models.networks.offline.iql import IQL, IQLConfig
from lawm_models.networks.offline.transitions import Transitions

UNITS = 4
POLICY = (OBSERVATION, UNITS, UNITS, ACTION)
VALUE = (OBSERVATION, UNITS, UNITS, 1)
CRITIC = (OBSERVATION + ACTION, UNITS, UNITS, 1)


@pytest.fixture
def build(randomize):
    def make(**settings):
        torch.manual_seed(0)
        config = {"units": UNITS, "discount": 0.9, "target_rate": 0.1, **settings}
        agent = IQL(IQLConfig(**config), OBSERVATION, ACTION).double()
        randomize(agent)
        return agent

    return make


class Reference:
    """Kostrikov et al. (2022), on vectors of weights, of one moment."""

    def __init__(self, agent, transitions):
        self.config, self.scale = agent.config, agent.reward_scale.item()
        self.t = Transitions(*(part.numpy() for part in transitions))
        self.actor, self.value, self.critics = map(flat, (agent.actor, agent.value, agent.critics))
        self.targets = flat(agent.target_critics)
        if agent.log_std is not None:
            self.actor = np.concatenate((self.actor, agent.log_std.detach().numpy()))

    def advantage(self, value):
        best = np.minimum(*twin_values(self.targets, CRITIC, self.t.observation, self.t.action))
        return best - network(value, VALUE, self.t.observation)[:, 0]

    def value_loss(self, value):
        u = self.advantage(value)
        tau = self.config.expectile
        return mean(np.where(u < 0, 1 - tau, tau) * u**2)

    def actor_loss(self, actor):
        importance = np.minimum(np.exp(self.config.temperature * self.advantage(self.value)), 100)
        if self.config.policy == "deterministic":
            error = np.tanh(network(actor, POLICY, self.t.observation)) - self.t.action
            return mean(importance * (error**2).sum(1))
        error = np.tanh(network(actor[:-ACTION], POLICY, self.t.observation)) - self.t.action
        std = np.exp(np.clip(actor[-ACTION:], -5, 2))
        log_density = -0.5 * (error / std) ** 2 - np.log(std) - 0.5 * np.log(2 * np.pi)
        return mean(-importance * log_density.sum(1))

    def critic_loss(self, critics):
        future = network(self.value, VALUE, self.t.next_observation)[:, 0]
        target = self.scale * self.t.reward
        target = target + self.config.discount * (1 - self.t.terminated) * future
        values = twin_values(critics, CRITIC, self.t.observation, self.t.action)
        return sum(mean((q - target) ** 2) for q in values)


@pytest.mark.parametrize("policy", ["gaussian", "deterministic"])
def test_updates(build, policy, numpy_adam, numpy_gradient):
    """Losses, and weights after each of two updates, every part of which sees the one before."""
    agent, transitions = (
        build(policy=policy, temperature=2.0, learning_rate=1e-2),
        make_transitions(),
    )
    agent.fit(np.array([0.0, 400.0, 200.0]))
    reference = Reference(agent, transitions)
    assert reference.scale == 2.5
    adams = {name: numpy_adam(1e-2, 1e-8) for name in ("value", "actor", "critics")}
    names = {"value": "expectile", "actor": "actor", "critics": "critic"}
    for _ in range(2):
        metrics = agent.update(transitions, make_noise(1)[0])
        for name, adam in adams.items():
            loss = getattr(reference, f"{name.removesuffix('s')}_loss")
            before = getattr(reference, name)
            assert metrics[names[name]].item() == pytest.approx(loss(before), rel=1e-6)
            setattr(reference, name, adam.step(before, numpy_gradient(loss, before)))
        reference.targets = 0.9 * reference.targets + 0.1 * reference.critics
        now = Reference(agent, transitions)
        for name in ("value", "actor", "critics", "targets"):
            actual, expected = getattr(now, name), getattr(reference, name)
            np.testing.assert_allclose(actual, expected, atol=1e-6, err_msg=name)


def test_the_weight_of_a_step_has_a_bound(build):
    """However much better an action is, it is cloned a hundred times at most."""
    agent, t = build(temperature=50.0), make_transitions()
    reference = Reference(agent, t)
    assert (50 * reference.advantage(reference.value)).max() > np.log(100)
    loss = agent.actor_loss(t).item()
    assert loss == pytest.approx(reference.actor_loss(reference.actor), rel=1e-12)


def test_without_temperature_it_clones(build):
    agent, t = build(temperature=0.0, policy="deterministic"), make_transitions()
    error = (agent.actor(t.observation) - t.action).square().sum(-1).detach().numpy()
    assert agent.actor_loss(t).item() == pytest.approx(mean(error))


@pytest.mark.parametrize(("policy", "moves"), [("gaussian", True), ("deterministic", False)])
def test_only_a_gaussian_policy_has_noise(build, policy, moves):
    agent, embed = build(policy=policy), make_transitions().observation
    silent, noisy = (agent.act(embed, x) for x in (torch.zeros(5, 2), torch.ones(5, 2)))
    torch.testing.assert_close(silent, agent.actor(embed))
    assert torch.equal(silent, noisy) != moves
    assert noisy.abs().max() <= 1


@pytest.mark.parametrize(("log_std", "bound"), [(-9.0, -5.0), (-4.0, -4.0), (9.0, 2.0)])
def test_the_width_of_a_policy_has_bounds(build, log_std, bound):
    agent, t = build(), make_transitions()
    agent.log_std.data.fill_(log_std)
    reference = Reference(agent, t)
    loss = agent.actor_loss(t).item()
    assert loss == pytest.approx(reference.actor_loss(reference.actor), rel=1e-9)
    agent.log_std.data.fill_(bound)
    assert loss == agent.actor_loss(t).item()


@pytest.mark.parametrize(
    ("returns", "settings", "scale"),
    [
        ([3.0, 13.0], {}, 100),
        ([-0.03, 0.07], {}, 10_000),
        ([3.0, 13.0], {"normalize_returns": False}, 1),
        ([5.0], {}, 1),
        ([], {}, 1),
        ([0.0, 0.0], {}, 1),
        ([0.3, 0.1 + 0.2], {}, 1),
    ],
)
def test_returns_decide_the_scale_of_rewards(build, returns, settings, scale):
    agent = build(**settings)
    agent.fit(np.array(returns))
    assert agent.reward_scale.item() == pytest.approx(scale, rel=1e-6)


def test_units_of_rewards_do_not_matter(build):
    t, losses = make_transitions(), []
    for unit in (1.0, 100.0):
        agent = build()
        agent.fit(unit * np.array([-4.0, 7.0, 1.0]))
        losses.append(agent.critic_loss(t._replace(reward=unit * t.reward)).item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
