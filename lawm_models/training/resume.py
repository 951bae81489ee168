"""Going on from a checkpoint as if nothing had happened: what it holds, written and taken up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import index
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from lawm_schemas import ExperimentConfig

from lawm_data.batches.loader import Loader
from lawm_models.algorithms._protocol import Algorithm
from lawm_models.training import checkpoint, seeding
from lawm_models.training.metrics import LogInterval


class Position(NamedTuple):
    """Where training is."""

    stage: str
    step: int
    """Gradient steps of the stage."""
    total_step: int
    """Gradient steps of all stages."""
    elapsed: float
    """Seconds spent training."""
    metrics_bytes: int
    """Length of ``metrics.jsonl``."""

    @classmethod
    def parse(cls, saved: Sequence[Any], config: ExperimentConfig) -> Self:
        """What a checkpoint holds.

        Raises:
            ValueError, TypeError: it is no place in a run of this configuration.
        """
        stage, *numbers = saved
        step, total_step, elapsed, length = numbers
        position = cls(stage, index(step), index(total_step), float(elapsed), index(length))
        if total_step != config.steps_before(stage) + step or min(step, elapsed, length) < 0:
            raise ValueError("its numbers of steps contradict each other")
        return position


def save(
    folder: Path,
    algorithm: Algorithm,
    position: Position,
    loader: Loader,
    interval: LogInterval,
    generator: torch.Generator,
) -> None:
    """Write a checkpoint of everything that the steps to come depend on.

    Args:
        folder: of the checkpoint; appears complete or not at all.
        algorithm: with its weights and optimizers.
        position: after the last step.
        loader: batches of the stage.
        interval: steps that the log does not have yet.
        generator: of the updates' noise.

    Raises:
        StorageError: the file system refuses.
    """
    state = state_of(position, loader, interval, generator)
    checkpoint.save_checkpoint(folder, algorithm, algorithm.optimizers(), state)


def state_of(
    position: Position, loader: Loader, interval: LogInterval, generator: torch.Generator
) -> dict[str, Any]:
    """What a checkpoint holds beside weights and optimizers."""
    return {
        "position": tuple(position),
        "loader": loader.state_dict(),
        "interval": interval.state(),
        "generators": seeding.generator_states(generator),
    }


def restore(
    folder: Path,
    config: ExperimentConfig,
    algorithm: Algorithm,
    loaders: Mapping[str, Loader],
    interval: LogInterval,
    generator: torch.Generator,
) -> Position:
    """Bring everything into the state that ``save`` wrote, but the stage's optimizers.

    Args:
        folder: the checkpoint.
        config: of the run.
        algorithm: takes the weights.
        loaders: by stage; the one of the checkpoint's stage goes to its next batch.
        interval: takes the steps that are not logged yet.
        generator: goes on with its noise, as do the global generators.

    Returns:
        Where training goes on.

    Raises:
        ConfigError: the weights are other than this version's.
        StorageError: the checkpoint is damaged.
    """
    state = checkpoint.load_state(folder)
    with checkpoint.understood(folder):
        position = Position.parse(state["position"], config)
        loader = loaders[position.stage]
        loader.load_state_dict(state["loader"])
        if loader.step != position.total_step:
            raise ValueError(f"{loader.step} batches for {position.total_step} steps")
        interval.restore(state["interval"], generator.device)
        seeding.restore_generators(generator, state["generators"])
    checkpoint.load_module(folder, algorithm)
    return position


def restore_stage(folder: Path, algorithm: Algorithm) -> None:
    """Go on in the middle of a stage that ``algorithm`` has just begun.

    Args:
        folder: the checkpoint.
        algorithm: takes the optimizers, and the weights once more: beginning a stage may have set
            some for a fresh start.
    """
    checkpoint.load_module(folder, algorithm)
    checkpoint.load_optimizers(folder, algorithm.optimizers())
