"""Runs that differ in seed and masks alone, trained at once as a stack of models.

Each has its own run folder, batches, noise, log, checkpoints and evaluation, as if it were alone;
only the gradient steps are made together (``networks.stacking``), so that its numbers are those of
a run alone up to the order of summation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, cast

import torch
from lawm_schemas import ConfigError, CorpusRecord, ExperimentConfig

from lawm_data.batches.loader import device_of
from lawm_data.system.interrupt import Interrupt, deferred_interrupts
from lawm_data.system.progress import NoBar, ProgressBar
from lawm_models.algorithms import ALGORITHMS
from lawm_models.algorithms._protocol import Algorithm, Stackable
from lawm_models.networks.stacking import share_moments, share_weights, side_by_side
from lawm_models.training import processes, seeding, trainer
from lawm_models.training.experiment import build, expected_labeled, resolve, settings_of
from lawm_models.training.run_folder import RunFolder, first_difference
from lawm_models.training.trainer import Training


class Asked(NamedTuple):
    """A run of a stack."""

    config: ExperimentConfig
    """Its experiment."""
    out: Path
    """Its folder."""
    begin_from: Path | str | None = None
    """As for ``trainer.train``."""


def is_stackable(config: ExperimentConfig) -> bool:
    """Whether the algorithm's gradient steps can be made for several models at once."""
    algorithm = ALGORITHMS.load(config.algorithm.name).Algorithm
    return isinstance(algorithm, Stackable) and algorithm.stackable(settings_of(config))


def alike(config: ExperimentConfig, data: Sequence[CorpusRecord]) -> str | None:
    """The same text for runs on the same corpora that may be one stack; none for one by itself.

    Args:
        config: resolved.
        data: what it sees of its corpora.
    """
    if not is_stackable(config):
        return None
    labeled = expected_labeled(config, data)
    if None in labeled.values():
        return None
    corpora = tuple(source.model_copy(update={"mask": None}) for source in config.corpora)
    changes = {"seed": 0, "corpora": corpora, "preset": None}
    return f"{config.model_copy(update=changes).to_yaml()}{labeled}"


def train_stack(asked: Sequence[Asked], progress: ProgressBar | None = None) -> list[RunFolder]:
    """Train several runs at once, each from the start or from its newest checkpoint.

    Those that stand at the same step, with as many labeled windows in every batch, are one stack.
    What cannot be stacked is trained one run after the other, with the same results: another
    algorithm or setting, and batches whose number of labeled windows is left to chance.

    Args:
        asked: the runs; their configurations differ in seed and corpora alone.
        progress: shows the steps of a stack.

    Raises:
        ConfigError: configurations differ in more, or what ``trainer.train`` raises.
        LawmError: as of ``trainer.train``; of one run, which ends the whole stack.
        KeyboardInterrupt: interrupted, after a checkpoint of every run.
    """
    asked = [each._replace(config=resolve(each.config), out=Path(each.out)) for each in asked]
    _require_alike(asked)
    first = asked[0].config
    with processes.joined(first.device) as group, group.agreed():
        if group.size > 1:
            what = "several processes train one run at a time"
            raise ConfigError(what, "--seeds", "give --seed, and one seed after the other")
    if not is_stackable(first):
        return [trainer.train(config, out, progress, begin) for config, out, begin in asked]
    runs = {each.out: trainer.finished(each.config, each.out) for each in asked}
    left = [each for each in asked if runs[each.out] is None]
    with ExitStack() as inside:
        opened = [inside.enter_context(trainer.open_run(*each)) for each in left]
        inside.enter_context(seeding.thread_limit(first.threads))
        interrupt = inside.enter_context(deferred_interrupts())
        trainings = [Training(each, progress or NoBar(), interrupt) for each in opened]
        for training in trainings:
            inside.enter_context(training.ready())
        for group in _groups(trainings):
            _train_group(group, interrupt)
        runs |= {training.run.path: training.run for training in trainings}
    return [cast(RunFolder, runs[each.out]) for each in asked]


def _require_alike(asked: Sequence[Asked]) -> None:
    ignored = {"seed", "corpora", "preset"}
    first, *others = (each.config.model_dump(mode="json", exclude=ignored) for each in asked)
    for each, other in zip(asked[1:], others, strict=True):
        if difference := first_difference(first, other):
            key, before, now = difference
            what = f"{key} is {now!r}, and {before!r} in the first of a stack"
            raise ConfigError(what, str(each.out), "train it by itself")
    if len({each.out for each in asked}) < len(asked):
        raise ConfigError("two runs of a stack", str(asked[0].out), "give each a folder")


def _groups(trainings: Iterable[Training]) -> list[list[Training]]:
    """Trainings that can go on together: each has as many labeled windows in every batch."""
    groups: dict[tuple[object, ...], list[Training]] = defaultdict(list)
    for training in trainings:
        stands = (training.position.stage, training.position.step)
        record = training.run.record
        arrays = (record.state, record.pixels, record.action, record.terminates)
        labeled = training.num_labeled
        alone = training.run.path if None in labeled.values() else None
        groups[(*stands, repr(arrays), repr(labeled), alone)].append(training)
    return list(groups.values())


def _train_group(group: Sequence[Training], interrupt: Interrupt) -> None:
    first = group[0]
    if len(group) == 1:
        first.train_stages()
        first.finish()
        return
    for training in group[1:]:
        training.progress = NoBar()
    for training in group:
        training.share = 1 / len(group)
    whole = build(first.config, first.run.record, device_of(first.config.device))
    share_weights(cast(torch.nn.Module, whole), [cast(torch.nn.Module, t.algorithm) for t in group])
    for stage in first.stages_left():
        has_steps = {training.enter(stage) for training in group}
        if not all(has_steps):
            continue
        whole.begin(stage)
        for training in group:
            training.restore_stage()
        for name, optimizer in whole.optimizers().items():
            share_moments(optimizer, [t.algorithm.optimizers()[name] for t in group])
        total = first.config.steps[stage]
        first.progress.start(stage, total)
        first.progress.reach(first.position.step)
        while first.position.step < total:
            _step(whole, stage, group, interrupt)
    for training in group:
        training.finish()


def _step(whole: Algorithm, stage: str, group: Sequence[Training], interrupt: Interrupt) -> None:
    first = group[0]
    first.set_rates(whole)
    batch = side_by_side([training.loader.next() for training in group])
    generators = [training.generator for training in group]
    try:
        metrics = cast(Stackable, whole).update(stage, batch, generators)
    except Exception:
        for training in group:
            training.check()  # a step on weights that are NaN may fail in any way
        raise
    each = {name: values.unbind() for name, values in metrics.items()}
    for i, training in enumerate(group):
        training.after_step({name: values[i] for name, values in each.items()})
    if interrupt.requested:
        for training in group:
            if training.position.total_step not in training.run.checkpoints():
                training.save()
        raise KeyboardInterrupt
