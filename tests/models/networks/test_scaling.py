"""Scaling actions to their bounds and observations by their moments."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from lawm_schemas import ArraySpec, ConfigError, Role

from lawm_data.envs.convert import nearest
from lawm_models.networks.scaling import ActionScale, Normalizer

bounds = st.tuples(st.floats(-1e3, 1e3, width=32), st.floats(-1e3, 1e3, width=32)).filter(
    lambda b: b[1] - b[0] > 1e-3
)
unit = st.floats(-1, 1, width=32)


@given(bounds, unit)
def test_there_and_back(bound, x):
    scale = ActionScale(*((b,) for b in bound)).double()
    action = torch.tensor([x], dtype=torch.float64)
    there = scale.to_environment(action)
    # bounds are known in single precision, and their center is rounded
    rounded = 2**-22 * max(map(abs, bound)) / (bound[1] - bound[0])
    assert scale.to_model(there).item() == pytest.approx(x, abs=1e-9 + rounded)
    assert scale.to_environment(scale.to_model(there)).item() == pytest.approx(
        there.item(), rel=1e-12, abs=1e-9
    )


@given(bounds, st.floats(-2, 2, width=32))
def test_never_leaves_the_bounds(bound, x):
    """Exactly, in the type that the environment gets: a writer refuses what is outside."""
    low, high = bound
    action = ActionScale((low,), (high,)).to_environment(torch.tensor([x]))
    assert action.dtype == torch.float32
    assert np.float32(low) <= action.numpy()[0] <= np.float32(high)


def test_an_action_that_cannot_change_is_zero():
    scale = ActionScale((2.0,), (2.0,))
    assert scale.to_model(torch.tensor([2.0])).item() == 0
    assert scale.to_environment(torch.tensor([0.7])).item() == 2


@given(bounds)
def test_ends_meet_the_bounds(bound):
    low, high = bound
    assume(high - low > 1)
    ends = ActionScale((low,), (high,)).to_model(torch.tensor([[low], [high]]))
    assert ends.flatten().tolist() == pytest.approx([-1, 1], abs=1e-3)


def test_each_dimension_has_its_own():
    scale = ActionScale((-1.0, 0.0), (1.0, 4.0))
    assert scale.to_environment(torch.zeros(3, 2)).tolist() == [[0.0, 2.0]] * 3
    assert scale.to_model(torch.tensor([[0.5, 1.0]])).tolist() == [[0.5, -0.5]]


def test_of_an_array_it_has_its_bounds():
    bounds = {"low": (-1.0, 0.0), "high": (1.0, 4.0)}
    action = ArraySpec(name="torque", shape=(2,), role=Role.action, **bounds)
    assert ActionScale.of(action).to_environment(torch.ones(2)).tolist() == [1.0, 4.0]
    with pytest.raises(ConfigError, match=r"^torque: the action has no bounds; take data whose"):
        ActionScale.of(ArraySpec(name="torque", shape=(2,), role=Role.action))


def test_brings_no_state():
    assert not ActionScale((-1.0,), (1.0,)).state_dict()


def test_moments_are_those_of_all_rows():
    draws = np.random.default_rng(0)
    parts = [1e4 + draws.normal(size=(n, 3)) * [1, 1e-2, 0] for n in (1, 40, 7)]
    normalizer = Normalizer(3)
    normalizer.fit(part.astype(np.float32) for part in parts)
    rows = np.concatenate(parts).astype(np.float32).astype(np.float64)
    np.testing.assert_allclose(normalizer.mean, rows.mean(0), rtol=1e-6)
    np.testing.assert_allclose(normalizer.std, rows.std(0) + 1e-3, rtol=1e-6)
    assert normalizer.std[2] == pytest.approx(1e-3)


def test_units_do_not_matter_where_nothing_is_added():
    """Nor for what does not vary, at 0 or anywhere."""
    draws = np.random.default_rng(0)
    rows = draws.normal(size=(50, 4)) * [1, 1e-5, 0, 0] + [2, 0, 3, 0]
    factor, shift = np.array([1e3, 1e-3, 1e3, 1e3]), np.array([5, 0, 0, 0])
    both = []
    for x in (rows, factor * rows + shift):
        normalizer = Normalizer(4, added=0.0)
        normalizer.fit([x])
        both.append(normalizer(torch.from_numpy(x).float()))
    torch.testing.assert_close(*both, rtol=1e-3, atol=1e-3)
    assert both[0].std(0, correction=0).tolist() == pytest.approx([1, 1, 0, 0], abs=1e-3)


def test_it_is_the_identity_before():
    x = torch.randn(4, 3)
    assert torch.equal(Normalizer(3)(x), x)


def test_what_is_taken_is_what_the_environment_does():
    spec = ArraySpec(name="a", shape=(), dtype="int64", low=(0,), high=(4,))
    discrete, choices = ActionScale.of(spec), torch.linspace(-1.3, 1.3, 41).unsqueeze(-1)
    done = nearest(discrete.to_environment(choices).numpy(), spec, "here")
    expected = discrete.to_model(torch.from_numpy(done).float().unsqueeze(-1))
    torch.testing.assert_close(discrete.taken(choices), expected)
    continuous = ActionScale((-2.0,), (1.0,))
    assert torch.equal(continuous.taken(choices), choices.clamp(-1, 1))
