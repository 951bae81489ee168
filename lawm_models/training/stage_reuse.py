"""Beginning a run at the last stage, with what another run made that was the same until then.

A world model takes longer to train than a policy in it. Runs that differ in nothing but what the
last stage reads, such as the support of the policy, can share it: a run that begins so takes over
weights, random streams and metrics, and makes the numbers that it would have made by itself.

An algorithm may also adopt what another one has learned, in place of its first stage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lawm_schemas import ConfigError, CorpusRecord, ExperimentConfig, LawmError, TakenStages
from torch import Tensor

from lawm_data.system.atomic import read_file
from lawm_models.algorithms import ALGORITHMS
from lawm_models.algorithms._protocol import Adopting, Algorithm
from lawm_models.training import checkpoint
from lawm_models.training.experiment import build
from lawm_models.training.metrics import MetricLog
from lawm_models.training.run_folder import INFORMATION, RunFolder, first_difference

IRRELEVANT = (*INFORMATION, "checkpoint_every", "evaluate_every", "evaluation_episodes")
"""Keys of the configuration on which no stage but the last depends."""
WITHOUT = "train without --from"
"""The hint that always works."""
OTHER_DATA = {
    "unlabeled": "was trained on another corpus",
    "fingerprint": "was trained on other actions",
    "mask": "was trained under another mask",
    "weight": "was trained with other weights of its corpora",
}
"""What is wrong, by what differs in the data."""


class Beginning(NamedTuple):
    """Everything that a run takes over, read and checked."""

    record: TakenStages
    """Where it is from."""
    terminates: bool
    """Whether it was trained where trajectories terminate."""
    weights: dict[str, Tensor]
    """Of the other run when its last stage began."""
    state: dict[str, Any]
    """What the trainer kept then; of what was adopted, the position alone."""
    metrics: list[dict[str, Any]]
    """Lines of the log until then."""


def is_ready(run: Path) -> bool:
    """Whether there is a run whose last stage can begin, has begun or is done."""
    try:
        return _before_last(RunFolder.open(run)).is_dir()
    except LawmError:
        return False


def read(run: Path | str, config: ExperimentConfig, data: Sequence[CorpusRecord]) -> Beginning:
    """What a new run can take over from another one.

    Args:
        run: the other run; it need not be finished.
        config: of the new run, resolved.
        data: its corpora.

    Raises:
        ConfigError: the other run is not the same until its last stage, has not come there, or is
            damaged; or there is only one stage.
    """
    other = RunFolder.open(run)
    if other.record.draws_by_hidden_actions:
        what = "was made by an earlier version of lawm, whose batches depended on hidden actions"
        raise ConfigError(what, str(other.path), f"train it anew, or {WITHOUT}")
    module = ALGORITHMS.load(config.algorithm.name).Algorithm
    adopts = getattr(module, "adopts", ())
    if other.config.algorithm.name in adopts:
        return _adopted(other, config, data)
    _require_same(other, config, data, adopts)
    *earlier, _ = config.steps
    if not earlier:
        what = f"{config.algorithm.name} has one stage, so nothing can be taken over"
        raise ConfigError(what, str(other.path), WITHOUT)
    folder = _before_last(other)
    if not folder.is_dir():
        what = f"has no checkpoint at the end of stage {earlier[-1]}"
        raise ConfigError(what, str(other.path), f"train it first, or {WITHOUT}")
    algorithm = build(config, other.record, torch.device("cpu"))
    try:
        weights, state = checkpoint.load_weights(folder), checkpoint.load_state(folder)
        algorithm.load_state_dict(_merged(weights, algorithm))
        *_, length = state["position"]
        log = read_file(other.metrics_path)[:length]
        if len(log) < length or log[-1:] not in (b"", b"\n"):
            raise ValueError("metrics.jsonl has lost lines")
        record = TakenStages(
            run=str(other.path.absolute()),
            stages=tuple(earlier),
            sha256=checkpoint.model_sha256(folder),
            versions=(other.record.taken or other.record).versions,
        )
        return Beginning(record, other.record.terminates, weights, state, other.metrics(length))
    except (LawmError, OSError, KeyError, ValueError, RuntimeError) as error:
        reason = error.what if isinstance(error, LawmError) else str(error).splitlines()[-1].strip()
        what = f"cannot be taken from: {reason}"
        raise ConfigError(what, str(folder), f"train {run} anew, or {WITHOUT}") from None


def _adopted(other: RunFolder, config: ExperimentConfig, data: Sequence[CorpusRecord]) -> Beginning:
    """What another algorithm has learned, in place of the first stage."""
    before, now = (
        {"observe": each.observe, "data": _content(each, seen)}
        for each, seen in ((other.config, other.record.corpora), (config, data))
    )
    _refuse(other, first_difference(before, now))
    if not other.is_finished():
        raise ConfigError("is not finished", str(other.path), f"train it first, or {WITHOUT}")
    theirs, algorithm = other.trained(), build(config, other.record, torch.device("cpu"))
    assert isinstance(algorithm, Adopting)
    try:
        algorithm.adopt(theirs.algorithm)
    except ConfigError as error:
        raise ConfigError(error.what, str(other.path), f"{error.hint}, or {WITHOUT}") from None
    stage, steps = next(iter(config.steps.items()))
    record = TakenStages(
        run=str(other.path.absolute()),
        stages=(stage,),
        sha256=theirs.sha256,
        versions=other.record.versions,
    )
    position = (stage, steps, steps, 0.0, 0)
    weights = algorithm.state_dict()
    return Beginning(record, other.record.terminates, weights, {"position": position}, [])


def reread(run: RunFolder) -> Beginning:
    """What a run was to take over that was killed before it had.

    Raises:
        ConfigError: it is no longer there.
    """
    taken = run.record.taken
    assert taken is not None
    try:
        found = read(taken.run, run.config, run.record.corpora)
    except ConfigError:
        found = None
    if found is None or found.record != taken:
        what = f"was to begin with what is no longer in {taken.run}"
        raise ConfigError(what, str(run.path), "remove it and train it anew")
    return found


def write(
    beginning: Beginning, run: RunFolder, algorithm: Algorithm, own: Mapping[str, Any]
) -> None:
    """Write the metrics and the checkpoint with which a new run begins.

    Args:
        beginning: what it takes over.
        run: the new run, which has made nothing yet.
        algorithm: with its fresh weights; all that are not of the last stage are replaced.
        own: what its trainer keeps before the first step.
    """
    algorithm.load_state_dict(_merged(beginning.weights, algorithm))
    log = MetricLog(run.metrics_path, run.events_path, 0, 0)
    try:
        for line in beginning.metrics:
            values = dict(line)
            stage, step, elapsed = (values.pop(key) for key in ("stage", "step", "elapsed"))
            log.write(stage, step, run.config.steps_before(stage) + step, elapsed, values)
        length = log.sync()
    finally:
        log.close()
    stage, step, total_step, elapsed, _ = beginning.state["position"]
    state = {**own, "loader": own["loader"] | {"step": total_step}, **beginning.state}
    state["position"] = (stage, step, total_step, elapsed, length)
    # no optimizers: none of a stage that is over is loaded again
    checkpoint.save_checkpoint(run.checkpoint_path(total_step), algorithm, {}, state)


def until_last_stage(config: ExperimentConfig, data: Sequence[CorpusRecord]) -> dict[str, Any]:
    """Everything that decides the numbers of all stages but the last; empty if it is the only one.

    Args:
        config: resolved.
        data: its corpora.
    """
    algorithm = ALGORITHMS.load(config.algorithm.name).Algorithm
    *earlier, last = algorithm.stages
    if not earlier:
        return {}
    content = config.model_dump(mode="json", exclude={*IRRELEVANT, "corpora"})
    content["steps"].pop(last)
    whole = {key: content.pop(key) for key in ("batch_size", "labeled_ratio")}
    for stage in earlier:
        own = content["batches"].get(stage, {})
        content["batches"][stage] = whole | {k: v for k, v in own.items() if v is not None}
    content["batches"].pop(last, None)
    for name in algorithm.last_stage.settings:
        content["algorithm"]["settings"].pop(name)
    content["data"] = _content(config, data)
    return content


def _content(config: ExperimentConfig, data: Sequence[CorpusRecord]) -> list[dict[str, Any]]:
    """What was read of the corpora."""
    return [
        {
            "unlabeled": seen.unlabeled,
            "mask": seen.mask_sha256,
            "fingerprint": seen.fingerprint,
            "features": seen.features,
            "labels": seen.labels_sha256,
            "weight": source.weight,
        }
        for seen, source in zip(data, config.corpora, strict=True)
    ]


def _merged(theirs: dict[str, Tensor], algorithm: Algorithm) -> dict[str, Any]:
    """Another run's weights, and an algorithm's own ones for the last stage."""
    own = algorithm.last_stage.modules
    ours = {k: v for k, v in algorithm.state_dict().items() if k.partition(".")[0] in own}
    return {k: v for k, v in theirs.items() if k.partition(".")[0] not in own} | ours


def _before_last(run: RunFolder) -> Path:
    """Where the checkpoint is with which a run's last stage begins."""
    *_, last = run.config.steps
    return run.checkpoint_path(run.config.steps_before(last))


def _require_same(
    other: RunFolder,
    config: ExperimentConfig,
    data: Sequence[CorpusRecord],
    adopts: Sequence[str],
) -> None:
    before, now = other.config.algorithm.name, config.algorithm.name
    if before != now and adopts:
        what = f"is of {before}, and {now} begins with a run of {', '.join(adopts)} or its own"
        raise ConfigError(what, str(other.path), WITHOUT)
    difference = ("algorithm.name", before, now) if before != now else None
    difference = difference or first_difference(
        until_last_stage(other.config, other.record.corpora), until_last_stage(config, data)
    )
    _refuse(other, difference)


def _refuse(other: RunFolder, difference: tuple[str, Any, Any] | None) -> None:
    """Refuse a run that differs."""
    if difference is None:
        return
    key, before, now = difference
    if key.startswith("data"):
        what = OTHER_DATA.get(key.rpartition(".")[2], "was trained on other corpora")
        hint = "give the same"
    else:
        what = f"{key} was {before!r} in this run and is now {now!r}"
        hint = f"set {key} back"
    raise ConfigError(what, str(other.path), f"{hint}, or {WITHOUT}")
