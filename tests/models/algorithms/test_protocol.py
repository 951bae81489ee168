"""What must and must not matter to an algorithm, for every algorithm there is."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from lawm_schemas import Schema

from lawm_models.algorithms import ALGORITHMS

NAMES = ALGORITHMS.names()
ACTING = [name for name in NAMES if hasattr(ALGORITHMS.load(name).Algorithm, "policy")]
"""Those that learn a policy, from actions."""
READING = [name for name in NAMES if name != "autoencoder"]
"""Those that read actions where there are any."""


def tiny(config: Schema) -> Schema:
    """The same settings with every size cut to 8, however deeply nested."""
    changes = {}
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, Schema):
            changes[name] = tiny(value)
        elif isinstance(value, int) and value > 8:
            changes[name] = 8
    return config.model_copy(update=changes)


@pytest.fixture
def build(spec):
    def make(name, seed=0):
        torch.manual_seed(seed)
        module = ALGORITHMS.load(name)
        return module.Algorithm(tiny(module.Config()), spec)

    return make


def train(algorithm, batch, updates=2, seed=1):
    """A few updates of every stage; the metrics of the last one, by stage."""
    generator, metrics = torch.Generator().manual_seed(seed), {}
    for stage in algorithm.stages:
        algorithm.begin(stage)
        for _ in range(updates):
            metrics[stage] = algorithm.update(stage, batch, generator)
    return metrics


def weights(algorithm):
    return {name: value.clone() for name, value in algorithm.state_dict().items()}


def assert_same(a, b):
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_numbers(build, make_batch, name):
    runs = [build(name) for _ in range(2)]
    metrics = [train(algorithm, make_batch()) for algorithm in runs]
    assert metrics[0] == metrics[1]
    assert_same(*map(weights, runs))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("garbage", [-1e30, 3e38, float("inf"), float("nan")])
def test_hidden_actions_do_not_matter(build, make_batch, name, garbage):
    """The poison test: what stands where the mask is False changes no bit of training."""
    batch = make_batch("mixed", padded=True)
    with_garbage = replace(
        batch, action=torch.where(batch.action_mask[..., None], batch.action, garbage)
    )
    clean, other = build(name), build(name)
    assert train(clean, batch) == train(other, with_garbage)
    assert_same(weights(clean), weights(other))


@pytest.mark.parametrize("name", READING)
def test_observed_actions_matter(build, make_batch, name):
    """Or the poison test would show nothing."""
    batch = make_batch("mixed")
    changed = replace(batch, action=batch.action * 0.5)
    clean, other = build(name), build(name)
    assert train(clean, batch) != train(other, changed)


@pytest.mark.parametrize("name", NAMES)
def test_rewards_that_were_not_recorded_do_not_matter(build, make_batch, name):
    """Whatever stands there; where they were recorded they do, but to behaviour cloning."""
    batch = make_batch("mixed")
    batch = replace(batch, rewarded=torch.tensor([True, True, False, False]))
    unknown = ~batch.rewarded[:, None]
    garbage = replace(batch, reward=torch.where(unknown, 7.0, batch.reward))
    other = replace(batch, reward=torch.where(unknown, batch.reward, 7.0))
    runs = [build(name) for _ in range(3)]
    metrics = [train(run, b) for run, b in zip(runs, (batch, garbage, other), strict=True)]
    assert metrics[0] == metrics[1]
    assert_same(weights(runs[0]), weights(runs[1]))
    assert (metrics[0] == metrics[2]) == (ALGORITHMS.load(name).Algorithm.rewards_from == "none")


@pytest.mark.parametrize("name", NAMES)
def test_padding_does_not_matter(build, make_batch, name):
    batch = make_batch("mixed", padded=True)
    padding = ~batch.valid
    observation = batch.observation.clone()
    observation[:, 1:][padding] = 5.0
    changed = replace(
        batch,
        observation=observation,
        action=torch.where(padding[..., None], 0.6, batch.action),
        reward=torch.where(padding, -3.0, batch.reward),
    )
    clean, other = build(name), build(name)
    assert train(clean, batch) == train(other, changed)
    assert_same(weights(clean), weights(other))


@pytest.mark.parametrize("name", NAMES)
def test_state_survives_in_any_stage(build, make_batch, name):
    """Weights, optimisers and generator are all there is; they come back after ``begin``."""
    batch = make_batch()
    for count, stage in enumerate(ALGORITHMS.load(name).Algorithm.stages):
        one, generator = build(name), torch.Generator().manual_seed(2)
        for earlier in one.stages[: count + 1]:
            one.begin(earlier)
            one.update(earlier, batch, generator)
        saved = copy.deepcopy(
            (one.state_dict(), {k: o.state_dict() for k, o in one.optimizers().items()})
        )
        state = generator.get_state()
        expected = [one.update(stage, batch, generator) for _ in range(2)]

        two = build(name, seed=9)
        two.begin(stage)
        two.load_state_dict(saved[0])
        for key, optimizer in two.optimizers().items():
            optimizer.load_state_dict(saved[1][key])
        generator = torch.Generator()
        generator.set_state(state)
        assert [two.update(stage, batch, generator) for _ in range(2)] == expected
        assert_same(weights(one), weights(two))


@pytest.mark.parametrize("name", ACTING)
@pytest.mark.parametrize("deterministic", [True, False])
def test_policy_acts_within_bounds(build, make_batch, spec, name, deterministic):
    algorithm = build(name)
    train(algorithm, make_batch())
    policy = algorithm.policy(deterministic)
    observation = np.random.default_rng(0).normal(size=(6, 4, 3)).astype(np.float32)

    def acts(seed):
        policy.start(4, seed)
        return np.stack([policy.act(o) for o in observation])

    actions = acts(0)
    assert (actions.shape, actions.dtype) == ((6, 4, 2), np.float32)
    assert (actions >= np.float32(spec.action.low)).all()
    assert (actions <= np.float32(spec.action.high)).all()
    np.testing.assert_array_equal(acts(0), actions)  # start forgets everything
    assert np.array_equal(acts(1), actions) == deterministic


@pytest.mark.parametrize("name", ACTING)
def test_policy_sees_later_updates(build, make_batch, name):
    """A policy made before an update is the policy of the weights, not of a copy."""
    algorithm, observation = build(name), np.ones((1, 3), np.float32)
    policy = algorithm.policy()
    before = policy.act(observation)
    train(algorithm, make_batch("all"), updates=3)
    policy.start(1, 0)
    assert not np.array_equal(policy.act(observation), before)


@pytest.mark.parametrize("name", NAMES)
def test_inferred_actions_come_from_observations(build, make_batch, spec, name):
    algorithm, batch = build(name), make_batch("mixed", padded=True)
    train(algorithm, batch)
    before = weights(algorithm)
    inferred = algorithm.infer_actions(batch)
    # these have no density of what was done, and say so
    if name in ("acwm", "autoencoder", "clap", "iql", "rebrac", "td3_bc"):
        assert inferred is None
        return
    mean, std = inferred
    assert mean.shape == std.shape == batch.action.shape
    assert (std > 0).all()
    assert (mean >= torch.tensor(spec.action.low)).all()
    assert (mean <= torch.tensor(spec.action.high)).all()
    assert not mean.requires_grad
    blind = replace(
        batch,
        action=torch.full_like(batch.action, float("nan")),
        action_mask=~batch.action_mask,
        labeled=~batch.labeled,
    )
    for a, b in zip(inferred, algorithm.infer_actions(blind), strict=True):
        assert torch.equal(a, b)
    assert_same(before, weights(algorithm))
