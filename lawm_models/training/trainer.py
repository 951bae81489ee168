"""The training loop: stages of gradient steps, logged, evaluated and checkpointed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import torch
from lawm_schemas import Evaluation, ExperimentConfig, LawmError
from safetensors.torch import save as to_bytes

from lawm_data.batches.batch import Batch
from lawm_data.batches.loader import Loader, device_of
from lawm_data.corpus.agreement import rate_notes
from lawm_data.corpus.inert import inert_actions
from lawm_data.system.atomic import WriterLock, own_folder, storage_errors, write_file
from lawm_data.system.interrupt import Interrupt, deferred_interrupts
from lawm_data.system.output import refuse_inside
from lawm_data.system.progress import NoBar, ProgressBar
from lawm_data.system.terminal import line
from lawm_models.algorithms import ALGORITHMS
from lawm_models.algorithms._protocol import Algorithm
from lawm_models.training import checkpoint, resume, seeding, stage_reuse
from lawm_models.training.evaluate import Evaluator
from lawm_models.training.experiment import Sources, build, data_now, open_sources, resolve
from lawm_models.training.metrics import LogInterval, MetricLog, NonFinite
from lawm_models.training.run_folder import RunFolder, is_run


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

    Raises:
        ConfigError: a setting is wrong, the folder is not a run or one of other settings or data.
        CorpusError: a corpus is damaged.
        StorageError: the folder is in a corpus, another process trains here, or the file system
            refuses.
        LawmError: a loss became NaN or infinite; names the term and the step.
        KeyboardInterrupt: interrupted, after a checkpoint.
    """
    config, out = resolve(config), Path(out)
    run = _begun(out)
    if run:
        run.require_same(config)
        if run.is_finished():
            run.require_same_data(data_now(config))
            return run
        run.require_same_draws()
    refuse_inside(out)
    sources = open_sources(config)
    _warn(sources, ALGORITHMS.load(config.algorithm.name).Algorithm.stages)
    record, beginning = sources.record, None
    if begin_from is not None and not run:
        beginning = stage_reuse.read(begin_from, config, record.corpora)
        record = record.model_copy(update={"taken": beginning.record})
    evaluator = Evaluator.of(config, record, sources.encoders.reads(record))
    algorithm = build(config, record, device_of(config.device))  # refuses before it leaves traces
    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    lock = WriterLock(out, "run")
    try:
        # another trainer may have started here since
        run = _begun(out) or RunFolder.create(out, config, record, sources.encoders)
        run.require_same(config)
        run.require_same_data([view for view, _ in sources.corpora])
        with seeding.thread_limit(config.threads), deferred_interrupts() as interrupt:
            training = _Training(run, algorithm, sources, evaluator, progress or NoBar(), interrupt)
            training.go(beginning)
    finally:
        lock.release()
    return run


def _warn(sources: Sources, stages: Sequence[str]) -> None:
    """Say on stderr what in the corpora looks as if it were not what was meant."""
    views = [view for view, _ in sources.corpora]
    for note in rate_notes(views):
        line(f"warning: {note}")
    for view in views:
        for what, hint in inert_actions(view).warnings(view.path):
            line(f"warning: {view.path}: {what}; {hint}")
        unseen = int((~view.table.final_observed).sum())
        if unseen and "model" in stages:
            # it foresees rewards from the state that a step leads to
            what = "was not recorded: the world model learns nothing from their last rewards"
            line(f"warning: {view.path}: the last observation of {unseen:,} trajectories {what}")


def _begun(out: Path) -> RunFolder | None:
    """The run in a folder, unless it has not even begun: then there is nothing to go on with."""
    run = RunFolder.open(out) if is_run(out) else None
    return run if run and run.has_begun() else None


