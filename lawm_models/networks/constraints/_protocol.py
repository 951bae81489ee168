"""What a constraint on latent actions must offer; every other module of this folder is one.

A module named after the constraint holds ``Config`` (a ``ConstraintConfig``) and ``Constraint``.
Nothing else registers it.

An inverse model that sees the next observation could copy it into the latent action. A constraint
takes it the room to: by noise, by few non-zero entries, by a codebook, by a prefix that is kept.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple, Protocol

import torch
from jaxtyping import Float, Int
from lawm_schemas import ConfigError, Schema
from pydantic import BeforeValidator, SerializeAsAny
from torch import Tensor, nn

from lawm_models.networks.data_parallel import total, whole
from lawm_models.networks.world_model import Generators

REMEMBERED = 1024
"""Latent actions that ``Remembered`` holds."""
SMALLEST = 1e-12
"""Keeps a division by a variance of zero finite."""


class ConstraintConfig(Schema):
    """Which constraint; its own settings stand beside its name."""

    name: str
    """A constraint's name, such as ``gaussian``."""


class Constrained(NamedTuple):
    """Latent actions as a model is trained on them."""

    latent: Float[Tensor, "*m N D"]
    """z."""
    loss: Float[Tensor, "*m"]
    """L_z, what the constraint adds to the loss; a mean over all that have weight."""
    metrics: dict[str, Tensor]
    """What else it tells, of each model, detached."""


class Constraint(nn.Module, ABC):
    """From what an inverse model puts out to a latent action that can say only so much.

    Args:
        config: the module's ``Config``.
        dim: D, width of the latent action.

    Attributes:
        codes: size of its codebook, if it has one.
    """

    codes: int | None = None

    def __init__(self, config: Any, dim: int) -> None:
        super().__init__()
        self.config, self.dim = config, dim

    @property
    def inputs(self) -> int:
        """H, how many numbers the inverse model has to put out."""
        return self.dim

    @abstractmethod
    def forward(
        self,
        hidden: Float[Tensor, "*m N H"],
        weight: Float[Tensor, "*m N"],
        generator: Generators | None,
    ) -> Constrained:
        """Latent actions for a gradient step.

        What is told of all rows, and noise, is that of all processes: ``networks.data_parallel``.

        Args:
            hidden: what the inverse model puts out.
            weight: 0 leaves a row out of the loss and of all that is remembered.
            generator: of the noise, if there is any.
        """

    def latent(self, hidden: Float[Tensor, "*b H"]) -> Float[Tensor, "*b D"]:
        """The latent action without any chance."""
        return hidden

    def code(self, latent: Float[Tensor, "*b D"]) -> Int[Tensor, "*b"] | None:
        """Which code a latent action is, of constraints with a codebook."""
        return None

    @abstractmethod
    def prior_sample(self, count: int, generator: torch.Generator) -> Float[Tensor, "N D"]:
        """Latent actions as they come in the data, or as the constraint's density has them."""


class Remembered(nn.Module):
    """Latent actions of late: where a constraint has no density, what is drawn from is the data.

    Args:
        dim: D.
    """

    latents: Tensor
    filled: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("latents", torch.zeros(REMEMBERED, dim))
        self.register_buffer("filled", torch.zeros(()))

    @torch.no_grad()
    def add(self, latent: Float[Tensor, "*m N D"], weight: Float[Tensor, "*m N"]) -> None:
        """Remember those that have weight instead of the oldest ones."""
        latent, weight = whole(latent), whole(weight)
        count = min(latent.shape[-2], REMEMBERED)
        first = weight.argsort(dim=-1, descending=True, stable=True)[..., :count]
        new = latent.take_along_dim(first.unsqueeze(-1), -2).to(self.latents.dtype)
        added = (weight.take_along_dim(first, -1) > 0).sum(-1, keepdim=True)
        # the newest stand in front, and the others move by as many: a number that only the device
        # knows, so that rows are looked up and no shape depends on it
        place = torch.arange(REMEMBERED, device=weight.device)
        row = torch.where(place < added, place, place - added + count)
        both = torch.cat((new, self.latents), -2)
        self.latents.copy_(both.take_along_dim(row.unsqueeze(-1), -2))
        filled = self.filled + added.squeeze(-1).to(self.filled.dtype)
        self.filled.copy_(filled.clamp(max=REMEMBERED))

    def sample(self, count: int, generator: torch.Generator) -> Float[Tensor, "N D"]:
        """Some of them at random; zeros before there are any."""
        uniform = torch.rand(count, generator=generator, device=self.latents.device)
        return self.latents[(uniform * self.filled).long()]


class Sampled(Constraint):
    """A constraint without a density: what is drawn from are latent actions of the data."""

    def __init__(self, config: Any, dim: int) -> None:
        super().__init__(config, dim)
        self.remembered = Remembered(dim)

    def prior_sample(self, count: int, generator: torch.Generator) -> Float[Tensor, "N D"]:
        """Some latent actions of late."""
        return self.remembered.sample(count, generator)


def mean_of(x: Float[Tensor, "*m N"], weight: Float[Tensor, "*m N"]) -> Float[Tensor, "*m"]:
    """Mean of what has weight; zero where nothing has."""
    return means_of((x,), weight)[0]


def means_of(
    each: Sequence[Float[Tensor, "*m N"]], weight: Float[Tensor, "*m N"]
) -> list[Float[Tensor, "*m"]]:
    """``mean_of`` several, which several processes tell each other at once."""
    *sums, weights = total(*((x * weight).sum(-1) for x in each), weight.sum(-1))
    return [found / weights.clamp(min=1) for found in sums]


def moments(
    latent: Float[Tensor, "*m N D"], weight: Float[Tensor, "*m N"]
) -> tuple[Float[Tensor, "*m D"], Float[Tensor, "*m D D"]]:
    """Mean and (population) covariance of the rows, by their weight."""
    (weights,) = total(weight.sum(-1, keepdim=True))
    share = (weight / weights.clamp(min=1)).unsqueeze(-1)
    (mean,) = total((share * latent).sum(-2))
    # a covariance is least around the mean, so that no gradient goes through it
    centered = latent - mean.detach().unsqueeze(-2)
    (covariance,) = total((share * centered).mT @ centered)
    return mean, covariance


def effective_size(
    latent: Float[Tensor, "*m N D"], weight: Float[Tensor, "*m N"]
) -> Float[Tensor, "*m"]:
    """Participation ratio (Σλ)² / Σλ² of the covariance's eigenvalues: dimensions in use.

    1 to D; 0 where the latent action never changes.
    """
    _, covariance = moments(latent, weight)
    trace = covariance.diagonal(dim1=-2, dim2=-1).sum(-1)
    return trace.square() / covariance.square().sum((-2, -1)).clamp(min=SMALLEST)


class ConstraintModule(Protocol):
    """A module of this folder, or one that another package brings."""

    Config: type[ConstraintConfig]
    """Settings, with a default for each."""
    Constraint: type[Constraint]
    """The class of the constraint."""


def _chosen(value: Any) -> Any:
    """Plain data as the ``Config`` of the constraint named there, else of ``gaussian``."""
    if not isinstance(value, Mapping):
        return value
    from lawm_models.networks.constraints import CONSTRAINTS

    try:
        module = CONSTRAINTS.load(str(value.get("name", "gaussian")))
    except ConfigError as error:
        raise ValueError(f"{error.what}; {error.hint}") from None
    return module.Config.model_validate(value)


ConstraintChoice = Annotated[SerializeAsAny[ConstraintConfig], BeforeValidator(_chosen)]
"""A setting of a model: a constraint by its name, with its settings."""
