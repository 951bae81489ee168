"""One latent action for each of K factors: slots of a state, each moved by its own.

x_1 … x_K = slots(s), z_k = g(x_k, (x'_k − x_k) / σ), m_k = p(x_k, z_k), with one g and one p for
all; of every slot and how it moves a change of each number, and how much it has to say on that
number. σ is the mean of σ_Δ.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from lawm_schemas import ConfigError, Count, Size
from torch import Tensor, nn
from torch.nn import functional as F

from lawm_models.networks.constraints._protocol import Constrained, Constraint, ConstraintConfig
from lawm_models.networks.lam.forward_dynamics import ForwardDynamics
from lawm_models.networks.lam.latent_transition_model import (
    LatentTransitionConfig,
    LatentTransitionModel,
)
from lawm_models.networks.layers import MLP, Linear
from lawm_models.networks.world_model import Generators

LEAST = 1e-8
"""Smallest share of all numbers by which that of a slot is divided."""


class FactoredConfig(LatentTransitionConfig):
    """Sizes of the slots beside those of the networks."""

    units: Size = 128
    """Width of the networks, which every slot goes through."""
    slots: Count = 2
    """K; ``latent`` is divided among them."""
    slot: Size = 32
    """M, width of a slot."""
    rounds: Count = 2
    """Rounds of attention."""


class SlotAttention(nn.Module):
    """Slots that compete for the numbers of a state (Locatello et al. 2020).

    Each begins as learned, so that it is the same factor in every state.

    Args:
        context: C, observations; a number is seen in all of them at once.
        dim: E, numbers of an observation.
        config: sizes.
    """

    def __init__(self, context: int, dim: int, config: FactoredConfig) -> None:
        super().__init__()
        width, self.rounds = config.slot, config.rounds
        self.value = nn.Parameter(torch.randn(context, dim, width))
        self.place = nn.Parameter(torch.randn(dim, width))
        self.first = nn.Parameter(torch.randn(config.slots, width))
        self.query, self.key, self.read = (Linear(width, width, bias=False) for _ in range(3))
        self.cell = nn.GRUCell(width, width)
        self.after = MLP(width, width, config.units, 1)

    def forward(self, state: Float[Tensor, "*b C E"]) -> Float[Tensor, "*b K M"]:
        """The slots."""
        tokens = _normed(self.place + torch.einsum("...ce,cem->...em", state, self.value))
        key, read = self.key(tokens), self.read(tokens)
        slots = self.first.expand(*state.shape[:-2], -1, -1)
        for _ in range(self.rounds):
            share = self.shares(slots, key)
            update = share / (share.sum(-1, keepdim=True) + LEAST) @ read
            moved = self.cell(update.flatten(0, -2), slots.flatten(0, -2)).view_as(slots)
            slots = moved + self.after(_normed(moved))
        return slots

    def shares(
        self, slots: Float[Tensor, "*b K M"], key: Float[Tensor, "*b E M"]
    ) -> Float[Tensor, "*b K E"]:
        """Of every number, what each slot takes; they sum to 1 over slots."""
        return (self.query(_normed(slots)) @ key.mT / key.shape[-1] ** 0.5).softmax(-2)


class FactoredDynamics(nn.Module):
    """p(s, z): every slot is moved by its part of z alone, and tells its part of the change.

    Args:
        context: C.
        dim: E.
        latent_dim: D, of all slots.
        config: sizes.
    """

    def __init__(self, context: int, dim: int, latent_dim: int, config: FactoredConfig) -> None:
        super().__init__()
        sizes = (config.units, config.layers)
        self.shape, self.parts = (context, dim), config.slots
        self.slots = SlotAttention(context, dim, config)
        self.motion = ForwardDynamics(config.slot, latent_dim // config.slots, config.slot, *sizes)
        self.decoder = MLP(2 * config.slot, 2 * dim, *sizes)

    def forward(
        self, state: Float[Tensor, "*b S"], latent: Float[Tensor, "*b D"]
    ) -> Float[Tensor, "*b E"]:
        """The scaled change of the observation."""
        return self.each(state, latent).sum(-2)

    def each(
        self, state: Float[Tensor, "*b S"], latent: Float[Tensor, "*b D"]
    ) -> Float[Tensor, "*b K E"]:
        """What each slot tells of it; a number hears most from the slot that claims it."""
        slots = self.slots(state.unflatten(-1, self.shape))
        motion = self.motion(slots, latent.unflatten(-1, (self.parts, -1)))
        change, claim = self.decoder(torch.cat((slots, motion), -1)).chunk(2, -1)
        return change * claim.softmax(-2)


class OfEach(Constraint):
    """A constraint on the latent action of each slot; like the networks it is one for all of them.

    With a codebook a latent action is a code of each slot, so no single code says which it is.

    Args:
        one: of one slot.
        slots: K.
    """

    def __init__(self, one: Constraint, slots: int) -> None:
        super().__init__(one.config, slots * one.dim)
        self.one, self.slots = one, slots

    @property
    def inputs(self) -> int:
        """Those of all slots side by side."""
        return self.slots * self.one.inputs

    def forward(
        self,
        hidden: Float[Tensor, "*m N H"],
        weight: Float[Tensor, "*m N"],
        generator: Generators | None,
    ) -> Constrained:
        """See the protocol; the loss is a sum over slots."""
        rows = self._apart(hidden).flatten(-3, -2)
        found = self.one(rows, weight.repeat_interleave(self.slots, -1), generator)
        latent = found.latent.unflatten(-2, (-1, self.slots)).flatten(-2)
        return Constrained(latent, self.slots * found.loss, found.metrics)

    def latent(self, hidden: Float[Tensor, "*b H"]) -> Float[Tensor, "*b D"]:
        """See the protocol."""
        return self.one.latent(self._apart(hidden)).flatten(-2)

    def prior_sample(self, count: int, generator: torch.Generator) -> Float[Tensor, "N D"]:
        """See the protocol; slots are drawn apart."""
        return self.one.prior_sample(count * self.slots, generator).view(count, -1)

    def _apart(self, joined: Float[Tensor, "*b J"]) -> Float[Tensor, "*b K I"]:
        return joined.unflatten(-1, (self.slots, -1))


class FactoredModel(LatentTransitionModel):
    """See ``LatentTransitionModel``; after FLAM (arXiv 2602.16229).

    A latent action is those of all slots side by side.

    Raises:
        ConfigError: it cannot be divided among the slots, or there are more of them than numbers.
    """

    config: FactoredConfig  # pyright: ignore[reportIncompatibleVariableOverride]
    dynamics: FactoredDynamics  # pyright: ignore[reportIncompatibleVariableOverride]

    def _dynamics(self) -> FactoredDynamics:
        latent, slots = self.config.latent, self.config.slots
        where = "algorithm.settings.model.slots"
        if latent % slots:
            what = f"a latent action of {latent} numbers is not divided by {slots} slots"
            raise ConfigError(what, where, f"set model.latent to {slots * (latent // slots + 1)}")
        if slots > self.dim:
            what = f"{slots} slots are more than the {self.dim} numbers of an observation"
            raise ConfigError(what, where, f"set it to {self.dim} or less")
        return FactoredDynamics(self.context, self.dim, latent, self.config)

    @property
    def moved_dim(self) -> int:
        """M."""
        return self.config.slot

    @property
    def known_dim(self) -> int:
        """M."""
        return self.config.slot

    @property
    def hidden_dim(self) -> int:
        """H / K."""
        return self.constraint.inputs // self.config.slots

    def _constraint(self, chosen: ConstraintConfig, latent: int) -> Constraint:
        slots = self.config.slots
        return OfEach(super()._constraint(chosen, latent // slots), slots)

    def _hidden(
        self, state: Float[Tensor, "*b C E"], after: Float[Tensor, "*b E"]
    ) -> Float[Tensor, "*b H"]:
        following = torch.cat((state[..., 1:, :], after.unsqueeze(-2)), -2)
        slots = self.dynamics.slots(state)
        each = self._read(slots, (self.dynamics.slots(following) - slots) / self.change.mean())
        return each.flatten(-2)


def _normed(x: Float[Tensor, "*b M"]) -> Float[Tensor, "*b M"]:
    return F.layer_norm(x, x.shape[-1:])
