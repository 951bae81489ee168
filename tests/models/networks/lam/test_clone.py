"""A policy cloned from actions that foresees latent ones."""

import math

import numpy as np
import pytest
import torch

from lawm_models.networks.encoders._protocol import Observation
from lawm_models.networks.lam.clone import Clone, CloneConfig, ClonePolicy
from lawm_models.networks.lam.transition_model import TransitionConfig, TransitionModel
from lawm_models.networks.scaling import ActionScale

ROWS, STATE, LATENT, ACTION = 12, 6, 3, 2


@pytest.fixture
def make(randomize):
    def build(state_dim: int = STATE, action_dim: int = ACTION, **config) -> Clone:
        clone = Clone(CloneConfig(units=8, layers=1, **config), state_dim, LATENT, action_dim)
        randomize(clone)
        return clone.double()

    return build


def rows(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def data(weight: list[int], labeled: list[int]) -> tuple[torch.Tensor, ...]:
    state, latent, action = rows(ROWS, 2, STATE // 2), rows(ROWS, LATENT), rows(ROWS, ACTION)
    marks = (torch.tensor(mark * (ROWS // len(mark))).double() for mark in (weight, labeled))
    return state, latent, action.tanh(), *marks


def test_its_losses_against_a_slow_evaluation(make) -> None:
    clone = make(foresight=0.3)
    state, latent, action, weight, labeled = data([1, 1, 0], [1, 0, 0])
    latent = latent * 5
    loss, metrics = clone.losses(state, latent, action, weight, labeled)
    seen = weight.bool()
    variance = latent[seen].var(0, correction=0).mean()
    cloned, nll, missed = [], [], []
    for row in range(ROWS):
        density, foreseen = clone(state[row])
        if labeled[row]:
            error = density.mean - action[row]
            cloned.append(error.square().mean())
            each = (error / density.std).square() / 2 + (
                2 * math.pi * density.std.square()
            ).log() / 2
            nll.append(each.mean())
        if weight[row]:
            distance = (foreseen - latent[row]) / variance.sqrt()
            missed.append((distance.square() + distance.abs()).mean())
    expected = [torch.stack(terms).mean() for terms in (cloned, nll, missed)]
    torch.testing.assert_close(loss, expected[0] + expected[1] + 0.3 * expected[2])
    told = action[labeled.bool()].var(0, correction=0).mean()
    torch.testing.assert_close(metrics["action_error"], (expected[0] / told).detach())


@pytest.mark.parametrize("foresight", [0.0, 0.3])
def test_without_labels_it_learns_to_foresee_and_nothing_else(make, foresight) -> None:
    clone = make(foresight=foresight)
    loss, _ = clone.losses(*data([1, 1, 0], [0]))
    loss.backward()
    moved = {n: p.grad is not None and bool(p.grad.any()) for n, p in clone.named_parameters()}
    shared = {moved[name] for name in moved if name.startswith("network.")}
    assert shared == {foresight > 0}
    assert not any(moved[name] for name in moved if name.startswith("width."))
    heads = clone.network.out.weight.grad
    assert heads is not None
    assert not heads[:ACTION].any()


@pytest.mark.parametrize(("context", "horizon"), [(1, 1), (2, 1), (1, 2), (3, 2)])
def test_a_policy_acts_as_its_clone_in_the_states_of_training(
    make, spec, randomize, context, horizon
) -> None:
    config = TransitionConfig(units=4, layers=1, context=context, horizon=horizon)
    model = TransitionModel(config, spec.observations, 2 * horizon, "test").double()
    clone = make(model.state_dim, 2 * horizon)
    scale = ActionScale.of(spec.action).double()
    seen = rows(2, 8, 3)
    with torch.no_grad():
        chosen = clone(model.states(Observation(seen)))[0].mean[..., :2]
    policy = ClonePolicy(model, clone, scale, deterministic=True)
    policy.start(2, 0)
    acts = [policy.act(step.numpy()) for step in seen.unbind(1)]
    np.testing.assert_allclose(np.stack(acts, 1), scale.to_environment(chosen))
    policy.forget(np.array([True, False]))
    again, first = policy.act(seen[:, 0].numpy()), acts[0]
    np.testing.assert_allclose(again[0], first[0])
    assert np.allclose(again[1], first[1]) == (context == 1)
