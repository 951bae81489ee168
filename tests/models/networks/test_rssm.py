"""Alignment and densities of the RSSM."""

import numpy as np
import pytest
import torch

from lawm_models.networks.rssm import RSSM, RSSMConfig, State

B, T, A, E = 2, 4, 2, 3


@pytest.fixture
def rssm(randomize):
    torch.manual_seed(0)
    rssm = RSSM(RSSMConfig(deter=5, stoch=4, hidden=6), A, E).double()
    randomize(rssm)
    return rssm


@pytest.fixture
def window(rssm):
    """Embeddings, actions and noise."""
    generator = torch.Generator().manual_seed(1)
    shapes = ((B, T + 1, E), (B, T, A), (B, T + 1, 4))
    return [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]


def observe(rssm, embed, action, noise):
    observed = rssm.observe(embed, lambda t, _: action[:, t], noise)
    return observed.state.feature.detach().numpy(), observed


def same(a, b):
    """Steps at which two (B, T+1, ·) arrays agree exactly, in every row."""
    return [bool((a[:, t] == b[:, t]).all()) for t in range(T + 1)]


@pytest.mark.parametrize("t", range(T))
def test_action_leads_to_the_next_state(rssm, window, t):
    """a_t changes s_{t+1} and later, never s_t."""
    embed, action, noise = window
    before, _ = observe(rssm, embed, action, noise)
    changed = action.clone()
    changed[:, t] += 1
    after, _ = observe(rssm, embed, changed, noise)
    assert same(before, after) == [s <= t for s in range(T + 1)]


@pytest.mark.parametrize("t", range(T + 1))
def test_observation_reaches_its_own_state(rssm, window, t):
    """o_t changes z_t and later, but h_t only after t."""
    embed, action, noise = window
    _, before = observe(rssm, embed, action, noise)
    changed = embed.clone()
    changed[:, t] += 1
    _, after = observe(rssm, changed, action, noise)
    assert same(before.state.stoch, after.state.stoch) == [s < t for s in range(T + 1)]
    assert same(before.state.deter, after.state.deter) == [s <= t for s in range(T + 1)]


def test_first_state_starts_from_zero(rssm, window):
    embed, action, noise = window
    _, observed = observe(rssm, embed, action, noise)
    assert not observed.state.deter[:, 0].any()
    start = rssm.initial(B, embed)
    assert start.deter.shape == (B, 5)
    assert not start.feature.any()
    assert start.feature.dtype == embed.dtype


def test_choose_action_sees_the_state_it_acts_in(rssm, window):
    embed, action, noise = window
    seen = []

    def choose(t, state):
        seen.append((t, state))
        return action[:, t]

    observed = rssm.observe(embed, choose, noise)
    assert [t for t, _ in seen] == list(range(T))
    for t, state in seen:
        assert torch.equal(state.deter, observed.state.deter[:, t])
        assert torch.equal(state.stoch, observed.state.stoch[:, t])


def test_states_are_posterior_samples(rssm, window):
    embed, action, noise = window
    _, observed = observe(rssm, embed, action, noise)
    for t in range(T + 1):
        q = rssm.posterior(observed.state.deter[:, t], rssm.project(embed[:, t]))
        torch.testing.assert_close(q.mean, observed.posterior.mean[:, t])
        torch.testing.assert_close(q.std, observed.posterior.std[:, t])
        z = q.mean + q.std * noise[:, t]
        torch.testing.assert_close(z, observed.state.stoch[:, t])


def test_imagining_is_the_transition_and_a_prior_sample(rssm, window):
    _, action, noise = window
    state = State(torch.randn(B, 5).double(), torch.randn(B, 4).double())
    after = rssm.imagine(state, action[:, 0], noise[:, 0])
    inputs = torch.cat((state.stoch, action[:, 0]), -1)
    torch.testing.assert_close(after.deter, rssm.cell(rssm.input(inputs), state.deter))
    params = rssm.prior_net(after.deter).detach().numpy()
    mean, raw = params[:, :4], params[:, 4:]
    std = 2 / (1 + np.exp(-raw / 2)) + 0.1
    expected = mean + std * noise[:, 0].numpy()
    np.testing.assert_allclose(after.stoch.detach().numpy(), expected, rtol=1e-10)


def test_rows_are_independent(rssm, window):
    both, _ = observe(rssm, *window)
    for b in range(B):
        alone, _ = observe(rssm, *(part[b : b + 1] for part in window))
        np.testing.assert_allclose(alone[0], both[b], rtol=1e-12)
