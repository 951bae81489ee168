"""The definition of the posterior rollouts: one row, one step and one density after the other."""

import pytest
import torch

from lawm_models.networks.dynamics import State
from lawm_models.networks.latent_action import ActionDecoder, InversePosterior, LatentActionConfig
from lawm_models.networks.rssm import RSSM, RSSMConfig
from lawm_models.networks.scan import plain

BATCH, STEPS, ACTION, EMBED, KNOWN, STOCH, LATENT = 5, 3, 2, 5, 6, 3, 4


@pytest.fixture(params=[1, 2])
def parts(request, randomize):
    """An RSSM, one or two inverse posteriors, and a decoder."""
    torch.manual_seed(0)
    latent = LatentActionConfig(dim=LATENT, units=6, layers=1, inverse_layers=2)
    rssm = RSSM(RSSMConfig(deter=4, stoch=STOCH, hidden=7), ACTION, EMBED).double()
    features = rssm.feature_dim
    inverses = [InversePosterior(latent, features, KNOWN).double() for _ in range(request.param)]
    decoder = ActionDecoder(latent, features, ACTION, "tanh_normal", 0.4).double()
    for seed, module in enumerate((rssm, *inverses, decoder)):
        randomize(module, seed)
    return rssm, inverses, decoder


def draw(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def window(sampled):
    """Embeddings, what is known of o', actions, m, and noise of z, of u and of a."""
    noise = (
        draw(2, BATCH, STEPS + 1, STOCH),
        draw(3, BATCH, STEPS, LATENT),
        draw(4, BATCH, STEPS, ACTION) if sampled else None,
    )
    known = draw(0, BATCH, STEPS + 1, EMBED), draw(1, BATCH, STEPS, KNOWN)
    labeled = torch.tensor([1, 0, 0, 1, 0]).double()
    return known, draw(5, BATCH, STEPS, ACTION).tanh(), labeled, noise


def infer(parts, sampled, gradient=True):
    known, action, labeled, noise = window(sampled)
    return plain.infer(*parts, known, action, labeled, noise, gradient)


@pytest.mark.parametrize("sampled", [True, False])
def test_every_row_follows_equation_9(parts, sampled):
    rssm, inverses, decoder = parts
    (embed, known), data, labeled, (of_z, of_u, of_a) = window(sampled)
    observed, feature, inverse, action = infer(parts, sampled)
    for b in range(BATCH):
        member, h = inverses[b % len(inverses)], torch.zeros(4).double()
        for t in range(STEPS + 1):
            q = rssm.posterior(h, rssm.project(embed[b, t]))
            state = State(h, q.mean + q.std * of_z[b, t])
            torch.testing.assert_close(feature[b, t], torch.cat(state))
            torch.testing.assert_close(observed.posterior.mean[b, t], q.mean)
            torch.testing.assert_close(observed.posterior.std[b, t], q.std)
            if t == STEPS:
                break
            u = member(state.feature, member.project(known[b, t]))
            torch.testing.assert_close(inverse.mean[b, t], u.mean)
            torch.testing.assert_close(inverse.std[b, t], u.std)
            density = decoder.density(state.feature, u.mean + u.std * of_u[b, t])
            for a, expected in zip(action[:2], density[:2], strict=True):
                torch.testing.assert_close(a[b, t], expected)
            decoded = density.sample(None if of_a is None else of_a[b, t])
            h = rssm.transition(state, data[b, t] if labeled[b] else decoded)


@pytest.mark.parametrize("gradient", [True, False])
def test_gradient_through_decoded_actions(parts, gradient):
    _, feature, *_ = infer(parts, sampled=False, gradient=gradient)
    reached = [
        any(
            g.any()
            for g in torch.autograd.grad(
                feature[row, 1:].sum(),
                list(parts[2].parameters()),
                retain_graph=True,
                allow_unused=True,
                materialize_grads=True,
            )
        )
        for row in range(BATCH)
    ]
    assert reached == [gradient and not label for label in (1, 0, 0, 1, 0)]


def test_known_actions_are_labeled_rows(parts):
    known, action, _, noise = window(sampled=False)
    every = torch.ones(BATCH).double()
    _, feature, *_ = plain.infer(*parts, known, action, every, noise, True)
    observed = plain.observe(parts[0], known[0], action, noise[0])
    torch.testing.assert_close(observed.state.feature, feature)
