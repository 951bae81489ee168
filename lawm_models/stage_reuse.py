"""Beginning a run at the last stage, with what another run made that was the same until then.

A world model takes longer to train than a policy in it. Runs that differ in nothing but what the
last stage reads, such as the support of the policy, can share it: a run that begins so takes over
weights, random streams and metrics, and makes the numbers that it would have made by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from lawm_schemas import ConfigError, CorpusRecord, ExperimentConfig, LawmError, TakenStages

from lawm_models import algorithms, checkpoint
from lawm_models.algorithms._protocol import Algorithm
from lawm_models.metrics import MetricLog
from lawm_models.run_folder import INFORMATION, RunFolder, first_difference

LAST = (*INFORMATION, "checkpoint_every", "evaluate_every", "evaluation_episodes")
"""Keys of the configuration on which the numbers of no stage depend, but those of the last may."""


def beginning(config: ExperimentConfig, data: Sequence[CorpusRecord]) -> dict[str, Any]:
    """Everything that decides the numbers of all stages but the last; empty if it is the only one.

    Args:
        config: resolved.
        data: its corpora.
    """
    algorithm = algorithms.load(config.algorithm.name).Algorithm
    *earlier, last = algorithm.stages
    if not earlier:
        return {}
    told = config.model_dump(mode="json", exclude={*LAST, "corpora"})
    told["steps"].pop(last)
    told["batches"].pop(last, None)
    for name in algorithm.last_stage.settings:
        told["algorithm"]["settings"].pop(name)
    told["data"] = [
        {"fingerprint": seen.fingerprint, "mask": seen.mask_sha256, "weight": source.weight}
        for seen, source in zip(data, config.corpora, strict=True)
    ]
    return told


def is_ready(run: Path) -> bool:
    """Whether there is a run that has only its last stage to make, or not even that."""
    try:
        return _before_last(RunFolder.open(run)).is_dir()
    except LawmError:
        return False


def take(run: Path | str, config: ExperimentConfig, data: Sequence[CorpusRecord]) -> TakenStages:
    """What a new run takes over from another one.

    Args:
        run: the other run; it need not be finished.
        config: of the new run, resolved.
        data: its corpora.

    Raises:
        ConfigError: it is not the same until the last stage, which is named with the first
            difference, or has not come there, or there is only one stage.
    """
    other = RunFolder.open(run)
    _require_same(other, config, data)
    *earlier, _ = config.steps
    if not earlier:
        what = f"{config.algorithm.name} has one stage, so nothing can be taken over"
        raise ConfigError(what, str(other.path), "train without --from")
    folder = _before_last(other)
    if not folder.is_dir():
        raise ConfigError(
            f"has not finished stage {earlier[-1]}", str(other.path), "train it first"
        )
    return TakenStages(
        run=str(other.path.absolute()),
        stages=tuple(earlier),
        sha256=checkpoint.model_sha256(folder),
        versions=(other.record.taken or other.record).versions,
    )


def take_over(run: RunFolder, algorithm: Algorithm) -> None:
    """Write the checkpoint and the metrics that a new run begins with.

    Args:
        run: its record says what it takes; it has no checkpoint yet.
        algorithm: with its fresh weights; all that are not of the last stage are replaced.

    Raises:
        ConfigError: the other run is gone, or another one is there now.
    """
    taken = run.record.taken
    assert taken is not None
    there = Path(taken.run)
    gone = not is_ready(there)
    if gone or checkpoint.model_sha256(_before_last(RunFolder.open(there))) != taken.sha256:
        what = f"no longer holds the weights that {run.path} was to begin with"
        raise ConfigError(what, taken.run, f"remove {run.path} and train it anew")
    other = RunFolder.open(there)
    folder = _before_last(other)
    _take_weights(folder, algorithm)
    state = checkpoint.load_state(folder)
    *position, length = state["position"]
    state["position"] = (*position, _take_metrics(other, run, length))
    checkpoint.save_checkpoint(_before_last(run), algorithm, algorithm.optimizers(), state)


def _take_weights(folder: Path, algorithm: Algorithm) -> None:
    theirs, ours = checkpoint.load_weights(folder), algorithm.state_dict()
    for name in ours:
        if name.partition(".")[0] not in algorithm.last_stage.modules:
            ours[name] = theirs[name]
    algorithm.load_state_dict(ours)


def _take_metrics(other: RunFolder, run: RunFolder, length: int) -> int:
    """Copy what stood in ``metrics.jsonl`` then, also for TensorBoard; its length again."""
    steps = run.config.steps
    before = dict(zip(steps, accumulate(steps.values(), initial=0), strict=False))
    log = MetricLog(run.metrics_path, run.events_path, 0, 0)
    try:
        for line in other.metrics(length):
            stage, step, elapsed = (line.pop(key) for key in ("stage", "step", "elapsed"))
            log.write(stage, step, before[stage] + step, elapsed, line)
        return log.sync()
    finally:
        log.close()


def _before_last(run: RunFolder) -> Path:
    """Where the checkpoint is with which a run's last stage begins."""
    *earlier, _ = run.config.steps.values()
    return run.checkpoint_path(sum(earlier))


def _require_same(other: RunFolder, config: ExperimentConfig, data: Sequence[CorpusRecord]) -> None:
    before, now = other.config.algorithm.name, config.algorithm.name
    difference = ("algorithm.name", before, now) if before != now else None
    difference = difference or first_difference(
        beginning(other.config, other.record.corpora), beginning(config, data)
    )
    if difference is None:
        return
    key, before, now = difference
    if key.startswith("data"):
        what, mend = "was trained on other data", "give its corpora and masks"
    else:
        what = f"{key} was {before!r} in this run and is now {now!r}"
        mend = f"set {key} back"
    raise ConfigError(what, str(other.path), f"{mend}, or train without --from")
