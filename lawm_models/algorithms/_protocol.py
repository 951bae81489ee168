"""What an algorithm must offer the trainer; every other module of this folder is one algorithm.

A module named after the algorithm holds ``Config`` (a ``Schema``) and ``Algorithm`` (a
``torch.nn.Module`` that satisfies the protocol below). Nothing else registers it. The first line of
its docstring is ``TITLE: what it is.``, which help screens and tables show.

A module of another package may also hold ``PRESETS``: by the name of a preset, what a preset of
ours says of each algorithm (``steps``, ``settings``, and what else is its own).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    Protocol,
    Self,
    runtime_checkable,
)

if TYPE_CHECKING:  # algorithms are listed without importing torch
    import numpy as np
    import torch
    from jaxtyping import Float, Int
    from lawm_schemas import ArraySpec, Schema
    from torch import Tensor

    from lawm_data.batches.batch import Batch
    from lawm_data.corpus.corpus import Corpus
    from lawm_data.envs.policy import VectorPolicy
    from lawm_models.networks.latent_dynamics import LatentDynamics
    from lawm_models.networks.planning_model import PlanningModel


class ModelSpec(NamedTuple):
    """The arrays that a model reads and writes, known only from the data."""

    observations: tuple[ArraySpec, ...]
    """What is observed, with names, shapes and roles; state fields in the order of a batch."""
    action: ArraySpec
    """The action; it has bounds."""
    terminates: bool = False
    """Whether trajectories end in terminal states that were observed."""


RewardsFrom = Literal["all", "labeled", "none"]
"""Trajectories whose rewards a policy is learned from."""


class LastStage(NamedTuple):
    """What no stage but the last reads or changes."""

    settings: tuple[str, ...] = ()
    """Fields of ``Config``."""
    modules: tuple[str, ...] = ()
    """First parts of names in ``state_dict()``. Their weights are drawn after all others."""


class Algorithm(Protocol):
    """A trainable model, perhaps with a policy: then it satisfies ``Acting`` too.

    What has to survive a kill must be a parameter, a buffer or optimiser state, and all parameters
    and buffers must exist after ``__init__``: the trainer stores ``state_dict()`` and the state of
    ``optimizers()``, and restores them after ``prepare`` and ``begin``.
    """

    stages: ClassVar[tuple[str, ...]]
    """Stages in training order; a policy is evaluated during the last one."""
    last_stage: ClassVar[LastStage]
    """What it has for itself, so that runs that differ in nothing else share all stages before it;
    of no meaning when it is the only one."""
    needs_labels: ClassVar[bool]
    """Whether at least one trajectory must have readable actions. With ``needs_whole_labels``
    beside it there must be labeled windows: single actions teach it nothing."""
    rewards_from: ClassVar[RewardsFrom]
    """Where its last stage needs rewards; at least one such trajectory must have recorded ones."""

    def __init__(self, config: Any, spec: ModelSpec) -> None:
        """Fresh weights, drawn from torch's global generator."""
        ...

    def prepare(self, corpora: Sequence[Corpus]) -> None:
        """Learn from the data what no batch can tell, before every start and resume of a training.

        Args:
            corpora: views in which hidden actions are not; ``Batch.corpus`` says which of them
                ``Batch.trajectory`` counts in.
        """
        ...

    def begin(self, stage: str) -> None:
        """A stage starts or resumes: freeze what is finished, build the stage's optimisers."""
        ...

    def update(self, stage: str, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """One gradient step; scalars by name, detached and left on the device."""
        ...

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Optimisers of the current stage, by name."""
        ...

    def infer_actions(
        self, batch: Batch
    ) -> tuple[Float[Tensor, "B T A"], Float[Tensor, "B T A"]] | None:
        """Mean and standard deviation of every step's action in environment units, or none.

        Reads observations alone: neither ``batch.action`` nor ``batch.action_mask``.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """See ``torch.nn.Module``."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any:
        """See ``torch.nn.Module``."""
        ...

    def to(self, device: torch.device) -> Self:
        """See ``torch.nn.Module``."""
        ...


@runtime_checkable
class Acting(Protocol):
    """An algorithm that learns a policy. One that does not simply lacks the method."""

    def policy(self, deterministic: bool = True) -> VectorPolicy:
        """The learned policy, acting in numpy and environment units."""
        ...


@runtime_checkable
class Probed(Protocol):
    """An algorithm whose actions, latent or true, can be probed; see ``lawm probe``."""

    def latent_dynamics(self) -> LatentDynamics:
        """What it infers and predicts, in the units of the recorded observations."""
        ...


@runtime_checkable
class Plannable(Protocol):
    """An algorithm that learns a world model to plan in. One that does not lacks the method."""

    def planning_model(self) -> PlanningModel:
        """The world model as planners read it."""
        ...


@runtime_checkable
class Windowed(Protocol):
    """An algorithm that learns nothing from windows which are too short."""

    def require_window(self, steps: int) -> None:
        """Refuse windows of so many steps if they are; asked before a run begins.

        Raises:
            ConfigError: says how long they must be.
        """
        ...


@runtime_checkable
class HoldingOut(Protocol):
    """An algorithm that holds trajectories out, and must not hold out all that it learns from."""

    def draws_from(self, stage: str, trajectories: Int[np.ndarray, " D"]) -> None:
        """Which trajectories windows of a stage are from; told before ``prepare``.

        Args:
            stage: the stage.
            trajectories: their places, counted through all corpora.
        """
        ...


@runtime_checkable
class CorrectsEnds(Protocol):
    """An algorithm that weights single steps, for windows which begin anywhere as often."""

    @classmethod
    def corrects_ends(cls) -> bool:
        """Whether the ends of trajectories, of which few windows hold the steps, have more weight.

        With ``oversample_ends`` they would then count as often as a window has steps.
        """
        ...


@runtime_checkable
class Adopting(Protocol):
    """An algorithm that can begin with what another one has learned, in place of its first stage.

    See ``training.stage_reuse``.
    """

    adopts: ClassVar[tuple[str, ...]]
    """Names of the others."""

    def adopt(self, other: Algorithm) -> None:
        """Take its weights over.

        Args:
            other: trained, and one of ``adopts``, or made of it.

        Raises:
            ConfigError: it is of another size.
        """
        ...


@runtime_checkable
class Watched(Protocol):
    """An algorithm that can tell from its metrics that something has gone wrong."""

    def alarms(self, metrics: Mapping[str, float]) -> Mapping[str, str]:
        """What has gone wrong and what to do about it, each in one line; nothing if all is well.

        The trainer asks at every log line but the first ones of a stage, and says each once.

        Args:
            metrics: of the stage, as they are logged.
        """
        ...


@runtime_checkable
class Shareable(Protocol):
    """An algorithm that several processes can train together, see ``networks.data_parallel``."""

    @staticmethod
    def require_shareable(config: Any, processes: int) -> None:
        """Refuse settings with which so many processes would not make the numbers of one.

        Raises:
            ConfigError: names the setting.
        """
        ...


@runtime_checkable
class Stackable(Protocol):
    """An algorithm that can train several models at once, see ``networks.stacking``."""

    @staticmethod
    def stackable(config: Any) -> bool:
        """Whether it can with these settings."""
        ...

    def update(
        self, stage: str, batch: Batch, generator: Sequence[torch.Generator]
    ) -> dict[str, Tensor]:
        """One gradient step of M models.

        Args:
            stage: the stage.
            batch: their batches side by side, (M, B, …), as many labeled windows in each.
            generator: of each model.

        Returns:
            Numbers of every model by name, (M,).
        """
        ...


AlgorithmClass = type[Algorithm]


class AlgorithmModule(Protocol):
    """A module of this folder, or one that another package brings."""

    Config: type[Schema]
    """Settings, with a default for each."""
    Algorithm: AlgorithmClass
    """The class."""
