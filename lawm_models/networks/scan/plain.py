"""The posterior rollouts as they are defined: a loop over the window, with autograd's gradients."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from lawm_models.networks.distributions import Normal
from lawm_models.networks.dynamics import Dynamics, Observed, State
from lawm_models.networks.latent_action import ActionDecoder, ActionDensity, InversePosterior


def observe(
    dynamics: Dynamics,
    embed: Float[Tensor, "*m B T1 E"],
    action: Float[Tensor, "*m B T1-1 A"],
    noise: Float[Tensor, "*m B T1 S"],
) -> Observed:
    """Posterior rollout over a window with known actions."""
    return dynamics.observe(embed, lambda t, _: action[..., t, :], noise)


def infer(
    dynamics: Dynamics,
    inverses: Sequence[InversePosterior],
    decoder: ActionDecoder,
    known: tuple[Float[Tensor, "*m B T1 E"], Float[Tensor, "*m B T1-1 K"]],
    action: Float[Tensor, "*m B T1-1 A"],
    labeled: Float[Tensor, "*m B"],
    noise: tuple[
        Float[Tensor, "*m B T1 S"],
        Float[Tensor, "*m B T1-1 U"],
        Float[Tensor, "*m B T1-1 A"] | None,
    ],
    decoded_gradient: bool,
) -> tuple[Observed, Float[Tensor, "*m B T1 F"], Normal, ActionDensity]:
    """Posterior rollout over a window whose rows are labeled or not.

    At every step u ~ q(u|s,o'), Eq. 6, and a_decoded ~ p(a|s,u); the action that leads to the next
    state is m · a_data + (1 − m) · a_decoded, Eq. 9.

    Args:
        dynamics: q(z|h,o) and the transition.
        inverses: q(u|s,o'); of N members, row b takes member b mod N.
        decoder: p(a|s,u).
        known: embeddings, and what the inverse posterior knows beside the state.
        action: a_data.
        labeled: m.
        noise: for z, for u, and for a (None decodes the mean).
        decoded_gradient: let gradients flow through decoded actions.

    Returns:
        States, their features, q(u|s,o') and p(a|s,u) (both (*m, B, T, ·)).
    """
    embed, next_known = known
    state_noise, inverse_noise, action_noise = noise
    projected = [member.project(next_known) for member in inverses]
    row = torch.arange(embed.shape[-3], device=embed.device)
    turn = row % len(inverses)
    inferred: list[Normal] = []
    decoded: list[ActionDensity] = []

    def choose(t: int, state: State) -> Float[Tensor, "*m B A"]:
        feature = state.feature
        members = [q(feature, p[..., t, :]) for q, p in zip(inverses, projected, strict=True)]
        inverse = Normal(
            *(torch.stack(part, -2)[..., row, turn, :] for part in zip(*members, strict=True))
        )
        density = decoder.density(feature, inverse.sample(inverse_noise[..., t, :]))
        inferred.append(inverse)
        decoded.append(density)
        sampled = density.sample(None if action_noise is None else action_noise[..., t, :])
        if not decoded_gradient:
            sampled = sampled.detach()
        return torch.lerp(sampled, action[..., t, :], labeled.unsqueeze(-1))

    observed = dynamics.observe(embed, choose, state_noise)
    inverse = Normal(*(torch.stack(part, -2) for part in zip(*inferred, strict=True)))
    return observed, observed.state.feature, inverse, _joined(decoded)


def _joined(steps: Sequence[ActionDensity]) -> ActionDensity:
    """The densities of all steps as one, with time as the axis before the last."""
    raw, std, squashed = zip(*steps, strict=True)
    width = torch.stack(std, -2) if isinstance(std[0], Tensor) else std[0]
    return ActionDensity(torch.stack(raw, -2), width, squashed[0])
