"""The posterior rollouts of an RSSM as single operations with their own backward pass.

They compute what ``scan.plain`` defines; ``scan.layers`` says why they are faster than the loop,
and ``scan.native`` runs the same layers in compiled code.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lawm_models.networks.distributions import Normal, split_normal
from lawm_models.networks.dynamics import Observed, State
from lawm_models.networks.latent_action import ActionDecoder, ActionDensity, InversePosterior
from lawm_models.networks.layers import NormedLinear
from lawm_models.networks.rssm import RSSM
from lawm_models.networks.scan.cells import GRU, Choose, Copy, Draw
from lawm_models.networks.scan.layers import Layer, Linear, Stack, Swish
from lawm_models.networks.scan.operation import Scan


def observe(
    rssm: RSSM,
    embed: Float[Tensor, "*m B T1 E"],
    action: Float[Tensor, "*m B T1-1 A"],
    noise: Float[Tensor, "*m B T1 S"],
    scan: type[Scan] = Scan,
) -> Observed:
    """Posterior rollout over a window with known actions."""
    rollout = _Rollout(rssm, action, latent_dim=0)
    rollout.action.values.copy_(action.transpose(-3, -2))
    rollout.filter(embed, noise)
    rollout.advance()
    feature, state_params = rollout.run(scan)
    return _observed(rssm, feature, state_params)


def infer(
    rssm: RSSM,
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
    scan: type[Scan] = Scan,
) -> tuple[Observed, Float[Tensor, "*m B T1 F"], Normal, ActionDensity]:
    """Posterior rollout over a window whose rows are labeled or not; see ``LatentActionModel``.

    Args:
        rssm: q(z|h,o) and the transition.
        inverses: q(u|s,o'); of N members, row b takes member b mod N.
        decoder: p(a|s,u).
        known: embeddings, and what the inverse posterior knows beside the state.
        action: a_data.
        labeled: m.
        noise: for z, for u, and for a (None decodes the mean).
        decoded_gradient: let gradients flow through decoded actions.
        scan: how the layers are run.

    Returns:
        States, their features, q(u|s,o') and p(a|s,u) (both (*m, B, T, ·)).
    """
    embed, next_known = known
    state_noise, inverse_noise, action_noise = noise
    rollout = _Rollout(rssm, action, latent_dim=inverse_noise.shape[-1])
    rollout.filter(embed, state_noise)
    members = inverses[: embed.shape[-3]]
    for row, member in enumerate(members):
        every = slice(row, None, len(members))
        seen, drawn = next_known[..., every, :, :], inverse_noise[..., every, :, :]
        rollout.infer(member, seen, drawn, row, len(members))
    rollout.decode(decoder, action_noise, action, labeled, decoded_gradient)
    rollout.advance()
    feature, state_params, *inverse_params, decoded = rollout.run(scan)
    inferred = split_normal(_interleaved(inverse_params), inverses[0].min_std)
    return (
        _observed(rssm, feature, state_params),
        feature,
        inferred,
        decoder.densities.read(decoded),
    )


class _Rollout:
    """Variables and layers of one posterior rollout, in the order of its steps."""

    def __init__(self, rssm: RSSM, like: Float[Tensor, "*m B T A"], latent_dim: int) -> None:
        self.rssm = rssm
        *rows, self.steps, action_dim = like.shape
        *models, batch = rows
        config = rssm.config
        # Side by side as the products read them: [x, h, z, u] and [z, a], with h_0 = 0.
        h = config.hidden
        z = h + config.deter
        u = z + config.stoch
        end = u + latent_dim
        self.joint = Stack(like.new_zeros(*models, self.steps + 1, batch, end))
        self.hidden = self.joint.columns(0, h)
        self.cell_input = self.joint.columns(0, z)
        self.deter = self.joint.columns(h, z)
        self.stoch = self.joint.columns(z, u)
        self.feature = self.joint.columns(h, u)
        self.latent_action = self.joint.columns(u, end)
        self.decoder_input = self.joint.columns(h, end)
        self.input = Stack(like.new_zeros(*models, self.steps, batch, config.stoch + action_dim))
        self.stoch_input = self.input.columns(0, config.stoch)
        self.action = self.input.columns(config.stoch, config.stoch + action_dim)
        self.every: list[Layer] = []
        self.between: list[Layer] = []
        self.outputs = [self.feature]

    def filter(self, embed: Float[Tensor, "*m B T1 E"], noise: Float[Tensor, "*m B T1 S"]) -> None:
        """z_t ~ q(z_t | h_t, o_t)."""
        rssm, steps = self.rssm, self.steps + 1
        known = rssm.project(embed.transpose(-3, -2))
        first = rssm.posterior_in
        layer = Swish(self.deter, first.step, first.norm, steps, known, shared=True)
        params = self._network(self.every, layer, [rssm.posterior_out])
        self.every.append(Draw(params, _time_first(noise), self.stoch, rssm.config.min_std))

    def infer(
        self,
        inverse: InversePosterior,
        next_known: Float[Tensor, "*m R T K"],
        noise: Float[Tensor, "*m R T U"],
        start: int,
        step: int,
    ) -> None:
        """u_t ~ q(u_t | s_t, o_{t+1}), Eq. 6, in every so many rows."""
        known = inverse.project(next_known.transpose(-3, -2))
        first, feature = inverse.first, self.feature.rows(start, step)
        layer = Swish(feature, first.step, first.norm, self.steps, known, shared=True)
        params = self._network(self.between, layer, inverse.rest)
        out = self.latent_action.rows(start, step)
        draw = Draw(params, _time_first(noise), out, inverse.min_std)
        self.between.append(draw)

    def decode(
        self,
        decoder: ActionDecoder,
        noise: Float[Tensor, "*m B T A"] | None,
        action: Float[Tensor, "*m B T A"],
        labeled: Float[Tensor, "*m B"],
        decoded_gradient: bool,
    ) -> None:
        """a_t from data or from p(a_t | s_t, u_t), Eq. 9."""
        first, *hidden = decoder.net.hidden
        assert isinstance(first, NormedLinear)
        layer = Swish(self.decoder_input, first.linear, first.norm, self.steps, shared=True)
        params = self._network(self.between, layer, [*hidden, decoder.net.out])
        noise = None if noise is None else _time_first(noise)
        data, m = action.transpose(-3, -2), labeled.unsqueeze(-1)  # (*m, B, 1)
        self.between.append(
            Choose(decoder.densities, params, noise, data, m, self.action, decoded_gradient)
        )

    def advance(self) -> None:
        """h_{t+1} = f(h_t, z_t, a_t)."""
        first, cell = self.rssm.input, self.rssm.cell
        self.between += [
            Copy(self.stoch, self.stoch_input),
            Swish(self.input, first.linear, first.norm, self.steps, out=self.hidden),
            GRU(self.cell_input, self.deter, cell, self.steps),
        ]

    def run(self, scan: type[Scan]) -> tuple[Tensor, ...]:
        """Features, and the outputs of the networks in the order they were added."""
        return scan(self.every, self.between, (self.joint, self.input), self.outputs).run()

    def _network(self, layers: list[Layer], first: Swish, rest: Iterable[nn.Module]) -> Stack:
        *hidden, last = rest
        assert isinstance(last, nn.Linear)
        layers.append(first)
        source, steps = first.out, first.steps
        for module in hidden:
            assert isinstance(module, NormedLinear)
            layer = Swish(source, module.linear, module.norm, steps)
            layers.append(layer)
            source = layer.out
        linear = Linear(source, last, steps)
        layers.append(linear)
        self.outputs.append(linear.out)
        return linear.out


def _time_first(x: Float[Tensor, "*m B T N"]) -> Float[Tensor, "*m T B N"]:
    return x.transpose(-3, -2).contiguous()


def _interleaved(parts: Sequence[Float[Tensor, "*m _ T M"]]) -> Float[Tensor, "*m B T M"]:
    """Rows b mod N of N parts, in the order of b."""
    if len(parts) == 1:
        return parts[0]
    total = sum(part.shape[-3] for part in parts)
    rows = torch.cat([torch.arange(i, total, len(parts)) for i in range(len(parts))])
    return torch.cat(tuple(parts), -3).index_select(-3, rows.argsort().to(parts[0].device))


def _observed(rssm: RSSM, feature: Tensor, state_params: Tensor) -> Observed:
    deter, stoch = feature.split((rssm.config.deter, rssm.config.stoch), -1)
    return Observed(State(deter, stoch), split_normal(state_params, rssm.config.min_std))
