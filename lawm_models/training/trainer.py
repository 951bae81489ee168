"""The training loop: stages of gradient steps, logged, evaluated and checkpointed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lawm_schemas import ConfigError, Evaluation, ExperimentConfig, LawmError, RunRecord
from safetensors.torch import save as to_bytes
from torch import Tensor

from lawm_data.batches.batch import Batch
from lawm_data.batches.loader import Loader, device_of
from lawm_data.corpus.agreement import rate_notes, require_one_repeat
from lawm_data.corpus.constant_actions import inert_actions
from lawm_data.corpus.overlay import recorded_instead
from lawm_data.system.atomic import WriterLock, own_folder, storage_errors, write_file
from lawm_data.system.interrupt import Interrupt, deferred_interrupts
from lawm_data.system.output import refuse_inside
from lawm_data.system.progress import NoBar, ProgressBar
from lawm_data.system.terminal import line
from lawm_models.algorithms import ALGORITHMS
from lawm_models.algorithms._protocol import (
    Algorithm,
    CorrectsEnds,
    HoldingOut,
    Shareable,
    Watched,
    Windowed,
)
from lawm_models.training import checkpoint, processes, resume, seeding, stage_reuse
from lawm_models.training.evaluate import Evaluator
from lawm_models.training.experiment import (
    Sources,
    build,
    data_now,
    open_sources,
    resolve,
    settings_of,
)
from lawm_models.training.metrics import LogInterval, MetricLog, NonFinite
from lawm_models.training.processes import ALONE, Processes
from lawm_models.training.run_folder import RunFolder, is_run
from lawm_models.training.scales import scale_notes

EARLY, SHARE = 200, 0.2
"""Gradient steps of a stage, and share of them, before which no alarm means anything."""


def train(
    config: ExperimentConfig,
    out: Path | str,
    progress: ProgressBar | None = None,
    begin_from: Path | str | None = None,
) -> RunFolder:
    """Train in a run folder, from the start or from its newest checkpoint.

    A run that was killed goes on as if it had not been: the same batches, the same noise, the same
    metrics. A finished run returns at once, if its data are still the same or gone. Ctrl-C saves a
    checkpoint first.

    Args:
        config: the experiment; it is written out with all defaults.
        out: the run folder; new, empty, or a run of this very configuration.
        progress: shows every step.
        begin_from: a run of which a new one takes all stages but the last, see ``stage_reuse``; of
            no meaning to a run that has begun.

    Processes that ``torchrun`` has started train one run together, each on its share of every
    batch; the first one alone writes and speaks, and is the one that an interrupt stops.

    Raises:
        ConfigError: a setting is wrong, the folder is not a run or one of other settings or data.
        CorpusError: a corpus is damaged.
        StorageError: the folder is in a corpus, another process trains here, or the file system
            refuses.
        LawmError: a loss became NaN or infinite; names the term and the step. Or another process
            has ended.
        KeyboardInterrupt: interrupted, after a checkpoint.
        SystemExit: in processes after the first, when that one says why all end.
    """
    out = Path(out)
    with processes.joined(config.device) as group:
        with group.agreed():
            config = resolve(config)
            run = finished(config, out)
        if run:
            return run
        with (
            open_run(config, out, begin_from, group) as opened,
            seeding.thread_limit(config.threads),
            deferred_interrupts() as interrupt,
        ):
            Training(opened, progress or NoBar(), interrupt, group).go()
    return opened.run


class Opened(NamedTuple):
    """A run that is not finished, with everything that it is trained on."""

    run: RunFolder
    algorithm: Algorithm
    """With fresh weights."""
    sources: Sources
    evaluator: Evaluator | None
    beginning: stage_reuse.Beginning | None
    """What a new run takes over, if anything."""


def finished(config: ExperimentConfig, out: Path) -> RunFolder | None:
    """The run in a folder, if nothing is left to do.

    Raises:
        ConfigError: it is one of other settings or data, or cannot be gone on with.
    """
    run = _begun(out)
    if run is None:
        return None
    run.require_same(config)
    if run.is_finished():
        run.require_same_data(data_now(config))
        return run
    run.require_same_draws()
    return None


@contextmanager
def open_run(
    config: ExperimentConfig,
    out: Path,
    begin_from: Path | str | None,
    group: Processes = ALONE,
) -> Iterator[Opened]:
    """Begin or take up a run; inside, no other process trains in its folder.

    Args:
        config: resolved.
        out: the run folder.
        begin_from: as for ``train``.
        group: the processes that train it together.
    """
    with group.agreed():
        found = _checked(config, out, begin_from, group)
    group.require_same(_identity(config, found.record, out, begin_from), str(out))
    if group.is_first:
        _warn(found.sources, config)  # of what is refused there is one line alone
    with ExitStack() as inside:
        with group.agreed():
            if group.is_first:
                inside.enter_context(_locked(out))
                # another trainer may have started here since
                encoders = found.sources.encoders
                run = _begun(out) or RunFolder.create(out, config, found.record, encoders)
                run.require_same(config)
                run.require_same_data([view for view, _ in found.sources.corpora])
                run.require_same_processes(group.size)
        with group.agreed():
            run = RunFolder.open(out)
        yield Opened(run, found.algorithm, found.sources, found.evaluator, found.beginning)


class _Checked(NamedTuple):
    """What a process has found out before anything is written."""

    record: RunRecord
    algorithm: Algorithm
    sources: Sources
    evaluator: Evaluator | None
    beginning: stage_reuse.Beginning | None


def _checked(
    config: ExperimentConfig, out: Path, begin_from: Path | str | None, group: Processes
) -> _Checked:
    refuse_inside(out)
    sources = open_sources(config, (group.rank, group.size))
    record, beginning, begun = sources.record, None, _begun(out)
    if begun is not None:  # one that an earlier version began without foreseeing ends goes on so
        record = record.model_copy(update={"terminates": begun.record.terminates})
    else:  # earlier versions began such runs, too, which go on
        require_one_repeat([view for view, _ in sources.corpora])
    if begun is None and begin_from is not None:
        beginning = stage_reuse.read(begin_from, config, record.corpora)
        taken = {"taken": beginning.record, "terminates": beginning.terminates}
        record = record.model_copy(update=taken)
    evaluator = None
    if group.is_first:
        evaluator = Evaluator.of(config, record, sources.encoders.reads(record))
    algorithm = build(config, record, device_of(config.device))  # refuses before it leaves traces
    if isinstance(algorithm, Windowed):
        algorithm.require_window(config.window)
    if group.size > 1:
        if not isinstance(algorithm, Shareable):
            what = f"{config.algorithm.name} is trained by one process"
            raise ConfigError(what, "algorithm", "start it without torchrun")
        algorithm.require_shareable(settings_of(config), group.size)
    return _Checked(record, algorithm, sources, evaluator, beginning)


def _identity(
    config: ExperimentConfig, record: RunRecord, out: Path, begin_from: Path | str | None
) -> dict[str, Any]:
    """What processes that train a run together have in common; corpora may lie elsewhere."""
    seen = zip(config.corpora, record.corpora, strict=True)
    return {
        **config.model_dump(mode="json"),
        "corpora": [
            {"weight": source.weight, **found.model_dump(mode="json", exclude={"path"})}
            for source, found in seen
        ],
        "--out": str(out.absolute()),
        "--from": begin_from and str(Path(begin_from).absolute()),
    }


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Inside, no other process trains in a folder."""
    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    lock = WriterLock(out, "run")
    try:
        yield
    finally:
        lock.release()


