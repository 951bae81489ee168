"""Behaviour cloning: learns what it is shown, and nothing from what it is not."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lawm_data.batches.loader import Loader
from lawm_models.algorithms.bc import Algorithm, Config
from lawm_models.networks.encoders._protocol import Observation


@pytest.fixture
def clone(spec):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Algorithm(Config(units=16, layers=2), spec)


def parameters(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("garbage", [7.0, -1e30, torch.inf, torch.nan])
def test_hidden_actions_cannot_matter(clone, make_batch, garbage):
    batch = make_batch("mixed", padded=True)
    start, optimizers = parameters(clone), [o.state_dict() for o in clone.optimizers().values()]
    results = []
    for action in (batch.action, batch.action.masked_fill(~batch.action_mask[..., None], garbage)):
        clone.load_state_dict(start)
        for optimizer, state in zip(clone.optimizers().values(), optimizers, strict=True):
            optimizer.load_state_dict(state)
        metrics = clone.update("agent", replace(batch, action=action), torch.Generator())
        results.append({**parameters(clone), **metrics})
    assert equal(*results)
    assert not equal(results[0], start)


def test_padding_cannot_matter(clone, make_batch):
    batch = make_batch("all", padded=True)
    other = batch.observation.clone()
    other[:, :-1][~batch.valid] = 3.0
    assert clone.losses(batch) == clone.losses(replace(batch, observation=other))


def test_losses_against_a_slow_evaluation(clone, spec, make_batch):
    batch = make_batch("mixed", padded=True)
    errors, nlls = [], []
    low, high = np.array(spec.action.low), np.array(spec.action.high)
    for b, t in np.argwhere((batch.action_mask & batch.valid).numpy()):
        density = clone(Observation(batch.observation[b, t]))
        target = 2 * (batch.action[b, t].double().numpy() - low) / (high - low) - 1
        mean, std = (x.detach().double().numpy() for x in density)
        errors.extend((mean - target) ** 2)
        nlls.extend(0.5 * ((mean - target) / std) ** 2 + np.log(std) + 0.5 * np.log(2 * np.pi))
    losses = clone.losses(batch)
    assert losses.action.item() == pytest.approx(np.mean(errors), rel=1e-5)
    assert losses.std.item() == pytest.approx(np.mean(nlls), rel=1e-5)


def test_batch_without_labels_changes_nothing(clone, make_batch):
    before = parameters(clone)
    metrics = clone.update("agent", make_batch("none"), torch.Generator())
    assert metrics["action"] == metrics["std"] == 0
    assert equal(parameters(clone), before)


def test_uncertainty_does_not_touch_the_mean(clone, make_batch):
    clone.losses(make_batch("all")).std.backward()
    assert all(p.grad is None for p in clone.mean.parameters())
    assert all(p.grad is not None for p in clone.std.parameters())


def test_learns_the_policy_of_the_corpus(random_view, spec):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        clone = Algorithm(Config(units=32, layers=1, learning_rate=3e-3), spec)
    loader = Loader(random_view, batch_size=8, window=8, labeled_ratio=1.0, seed=0)
    for _ in range(200):
        clone.update("agent", loader.next(), torch.Generator())
    batch = loader.next()
    mean, std = clone.infer_actions(batch)
    error = (mean - batch.action).square().mean((0, 1))
    assert (error < 0.1 * batch.action.var((0, 1))).all()
    assert (std > 0).all()
    policy = clone.policy()
    policy.start(8, 0)
    action = policy.act(batch.observation[:, 3].numpy())
    assert np.allclose(action, mean[:, 3], atol=1e-5)


def test_policy_keeps_the_bounds_and_its_seed(clone, spec):
    observation = 100 * np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    policy = clone.policy(deterministic=False)
    policy.start(50, 1)
    first, second = policy.act(observation), policy.act(observation)
    policy.start(50, 1)
    assert np.array_equal(policy.act(observation), first)
    assert not np.array_equal(first, second)
    assert first.dtype == np.float32
    assert (first >= np.float32(spec.action.low) - 1e-6).all()
    assert (first <= np.float32(spec.action.high) + 1e-6).all()
    policy.start(50, 2)
    assert not np.array_equal(policy.act(observation), first)