class _Training:
    """One call of ``train`` on a run that is not finished."""

    def __init__(
        self,
        run: RunFolder,
        algorithm: Algorithm,
        sources: Sources,
        evaluator: Evaluator | None,
        progress: ProgressBar,
        interrupt: Interrupt,
    ) -> None:
        self.run, self.config, self.loaders = run, run.config, sources.loaders
        self.evaluator, self.progress, self.interrupt = evaluator, progress, interrupt
        device = device_of(run.config.device)
        self.algorithm = algorithm
        self.algorithm.prepare([corpus for corpus, _ in sources.corpora])
        self.rates = {
            name: [group["lr"] for group in optimizer.param_groups]
            for name, optimizer in self.algorithm.optimizers().items()
        }
        self.seeds = seeding.derive(run.config.seed)
        self.generator = torch.Generator(device).manual_seed(self.seeds.updates)
        self.interval = LogInterval()
        self.position = resume.Position(self.algorithm.stages[0], 0, 0, 0.0, 0)
        self.latest: dict[str, float] = {}

    @property
    def loader(self) -> Loader:
        """Batches of the current stage."""
        return self.loaders[self.position.stage]

    def go(self, beginning: stage_reuse.Beginning | None) -> None:
        """Train every stage from where the newest checkpoint is, then evaluate.

        Args:
            beginning: what a new run takes over, if anything.
        """
        with storage_errors(self.run.path), seeding.ambient_randomness(self.generator.device):
            torch.manual_seed(self.seeds.ambient)
            folder = self._restore(beginning)
            position = self.position
            self.clock = time.monotonic() - position.elapsed
            self.log = MetricLog(
                self.run.metrics_path,
                self.run.events_path,
                position.metrics_bytes,
                position.total_step,
            )
            try:
                self._stages(folder)
                self._finish()
            finally:
                self.progress.stop()
                self.log.close()

    def _restore(self, beginning: stage_reuse.Beginning | None) -> Path | None:
        checkpoints = self.run.path / "checkpoints"
        own_folder(checkpoints)
        checkpoint.remove_leftovers(checkpoints)
        if not self.run.checkpoints():
            if self.run.record.taken is None:
                return None
            if beginning is None:
                beginning = stage_reuse.reread(self.run)
            stage_reuse.write(beginning, self.run, self.algorithm)
        folder = self.run.latest_checkpoint()
        self.position = resume.restore(
            folder, self.algorithm, self.loaders, self.interval, self.generator
        )
        return folder

    def _stages(self, folder: Path | None) -> None:
        stages = self.algorithm.stages
        for stage in stages[stages.index(self.position.stage) :]:
            total, resumed = self.config.steps[stage], stage == self.position.stage
            if not resumed:
                self.position = self.position._replace(stage=stage, step=0)
                self.loader.step = self.position.total_step
            if self.position.step >= total:
                continue
            self.algorithm.begin(stage)
            if folder and resumed:
                resume.restore_stage(folder, self.algorithm)
            self.latest = {}
            self.progress.start(stage, total)
            self.progress.reach(self.position.step)
            while self.position.step < total:
                self._step(stage)

    def _step(self, stage: str) -> None:
        position = self.position
        self._set_rates(self.config.steps[stage] - position.step)
        batch = self.loader.next()
        try:
            metrics = self.algorithm.update(stage, batch, self.generator)
        except Exception:
            self._check()  # a step on weights that are NaN may fail in any way
            raise
        step = position.step + 1
        self.position = position._replace(step=step, total_step=position.total_step + 1)
        self.interval.add(self.position.total_step, metrics)
        last = step == self.config.steps[stage]
        if last or step % self.config.log_every == 0:
            self._log()
        self.progress.reach(step, self.latest)
        if self.evaluator and not last and self._evaluation_is_due(stage, step):
            self._evaluate(self.evaluator)
        if last or self.interrupt.requested or step % self.config.checkpoint_every == 0:
            self._save()
        if self.interrupt.requested:
            raise KeyboardInterrupt

    def _set_rates(self, left: int) -> None:
        """Learning rates with ``left`` steps to go in the stage, this one included."""
        decaying = self.config.rate_decay * (left + self.position.step)
        scale = min(1.0, left / decaying) if decaying else 1.0
        for name, optimizer in self.algorithm.optimizers().items():
            for group, rate in zip(optimizer.param_groups, self.rates[name], strict=True):
                group["lr"] = rate * scale

    def _log(self) -> None:
        self._check()
        self.latest = self.interval.read()
        self._write(self.latest)

    def _write(self, values: dict[str, float]) -> None:
        stage, step, total_step, *_ = self.position
        self.log.write(stage, step, total_step, time.monotonic() - self.clock, values)

    def _evaluation_is_due(self, stage: str, step: int) -> bool:
        every = self.config.evaluate_every
        return stage == self.algorithm.stages[-1] and every > 0 and step % every == 0

    def _evaluate(self, evaluator: Evaluator) -> Evaluation:
        policy = self.run.policy_of(self.algorithm)
        result = evaluator.evaluate(policy, self.seeds.evaluation)
        self._write({"return_mean": result.return_mean, "return_std": result.return_std})
        return result

    def _save(self) -> None:
        self._check()
        self.position = self.position._replace(
            elapsed=time.monotonic() - self.clock, metrics_bytes=self.log.sync()
        )
        folder = self.run.checkpoint_path(self.position.total_step)
        resume.save(
            folder, self.algorithm, self.position, self.loader, self.interval, self.generator
        )
        self.run.prune_checkpoints()

    def _finish(self) -> None:
        """The final evaluation comes after the last checkpoint, so that it cannot cost the run."""
        if self.evaluator and self.run.evaluation() is None:
            evaluation = self._evaluate(self.evaluator)
            self.log.sync()
            self.run.write_evaluation(evaluation)

    def _check(self) -> None:
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