def _warn(sources: Sources, config: ExperimentConfig) -> None:
    """Say on stderr what in the corpora looks as if it were not what was meant."""
    algorithm = ALGORITHMS.load(config.algorithm.name).Algorithm
    views = [view for view, _ in sources.corpora]
    if note := ends_note(config):
        line(f"warning: {note}")
    for note in scale_notes(settings_of(config), views):
        line(f"warning: {note}")
    for note in rate_notes(views):
        line(f"warning: {note}")
    for view in views:
        for note in recorded_instead(view):
            line(f"warning: {view.path}: {note}")
        for what, hint in inert_actions(view).warnings(view.path):
            line(f"warning: {view.path}: {what}; {hint}")
        unseen = int((~view.table.final_observed).sum())
        if unseen and "model" in algorithm.stages and algorithm.rewards_from != "none":
            # it foresees rewards from the state that a step leads to
            what = "was not recorded: the world model learns nothing from their last step"
            line(f"warning: {view.path}: the last observation of {unseen:,} trajectories {what}")


def ends_note(config: ExperimentConfig) -> str | None:
    """What is wrong with ``oversample_ends`` and this algorithm, in one line.

    It is not refused: published results were made so, and runs begun so go on.
    """
    algorithm = ALGORITHMS.load(config.algorithm.name).Algorithm
    corrects = isinstance(algorithm, CorrectsEnds) and algorithm.corrects_ends()
    if not (corrects and config.oversample_ends and config.window > 1):
        return None
    return (
        f"oversample_ends: {config.algorithm.name} already weights the ends of trajectories, whose "
        f"steps now count up to {config.window} times; set it to false"
    )


def _begun(out: Path) -> RunFolder | None:
    """The run in a folder, unless it has not even begun: then there is nothing to go on with."""
    run = RunFolder.open(out) if is_run(out) else None
    return run if run and run.has_begun() else None


