"""Single steps out of windows: the right rows, each counting the same."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lawm_models.networks.offline.transitions import choose_step, every_step, one_step, weighted
from lawm_models.networks.scaling import ActionScale


@pytest.fixture
def scale(spec):
    return ActionScale(spec.action.low, spec.action.high)


def test_every_step_is_where_it_was(make_batch, scale):
    batch, embed = make_batch("mixed", padded=True), torch.randn(4, 6, 7)
    t = every_step(replace(batch, terminated=batch.valid.clone()), embed, scale)
    steps = batch.valid.shape[1]
    for n in range(len(t.weight)):
        row, place = divmod(n, steps)
        assert torch.equal(t.observation[n], embed[row, place])
        assert torch.equal(t.next_observation[n], embed[row, place + 1])
        assert t.reward[n] == batch.reward[row, place]
        assert t.weight[n] == t.terminated[n] == float(batch.valid[row, place])
        if batch.action_mask[row, place]:
            torch.testing.assert_close(scale.to_environment(t.action[n]), batch.action[row, place])
        else:
            assert not t.observed[n]
            assert (t.action[n] == 0).all()
        following = row * steps + place + 1
        if place + 1 < steps and t.observed[following]:
            assert t.next_observed[n]
            assert torch.equal(t.next_action[n], t.action[following])
        else:
            assert not t.next_observed[n]
            assert (t.next_action[n] == 0).all()


def test_one_step_is_one_of_every(make_batch, scale):
    batch, place, weight = make_batch(), torch.tensor([0, 4, 2, 1]), torch.rand(4)
    embed = torch.randn(4, 6, 7)
    t, every = one_step(batch, embed, scale, place, weight), every_step(batch, embed, scale)
    assert torch.equal(t.weight, weight)
    rows = torch.arange(4) * batch.valid.shape[1] + place
    for name in set(t._fields) - {"weight"}:
        assert torch.equal(getattr(t, name), getattr(every, name)[rows]), name


@pytest.mark.parametrize("steps", [1, 3, 4])
def test_every_step_counts_the_same(make_batch, steps):
    """All windows of a trajectory of seven steps, and a shorter trajectory that is padded."""
    length, repeats = 7, 4000
    starts = torch.arange(length - steps + 1)
    batch = make_batch("all", steps=steps)
    batch = batch.rows(torch.zeros(len(starts) * repeats, dtype=torch.int64))
    batch = replace(batch, start=starts.repeat(repeats))
    place, weight = choose_step(batch, torch.Generator().manual_seed(0))
    assert ((place == steps - 1) | (batch.start == 0)).all()
    counts = np.bincount(batch.start + place, weight, minlength=length)
    np.testing.assert_allclose(counts / counts.sum(), 1 / length, rtol=0.12)
    if steps > 2:
        valid = batch.valid.clone()
        valid[batch.start == 0, 2:] = False
        place, weight = choose_step(replace(batch, valid=valid), torch.Generator().manual_seed(0))
        first = batch.start == 0
        assert set(place[first].tolist()) == {0, 1}
        assert set(weight[first].tolist()) == {2.0}


@pytest.mark.parametrize("terminated", [True, False])
@pytest.mark.parametrize(("length", "steps"), [(7, 2), (7, 4), (4, 4), (3, 4), (1, 2)])
def test_every_step_with_another_behind_it_counts_the_same(make_batch, length, steps, terminated):
    """The last one has none, and counts where it is an end; (3, 4) and (1, 2) are padded."""
    repeats = 4000
    starts = torch.arange(max(1, length - steps + 1)).repeat(repeats)
    batch = make_batch("all", steps=steps).rows(torch.zeros_like(starts))
    time = starts.unsqueeze(1) + torch.arange(steps)
    batch = replace(
        batch, start=starts, valid=time < length, terminated=(time == length - 1) & terminated
    )
    place, weight = choose_step(batch, torch.Generator().manual_seed(0), after=1)
    used = weight > 0
    inside = (place >= steps - 2) | (batch.start == 0)
    assert inside[used].all()
    counts = np.bincount((starts + place)[used], weight[used], minlength=length)
    expected = np.ones(length)
    expected[-1] = terminated
    np.testing.assert_allclose(counts / repeats, expected, rtol=0.12)


def test_weighted_mean():
    value, weight = torch.tensor([1.0, 5.0, 7.0]), torch.tensor([1.0, 3.0, 0.0])
    assert weighted(value, weight) == 4
    assert weighted(value, 0 * weight) == 0


@pytest.mark.parametrize("ends", [True, False])
def test_a_last_step_without_its_observation_counts_where_it_is_an_end(make_batch, scale, ends):
    """All windows of a trajectory of seven steps whose last observation is missing."""
    length, steps, repeats = 7, 4, 4000
    starts = torch.arange(length - steps + 1)
    batch = make_batch("all", steps=steps).rows(torch.zeros(len(starts), dtype=torch.int64))
    unseen = torch.zeros_like(batch.valid)
    unseen[-1, -1] = True
    batch = replace(
        batch, start=starts, valid=~unseen, unseen=unseen, terminated=unseen.clone() & ends
    )
    t = every_step(batch, torch.randn(len(starts), steps + 1, 7), scale)
    assert t.weight[:-1].all()
    assert t.weight[-1] == t.terminated[-1] == ends
    many = batch.rows(torch.arange(len(starts)).repeat(repeats))
    place, weight = choose_step(many, torch.Generator().manual_seed(0))
    counts = np.bincount(many.start + place, weight, minlength=length)
    assert (counts[-1] > 0) == ends
    counted = counts[: length if ends else length - 1]
    np.testing.assert_allclose(counted / counted.sum(), 1 / len(counted), rtol=0.12)
