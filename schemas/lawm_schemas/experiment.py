"""What a training run is told: ``config.yaml`` in a run folder."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from lawm_schemas.base import Count, Schema, Size


class CorpusSource(Schema):
    """One corpus of a training mix."""

    path: str
    """Folder of the corpus, or its address on the Hub: ``hf://user/name@REVISION``."""
    mask: str | None = Field(default=None, min_length=1)
    """Name of the mask it is seen through, or none for all recorded actions."""
    labels: str | None = Field(default=None, min_length=1)
    """Name of inferred actions (``lawm relabel``) that are trained on as if they were observed,
    where none are; none for observed actions alone."""
    weight: float = Field(default=1.0, gt=0)
    """Relative share of the windows drawn from it."""


class AlgorithmChoice(Schema):
    """Which algorithm, with which settings."""

    name: str
    """A module in ``lawm_models.algorithms``, such as ``lawm``."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Validated by the algorithm's own ``Config``."""


class StageBatches(Schema):
    """What differs in the batches of one stage; None is what the experiment says."""

    batch_size: Size | None = None
    """B, windows per batch."""
    labeled_ratio: float | None = Field(default=None, ge=0, le=1)
    """Share of labeled windows in a batch."""


class ExperimentConfig(Schema):
    """A run, completely: the same config and seed on one machine give the same numbers."""

    corpora: tuple[CorpusSource, ...] = Field(min_length=1)
    """The data."""
    algorithm: AlgorithmChoice
    """The algorithm."""
    preset: str | None = None
    """Preset the settings came from (information only)."""
    observe: str = "state"
    """What is observed: ``state``, ``pixels``, ``pixels:CAMERA``, ``features:NAME``, or several of
    them with ``+`` between them."""
    steps: dict[str, int]
    """Gradient steps per stage, e.g. ``{model: 3000, agent: 1500}``."""
    rate_decay: float = Field(default=0.0, ge=0, le=1)
    """Share of every stage, its end, over which the learning rates fall linearly to zero."""
    batch_size: Size = 64
    """B, windows per batch."""
    window: Size = 50
    """T, steps per window; 1 draws single transitions."""
    labeled_ratio: float | None = Field(default=None, ge=0, le=1)
    """Share of labeled windows in a batch; none draws windows as they come."""
    batches: dict[str, StageBatches] = Field(default_factory=dict)
    """What differs in the batches of a stage, by its name."""
    label_unit: Literal["trajectory", "window"] = "trajectory"
    """What Eq. 10's m is taken over for partially labeled trajectories."""
    short: Literal["drop", "pad", "error"] = "pad"
    """What happens to trajectories shorter than the window."""
    oversample_ends: bool = False
    """See the first and last steps of trajectories about as often as the others. Windows that are
    drawn uniformly see the first step, where every evaluation begins, T times less often."""
    random_shift: int = Field(default=0, ge=0, le=64)
    """Pixels by which the pictures of a window move at random, all alike (DrQ); 0 for none."""
    frame_stack: int = Field(default=1, ge=1, le=16)
    """Pictures of so many steps are seen at each, one behind the other in the channels; before the
    first one it is repeated."""
    seed: int = Field(default=0, ge=0)
    """The one seed."""
    device: str = "cpu"
    """``cpu``, ``cuda`` or ``cuda:N``."""
    threads: Count = 1
    """CPU threads of the process; on small networks one is usually best."""
    log_every: int = Field(default=100, ge=1)
    """Gradient steps between metric lines."""
    checkpoint_every: int = Field(default=500, ge=1)
    """Gradient steps between checkpoints."""
    evaluate_every: int = Field(default=0, ge=0)
    """Agent steps between evaluations in the environment; 0 evaluates at the end only."""
    evaluation_episodes: int = Field(default=10, ge=0)
    """Episodes of an evaluation; 0 skips it."""

    def steps_before(self, stage: str) -> int:
        """Gradient steps of all stages before one."""
        stages = list(self.steps)
        return sum(self.steps[name] for name in stages[: stages.index(stage)])

    @model_validator(mode="after")
    def _positive_steps(self) -> ExperimentConfig:
        for stage, steps in self.steps.items():
            if steps < 0:
                raise ValueError(f"steps.{stage} is negative")
        return self
