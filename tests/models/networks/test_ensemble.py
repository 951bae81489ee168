"""One-step predictors: what they learn, and how far they disagree."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lawm_models.networks.ensemble import Ensemble, EnsembleConfig, disagreement

F, A, E, N = 9, 2, 7, 3
CONFIG = EnsembleConfig(members=N, units=6, layers=1)

predictions = st.tuples(st.integers(2, 6), st.integers(1, 5), st.integers(0, 1000)).map(
    lambda x: torch.randn(
        x[0], x[1], E, generator=torch.Generator().manual_seed(x[2]), dtype=torch.float64
    )
)


@given(predictions, st.floats(-3, 3), st.floats(-3, 3))
def test_disagreement_is_about_differences(p, shift, scale):
    found = disagreement(p)
    assert found.shape == p.shape[1:]
    assert (found >= 0).all()
    torch.testing.assert_close(disagreement(p.flip(0)), found)
    torch.testing.assert_close(disagreement(p + shift), found)
    torch.testing.assert_close(disagreement(scale * p), scale**2 * found)


@given(predictions)
def test_who_agrees_does_not_disagree(p):
    torch.testing.assert_close(disagreement(p[:1].expand(5, -1, -1)), torch.zeros_like(p[0]))
    assert (disagreement(p) > 0).all()


def test_members_start_apart_and_see_state_and_action():
    torch.manual_seed(0)
    ensemble = Ensemble(CONFIG, F, A, E)
    feature, action = torch.randn(4, 5, F), torch.randn(4, 5, A)
    predicted = ensemble(feature, action)
    assert predicted.shape == (N, 4, 5, E)
    assert disagreement(predicted).min() > 0
    assert not torch.equal(predicted, ensemble(feature, 2 * action))
    assert not torch.equal(predicted, ensemble(2 * feature, action))


@pytest.mark.parametrize("padded", [False, True])
def test_members_predict_the_next_embedding(make_batch, padded):
    """Squared error of member n at s_t, a_t against the embedding of o_{t+1}, real steps only."""
    torch.manual_seed(0)
    ensemble = Ensemble(CONFIG, F, A, E)
    batch = make_batch("all", padded)
    size, steps = batch.reward.shape
    feature, embed = torch.randn(size, steps + 1, F), torch.randn(size, steps + 1, E)
    errors = []
    for b in range(size):
        for t in range(steps):
            if batch.valid[b, t]:
                known = torch.cat((feature[b, t], batch.action[b, t]))
                members = [member(known) for member in ensemble.members]
                errors.append(sum((m - embed[b, t + 1]).square().mean().item() for m in members))
    loss = ensemble.loss(feature, batch.action, embed, batch.valid)
    assert loss.item() == pytest.approx(math.fsum(errors) / len(errors), rel=1e-5)


def test_all_but_the_ensemble_are_data_to_it(make_batch):
    ensemble, batch = Ensemble(CONFIG, F, A, E), make_batch("all")
    size, steps = batch.reward.shape
    feature = torch.randn(size, steps + 1, F, requires_grad=True)
    embed = torch.randn(size, steps + 1, E, requires_grad=True)
    action = batch.action.clone().requires_grad_()
    ensemble.loss(feature, action, embed, batch.valid).backward()
    assert feature.grad is action.grad is embed.grad is None
    assert all(p.grad is not None for p in ensemble.parameters())