class Training:
    """One call of ``train`` on a run that is not finished."""

    def __init__(
        self,
        opened: Opened,
        progress: ProgressBar,
        interrupt: Interrupt,
        group: Processes = ALONE,
    ) -> None:
        self.run, self.config, self.loaders = opened.run, opened.run.config, opened.sources.loaders
        self.evaluator, self.beginning = opened.evaluator, opened.beginning
        self.group, self.interrupt = group, interrupt
        self.progress = progress if group.is_first else NoBar()
        device = device_of(self.config.device)
        self.algorithm = opened.algorithm
        views = [view for view, _ in opened.sources.corpora]
        if isinstance(self.algorithm, HoldingOut):
            for stage, loader in self.loaders.items():
                self.algorithm.draws_from(stage, loader.trajectories)
        with group.agreed():
            self.algorithm.prepare(views)
        self.rates = {
            name: [group["lr"] for group in optimizer.param_groups]
            for name, optimizer in self.algorithm.optimizers().items()
        }
        self.seeds = seeding.derive(self.config.seed)
        self.generator = torch.Generator(device).manual_seed(self.seeds.updates)
        self.interval = LogInterval()
        self.position = resume.Position(self.algorithm.stages[0], 0, 0, 0.0, 0)
        self.latest: dict[str, float] = {}
        self.checkpoint: Path | None = None
        self.alarmed: set[str] = set()
        """What has been warned of."""
        self.share = 1.0
        """Of the time that passes: less than 1 where others are trained at once."""

    @property
    def num_labeled(self) -> dict[str, int | None]:
        """Labeled windows in every batch of each stage; None where that is left to chance."""
        return {stage: loader.num_labeled for stage, loader in self.loaders.items()}

    @property
    def loader(self) -> Loader:
        """Batches of the current stage."""
        return self.loaders[self.position.stage]

    def go(self) -> None:
        """Train every stage from where the newest checkpoint is, then evaluate."""
        with self.ready():
            self.train_stages()
            self.finish()

    def train_stages(self) -> None:
        """Make all gradient steps that are left."""
        for stage in self.stages_left():
            if not self.enter(stage):
                continue
            self.algorithm.begin(stage)
            self.restore_stage()
            self.progress.start(stage, self.config.steps[stage])
            self.progress.reach(self.position.step)
            while self.position.step < self.config.steps[stage]:
                self._step(stage)

    @contextmanager
    def ready(self) -> Iterator[None]:
        """Inside, everything is as the newest checkpoint says, and the log is open."""
        with storage_errors(self.run.path), seeding.ambient_randomness(self.generator.device):
            torch.manual_seed(self.seeds.ambient)
            self.checkpoint = self._restore()
            position, self.began = self.position, time.monotonic()
            self.before = position.elapsed
            if not self.group.is_first:
                yield
                return
            self.log = MetricLog(
                self.run.metrics_path,
                self.run.events_path,
                position.metrics_bytes,
                position.total_step,
            )
            try:
                yield
            finally:
                self.progress.stop()
                self.log.close()

    def _restore(self) -> Path | None:
        with self.group.agreed():
            if self.group.is_first:
                self._prepare_checkpoints()
        folder = None
        with self.group.agreed():
            if self.run.checkpoints():
                folder = self.run.latest_checkpoint()
                self.position = resume.restore(
                    folder,
                    self.config,
                    self.algorithm,
                    self.loaders,
                    self.interval,
                    self.generator,
                )
        self.group.require_same({"step": self.position.total_step}, str(self.run.path))
        self.group.require_same_weights(self.algorithm, str(self.run.path))
        return folder

    def _prepare_checkpoints(self) -> None:
        """Remove what was left half-written; begin with what is taken over, if anything."""
        checkpoints = self.run.path / "checkpoints"
        own_folder(checkpoints)
        checkpoint.remove_leftovers(checkpoints)
        if self.run.checkpoints() or self.run.record.taken is None:
            return
        beginning = self.beginning or stage_reuse.reread(self.run)
        own = resume.state_of(self.position, self.loader, self.interval, self.generator)
        stage_reuse.write(beginning, self.run, self.algorithm, own)

    @property
    def elapsed(self) -> float:
        """Seconds of training, over all calls."""
        return self.before + self.share * (time.monotonic() - self.began)

    def stages_left(self) -> tuple[str, ...]:
        """The stage of the newest checkpoint, and those after it."""
        stages = self.algorithm.stages
        return tuple(stages[stages.index(self.position.stage) :])

    def enter(self, stage: str) -> bool:
        """Go to a stage; whether it has steps left."""
        if stage != self.position.stage:
            self.position, self.checkpoint = self.position._replace(stage=stage, step=0), None
            self.loader.step = self.position.total_step
        self.latest = {}
        return self.position.step < self.config.steps[stage]

    def restore_stage(self) -> None:
        """Go on in the middle of a stage that has just begun, if the checkpoint is in it."""
        if self.checkpoint:
            resume.restore_stage(self.checkpoint, self.algorithm)

    def _step(self, stage: str) -> None:
        self.set_rates(self.algorithm)
        batch = self.loader.next()
        try:
            with self.group.step(batch):
                metrics = self.algorithm.update(stage, batch, self.generator)
        except Exception:
            self.check()  # a step on weights that are NaN may fail in any way
            raise
        self.after_step(metrics)
        if self.interrupt.requested and self.group.is_first:
            raise KeyboardInterrupt

    def after_step(self, metrics: Mapping[str, Tensor]) -> None:
        """Count a gradient step; log, evaluate and save if it is time."""
        position = self.position
        stage, step = position.stage, position.step + 1
        self.position = position._replace(step=step, total_step=position.total_step + 1)
        last = step == self.config.steps[stage]
        is_due = last or step % self.config.checkpoint_every == 0
        if is_due:
            self.group.require_same_weights(self.algorithm, str(self.run.path))
        if not self.group.is_first:
            return
        self.interval.add(self.position.total_step, metrics)
        if last or step % self.config.log_every == 0:
            self._log()
        self.progress.reach(step, self.latest)
        if self.evaluator and not last and self._evaluation_is_due(stage, step):
            self._evaluate(self.evaluator)
        if is_due or self.interrupt.requested:
            self.save()

    def set_rates(self, algorithm: Algorithm) -> None:
        """Set the learning rates of the step to come."""
        steps = self.config.steps[self.position.stage]
        left, decaying = steps - self.position.step, self.config.rate_decay * steps
        scale = min(1.0, left / decaying) if decaying else 1.0
        for name, optimizer in algorithm.optimizers().items():
            for group, rate in zip(optimizer.param_groups, self.rates[name], strict=True):
                group["lr"] = rate * scale

    def _log(self) -> None:
        self.check()
        self.latest = self.interval.read()
        self._alarm()
        self._write(self.latest)

    def _alarm(self) -> None:
        """Say once what has gone wrong; early in a stage that means nothing yet."""
        stage, step, *_ = self.position
        early = step < max(EARLY, SHARE * self.config.steps[stage])
        if early or not isinstance(self.algorithm, Watched):
            return
        for name, message in self.algorithm.alarms(self.latest).items():
            if name not in self.alarmed:
                self.alarmed.add(name)
                line(f"warning: {self.run.path}, {stage} step {step:,}: {message}")

    def _write(self, values: dict[str, float]) -> None:
        stage, step, total_step, *_ = self.position
        self.log.write(stage, step, total_step, self.elapsed, values)

    def _evaluation_is_due(self, stage: str, step: int) -> bool:
        every = self.config.evaluate_every
        return stage == self.algorithm.stages[-1] and every > 0 and step % every == 0

    def _evaluate(self, evaluator: Evaluator) -> Evaluation:
        policy = self.run.policy_of(self.algorithm)
        result = evaluator.evaluate(policy, self.seeds.evaluation)
        self._write({"return_mean": result.return_mean, "return_std": result.return_std})
        return result

    def save(self) -> None:
        """Write a checkpoint."""
        self.check()
        self.position = self.position._replace(elapsed=self.elapsed, metrics_bytes=self.log.sync())
        folder = self.run.checkpoint_path(self.position.total_step)
        resume.save(
            folder, self.algorithm, self.position, self.loader, self.interval, self.generator
        )
        self.run.prune_checkpoints()

    def finish(self) -> None:
        """The final evaluation comes after the last checkpoint, so that it cannot cost the run."""
        if self.evaluator and self.run.evaluation() is None:
            evaluation = self._evaluate(self.evaluator)
            self.log.sync()
            self.run.write_evaluation(evaluation)

    def check(self) -> None:
        """Stop, with the batch to look at, if a metric since the last look is not finite."""
        try:
            self.interval.check()
        except NonFinite as bad:
            batch = self.loader.batch(bad.row.total_step - 1)
            path = self.run.path / f"nonfinite_step_{bad.row.total_step:08d}.safetensors"
            write_file(path, to_bytes(batch_tensors(batch)))
            raise LawmError(
                f"{bad}, in stage {self.position.stage}",
                str(self.run.path),
                f"look at the batch in {path.name}, lower the learning rate or repair the data",
            ) from None


def batch_tensors(batch: Batch) -> dict[str, torch.Tensor]:
    """A batch as named tensors on the CPU, pixels as ``pixels.NAME``."""
    named = {k: v for k, v in vars(batch).items() if k != "pixels"}
    named |= {f"pixels.{k}": v for k, v in batch.pixels.items()}
    return {k: v.cpu().contiguous() for k, v in named.items()}
