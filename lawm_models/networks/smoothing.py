"""Inferring actions with the whole model: what explains the observations that follow best.

The inverse posterior alone says what a step looks like. The world model also says what an action
leads to. So latent actions are proposed by the inverse posterior and the prior in turn, and weighed
by how well the model, given each of them, foresees the next K observations: self-normalised
importance sampling of p(u_t | s_t, o_{t+1} … o_{t+K}).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from lawm_models.networks.distributions import kl, log_prob_normal
from lawm_models.networks.dynamics import State
from lawm_models.networks.encoders._protocol import Observation
from lawm_models.networks.latent_action import InversePosterior
from lawm_models.networks.latent_action_model import LatentActionModel, Noise, ahead
from lawm_models.networks.world_model import standard_noise

SHARPNESS = 4.0
"""How often the evidence counts for the mean: the narrowest state of a model is wider than its
error of prediction, so that its evidence tells actions apart too timidly. With 1, 4 and 16 the mean
explained 57.0, 60.9 and 61.3 % of the variance of cartpole-swingup's actions."""


class Smoothed(NamedTuple):
    """Normalised actions."""

    mean: Float[Tensor, "B T A"]
    """Weighted mean of the proposals."""
    std: Float[Tensor, "B T A"]
    """Their spread about it under plain weights, and the decoder's own."""


class _Window(NamedTuple):
    """What all proposals share."""

    state: State
    """s_0 … s_{T-1}, filtered with mean actions, (B, T, ·)."""
    known: Float[Tensor, "B T K"]
    """What the inverse posterior knows beside them."""
    target: Float[Tensor, "B T1 M"]
    """Observations as they are reconstructed."""
    projected: Float[Tensor, "B T1 N"]
    """Their share of q(z|h,o)."""
    valid: Bool[Tensor, "B T"]
    """Real steps."""


@torch.no_grad()
def smooth(
    model: LatentActionModel,
    observation: Observation,
    valid: Bool[Tensor, "B T"],
    generator: torch.Generator,
    samples: int,
    steps: int,
) -> Smoothed:
    """Actions of all steps of a window from its observations.

    Proposal i at step t: u from q = q(u|s_t,o_{t+1}) or from p = p(u|s_t), a decoded from it. Its
    log-weight is log p(u) − log ½(q(u) + p(u)) + Σ_{k=1}^{K} E_k with the evidence lower bound
    E_k = log p(o_{t+k}|h,z) − KL(q(z|h,o_{t+k}) ‖ p(z|h)) at the mean z, along the states that
    follow from the proposal; after it actions are the inverse posterior's means. For the mean the
    evidence counts ``SHARPNESS`` times.

    Args:
        model: whose densities these are.
        observation: o_0 … o_T.
        valid: real steps; observations beyond have no say.
        generator: of the proposals.
        samples: proposals per step.
        steps: K, observations that have a say.
    """
    window, members = _filtered(model, observation, valid), model.inverses
    feature = window.state.feature
    prior = model.prior(feature)
    actions, spreads, ratios, evidence = [], [], [], []
    for i in range(samples):
        member = members[i // 2 % len(members)]
        inverse = member(feature, member.project(window.known))
        noise = standard_noise(inverse.mean, generator, *inverse.mean.shape)
        u = (inverse if i % 2 else prior).sample(noise)
        density = model.decoder.density(feature, u)
        # log p − log ½(q + p), but for the constant
        ratio = log_prob_normal(inverse, u) - log_prob_normal(prior, u)
        ratios.append(-F.softplus(ratio))
        evidence.append(_evidence(model, member, window, density.mean, steps))
        actions.append(density.mean)
        spreads.append(torch.as_tensor(density.spread).expand_as(density.mean))
    ratio, seen = torch.stack(ratios), torch.stack(evidence)  # (N, B, T)
    action, spread = torch.stack(actions), torch.stack(spreads)  # (N, B, T, A)
    sharp, plain = ((ratio + n * seen).softmax(0).unsqueeze(-1) for n in (SHARPNESS, 1.0))
    mean = (sharp * action).sum(0)
    variance = (plain * ((action - mean).square() + spread.square())).sum(0)
    return Smoothed(mean, variance.sqrt())


def _filtered(model: LatentActionModel, observation: Observation, valid: Tensor) -> _Window:
    """The states of a window, every latent variable at its mean."""
    (size, steps), world, zeros = valid.shape, model.world, observation.state.new_zeros
    action = zeros(size, steps, model.decoder.action_dim)
    latent = zeros(size, steps, model.config.latent_action.dim)
    noise = Noise(zeros(size, steps + 1, world.rssm.stoch_dim), latent, latent)
    seen = model.see(observation, valid)
    # rows of a batch take turns with the members, and a state is not to depend on its row
    inferred = model.infer_seen(seen, action, zeros(size), noise, model.inverses[:1])
    return _Window(
        State(*(part[:, :-1] for part in inferred.observed.state)),
        inferred.known,
        world.encoder.target(observation),
        world.rssm.project(seen.embed),
        valid,
    )


def _evidence(
    model: LatentActionModel,
    member: InversePosterior,
    window: _Window,
    action: Float[Tensor, "B T A"],
    steps: int,
) -> Float[Tensor, "B T"]:
    """Σ_k E_k after each step's action; see ``smooth``."""
    world, rssm = model.world, model.world.rssm
    total = torch.zeros_like(action[..., 0])
    state, real = window.state, window.valid
    for k in range(1, steps + 1):
        deter = rssm.transition(state, action)
        posterior = rssm.posterior(deter, ahead(window.projected, k, window.valid))
        state = State(deter, posterior.mean)
        predicted = world.observation_head(state.feature)
        target = ahead(window.target, k, window.valid)
        fit = world.observation_head.log_prob(predicted, target)
        total = total + torch.where(real, fit - kl(posterior, rssm.prior(deter)), 0.0)
        if k == steps:
            break
        # the next action; what follows the end of a row has no say
        later = torch.arange(k, k + action.shape[1], device=action.device)
        known = window.known[:, later.clamp(max=action.shape[1] - 1)]
        inverse = member(state.feature, member.project(known))
        action = model.decoder(state.feature, inverse.mean)
        real = real & F.pad(window.valid[:, k:], (0, k))
    return total
