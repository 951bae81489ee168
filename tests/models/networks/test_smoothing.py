"""Weighing inferred actions by the world model: against loops, and what may not matter."""

from dataclasses import replace

import pytest
import torch

from lawm_models.networks import smoothing
from lawm_models.networks.distributions import kl, log_prob, log_prob_normal
from lawm_models.networks.dynamics import State
from lawm_models.networks.encoders._protocol import Observation
from lawm_models.networks.layers import symlog
from lawm_models.networks.smoothing import SHARPNESS, smooth


def run(model, batch, samples=4, steps=2):
    generator = torch.Generator().manual_seed(0)
    seen = Observation.of(batch)
    return smooth(model, seen, batch.valid, generator, samples, steps)


def evidence(model, state, action, batch, row, t, steps):
    """Σ_k E_k of one action, one step after the other."""
    world, rssm, total = model.world, model.world.rssm, 0.0
    embed = world.encoder(Observation(batch.observation[row]))
    end = int(batch.valid[row].sum())
    for later in range(t + 1, min(t + steps, end) + 1):
        deter = rssm.transition(state, action)
        q = rssm.posterior(deter, rssm.project(embed[later]))
        state = State(deter, q.mean)
        target = symlog(batch.observation[row, later])
        fit = log_prob(world.observation_head(state.feature), world.config.observation_std, target)
        total += (fit - kl(q, rssm.prior(deter))).item()
        if later < end:
            inverse = model.inverse(state.feature, model.inverse.project(embed[later + 1]))
            action = model.decoder(state.feature, inverse.mean)
    return total


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("padded", [False, True])
def test_weights_are_those_of_the_loop(problem, steps, padded):
    model, batch, _ = problem("none", padded)
    samples, size = 4, (4, 5, 3)
    found = run(model, batch, samples, steps)
    generator = torch.Generator().manual_seed(0)
    noise = [torch.randn(size, generator=generator, dtype=torch.float64) for _ in range(samples)]
    window = smoothing._filtered(model, Observation.of(batch), batch.valid)
    for row in (0, 3):  # one whole, one that may end early
        for t in range(int(batch.valid[row].sum())):
            state = State(*(part[row, t] for part in window.state))
            embed = model.world.encoder(Observation(batch.observation[row, t + 1]))
            q = model.inverse(state.feature, model.inverse.project(embed))
            p = model.prior(state.feature)
            weights, plain, actions = [], [], []
            for i in range(samples):
                u = (q if i % 2 else p).sample(noise[i][row, t])
                actions.append(model.decoder(state.feature, u))
                mixture = torch.logaddexp(log_prob_normal(q, u), log_prob_normal(p, u))
                ratio = (log_prob_normal(p, u) - mixture).item()
                e = evidence(model, state, actions[-1], batch, row, t, steps)
                weights.append(ratio + SHARPNESS * e)
                plain.append(ratio + e)
            w, v = (
                torch.tensor(x, dtype=torch.float64).softmax(0)[:, None] for x in (weights, plain)
            )
            action = torch.stack(actions)
            mean = (w * action).sum(0)
            spread = (v * ((action - mean) ** 2 + model.config.action_std**2)).sum(0).sqrt()
            torch.testing.assert_close(found.mean[row, t], mean)
            torch.testing.assert_close(found.std[row, t], spread)


def test_padding_and_actions_do_not_matter(problem):
    model, batch, _ = problem("mixed", True)
    changed = replace(batch, observation=batch.observation.clone(), action=batch.action + 7)
    changed.observation[:, 1:][~batch.valid] = 123.0
    for a, b in zip(run(model, batch), run(model, changed), strict=True):
        assert torch.equal(a[batch.valid], b[batch.valid])


def test_only_the_next_observations_have_a_say(problem):
    """Of step t: o_{t+1} … o_{t+K}, beside what came before."""
    model, batch, _ = problem("none")
    changed = replace(batch, observation=batch.observation.clone())
    changed.observation[:, 4] += 1
    one, other = run(model, batch, steps=2).mean, run(model, changed, steps=2).mean
    assert torch.equal(one[:, :2], other[:, :2])
    assert (one[:, 2:] != other[:, 2:]).any(-1).all()


def test_every_member_proposes(problem):
    model, batch, _ = problem("none", inverse_members=2)
    before = run(model, batch).mean
    with torch.no_grad():
        for parameter in model.inverses[1].parameters():
            parameter.add_(0.5)
    assert not torch.equal(run(model, batch).mean, before)
