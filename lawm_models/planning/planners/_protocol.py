"""What a planner must offer; every other module of this folder is one planner.

A module named after the planner holds ``Config`` (a ``PlannerConfig``) and ``Planner``. Nothing
else registers it. The first line of its docstring is ``TITLE: what it is.``
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from lawm_schemas import Count, Schema, Size
from pydantic import Field

if TYPE_CHECKING:  # planners are listed without importing torch
    import torch
    from jaxtyping import Float
    from torch import Tensor

Cost = Callable[["Tensor"], "Tensor"]
"""From P sequences of H choices in each of N environments, (N, P, H, K), to their costs, (N, P)."""


class PlannerConfig(Schema):
    """Settings that all planners have."""

    horizon: Count = 12
    """H, steps that are planned ahead."""
    space: Literal["actions", "latents", "controller", "blind_controller"] | None = None
    """What is searched: actions; latent actions, which are decoded; or actions that the model takes
    through its latent actions, by a controller that sees the state or by one that does not. Where
    it is not said, what is usual for the model."""
    value: bool = True
    """Add the learned value of the last state to the rewards, if one is learned."""
    samples: Size = 128
    """Sequences that are tried in each iteration."""
    iterations: Count = 6
    """Times that the search is narrowed."""
    std: float = Field(default=1.0, gt=0)
    """Standard deviation of the first samples; choices are within [-1, 1]."""


class Found(NamedTuple):
    """What a search has found in each of N environments."""

    plan: Float[Tensor, "N H K"]
    """The sequence to act by."""
    kept: Float[Tensor, "N W H K"]
    """Where the next search begins, once it is shifted by a step."""


class Planner(Protocol):
    """A search for the sequence of least cost."""

    kept: int
    """W, sequences that it begins with; the first is its best guess."""

    def __init__(self, config: Any) -> None:
        """One of such settings."""
        ...

    def search(
        self, cost: Cost, begin: Float[Tensor, "N W H K"], generator: torch.Generator
    ) -> Found:
        """Search in N environments at once.

        Args:
            cost: what is to be small; gradients are not asked for.
            begin: where it begins; zeros where nothing is known.
            generator: of all samples.
        """
        ...


class PlannerModule(Protocol):
    """A module of this folder, or one that another package brings."""

    Config: type[PlannerConfig]
    """Settings, with a default for each."""
    Planner: type[Planner]
    """The class."""
