"""A run folder: what was asked for, what it was run on, and everything that came out.

``config.yaml`` (complete), ``run.json``, ``metrics.jsonl``, ``tensorboard/``, ``checkpoints/``,
``evaluation.json``, and ``encoders/`` of a run on features. A folder is a run as soon as
``config.yaml`` is in it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple, Self, cast

import torch
from lawm_schemas import (
    ArraySpec,
    ConfigError,
    Evaluation,
    ExperimentConfig,
    LawmError,
    RunRecord,
)

from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.mask import mask_sha256
from lawm_data.envs.policy import VectorPolicy
from lawm_data.system.atomic import TEMPORARY, storage_errors, write_file
from lawm_models.algorithms._protocol import Acting, Algorithm, Plannable
from lawm_models.networks.planning_model import PlanningModel
from lawm_models.networks.policies import StackingPolicy, StepPolicy
from lawm_models.training import checkpoint
from lawm_models.training.experiment import (
    build,
    is_of,
    is_of_unlabeled,
    learns_policy,
    resolve,
)
from lawm_models.training.frozen_encoders import RunEncoders
from lawm_models.training.metrics import read_metrics

CONFIG = "config.yaml"
RECORD = "run.json"
METRICS = "metrics.jsonl"
EVALUATION = "evaluation.json"
ENCODERS = "encoders"
KEEP = 2
"""Checkpoints kept beside the last one of every stage."""
UNSET = "(unset)"
"""Value of a key that only one of two configurations has."""
INFORMATION = ("preset",)
"""Keys of the configuration that change nothing."""


class TrainedAlgorithm(NamedTuple):
    """What a checkpoint holds."""

    algorithm: Algorithm
    """With its weights."""
    sha256: str
    """Hash of the weights."""


class RunFolder:
    """An existing run.

    Attributes:
        path: the folder.
        config: the resolved configuration.
        record: data, versions and arrays.
    """

    def __init__(self, path: Path, config: ExperimentConfig, record: RunRecord) -> None:
        self.path = path
        self.config = config
        self.record = record

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Open a run.

        Raises:
            ConfigError: the folder is not a run, or this version cannot read it.
        """
        path = Path(path)
        if not (path / CONFIG).is_file():
            raise ConfigError("not a run folder", str(path), "give the --out of a `lawm train`")
        config = resolve(ExperimentConfig.read_yaml(path / CONFIG))
        return cls(path, config, RunRecord.read_json(path / RECORD))

    @classmethod
    def create(
        cls,
        path: Path,
        config: ExperimentConfig,
        record: RunRecord,
        encoders: RunEncoders | None = None,
    ) -> Self:
        """Turn a folder in which nothing has begun into a run; ``config`` is resolved."""
        if encoders is not None:
            encoders.write(path / ENCODERS)
        write_file(path / RECORD, record.to_json().encode())
        write_file(path / CONFIG, config.to_yaml().encode())
        return cls(path, config, record)

    @property
    def metrics_path(self) -> Path:
        """The metrics, one JSON object per line."""
        return self.path / METRICS

    @property
    def events_path(self) -> Path:
        """Folder of TensorBoard's event files."""
        return self.path / "tensorboard"

    @property
    def total_steps(self) -> int:
        """Gradient steps of all stages."""
        return sum(self.config.steps.values())

    def metrics(self, length: int | None = None) -> list[dict[str, Any]]:
        """Every line of ``metrics.jsonl`` so far, or of its first ``length`` bytes.

        Raises:
            ConfigError: a line is not what this run has written.
        """
        rows = read_metrics(self.metrics_path, length)
        for number, row in enumerate(rows, 1):
            if row["stage"] not in self.config.steps:
                where = f"{self.metrics_path}, line {number}"
                what = f"is of a stage {row['stage']!r}, which this run does not have"
                raise ConfigError(what, where, "restore the file from a copy")
        return rows

    def evaluation(self) -> Evaluation | None:
        """The evaluation that ended the training, if it has been made."""
        path = self.path / EVALUATION
        return Evaluation.read_json(path) if path.exists() else None

    def write_evaluation(self, evaluation: Evaluation) -> None:
        """Keep the evaluation that ends the training."""
        write_file(self.path / EVALUATION, evaluation.to_json().encode())

    def checkpoints(self) -> dict[int, Path]:
        """Checkpoints by the number of gradient steps of all stages, ascending."""
        found = sorted((self.path / "checkpoints").glob("step_*"))
        steps = ((path.name.removeprefix("step_"), path) for path in found)
        return {int(step): path for step, path in steps if step.isdecimal()}

    def checkpoint_path(self, total_step: int) -> Path:
        """Where the checkpoint after so many gradient steps is."""
        return self.path / "checkpoints" / f"step_{total_step:08d}"

    def latest_checkpoint(self) -> Path:
        """The newest checkpoint.

        Raises:
            ConfigError: there is none.
        """
        found = self.checkpoints()
        if not found:
            raise ConfigError("has no checkpoint yet", str(self.path), "train it first")
        return found[max(found)]

    def prune_checkpoints(self) -> None:
        """Remove all but the newest ones and the last one of every stage."""
        found = self.checkpoints()
        ends = set(accumulate(self.config.steps.values()))
        for total_step in sorted(found)[:-KEEP]:
            if total_step not in ends:
                checkpoint.remove_checkpoint(found[total_step])

    def has_begun(self) -> bool:
        """Something has been trained, or at least a log been opened for it."""
        return self.metrics_path.exists() or bool(self.checkpoints())

    def is_finished(self) -> bool:
        """All gradient steps are made and, when one was asked for, the evaluation too."""
        if self.total_steps not in self.checkpoints():
            return False
        return not self.wants_evaluation() or self.evaluation() is not None

    def wants_evaluation(self) -> bool:
        """Episodes were asked for, the data name their environment, and a policy is learned."""
        known = self.record.environment is not None
        return known and self.config.evaluation_episodes > 0 and learns_policy(self.config)

    def algorithm(self, device: str | torch.device = "cpu") -> Algorithm:
        """The trained algorithm, from the newest checkpoint."""
        return self.trained(device).algorithm

    def trained(self, device: str | torch.device = "cpu") -> TrainedAlgorithm:
        """The newest checkpoint, loaded; safe while another process trains here."""
        algorithm = build(self.config, self.record, torch.device(device))
        while True:
            folder = self.latest_checkpoint()
            try:
                checkpoint.load_module(folder, algorithm)
                return TrainedAlgorithm(algorithm, checkpoint.model_sha256(folder))
            except LawmError:
                if os.path.lexists(folder):
                    raise
                # the trainer has removed it meanwhile, so there is a newer one

    def acting(self, algorithm: Algorithm) -> Acting:
        """The run's algorithm, for its policy.

        Raises:
            ConfigError: it learns none.
        """
        if not isinstance(algorithm, Acting):
            what = f"{self.config.algorithm.name} learns no policy"
            raise ConfigError(what, str(self.path), "give a run of an algorithm that does")
        return algorithm

    def encoders(self) -> RunEncoders:
        """What made the features that the run observes."""
        return RunEncoders.read(self.path / ENCODERS)

    def reads(self) -> tuple[ArraySpec, ...]:
        """What its policy has to be given, in order: what was recorded, not features of it."""
        return self.encoders().reads(self.record)

    def policy_of(self, algorithm: Algorithm, deterministic: bool = True) -> VectorPolicy:
        """The policy of the run's algorithm; it acts on ``reads()``.

        Raises:
            ConfigError: it learns none.
        """
        policy = self.acting(algorithm).policy(deterministic)
        if self.config.frame_stack > 1:
            specs = self.record.observations
            policy = StackingPolicy(cast(StepPolicy, policy), specs, self.config.frame_stack)
        return self.encoders().before(policy, self.record)

    def planning_model(self, algorithm: Algorithm) -> PlanningModel:
        """The world model of the run's algorithm, to plan in; it reads ``reads()``.

        Raises:
            ConfigError: it learns none.
        """
        if not isinstance(algorithm, Plannable):
            what = f"{self.config.algorithm.name} learns no world model to plan in"
            raise ConfigError(what, str(self.path), "give a run of an algorithm that does: lawm")
        if self.config.frame_stack > 1:
            what = "planning in stacks of frames is not possible"
            raise ConfigError(what, str(self.path), "train with frame_stack=1")
        return self.encoders().before_model(algorithm.planning_model(), self.record)

    def require_same(self, config: ExperimentConfig) -> None:
        """Refuse to go on with another configuration.

        Raises:
            ConfigError: names the first key that differs, and both values.
        """
        old, new = (
            c.model_dump(mode="json", exclude=set(INFORMATION)) for c in (self.config, config)
        )
        difference = first_difference(old, new)
        if difference:
            key, before, after = difference
            raise ConfigError(
                f"{key} was {before!r} in this run and is now {after!r}",
                str(self.path),
                f"set {key} back, or choose another --out",
            )

    def require_same_data(self, data: Sequence[Corpus | None]) -> None:
        """Refuse to go on with data that have changed.

        Args:
            data: the corpora as they are now, through their masks; None for one that is not to be
                looked at.

        Raises:
            ConfigError: names the corpus.
        """
        for before, now in zip(self.record.corpora, data, strict=True):
            if now is not None and not is_of(before, now):
                mask = None if now.mask is None else mask_sha256(now.mask)
                labels = now.overlay and now.overlay.sha256
                what, same = "corpus", is_of_unlabeled(before, now)
                if same and mask != before.mask_sha256:
                    what = "mask"
                elif same and labels != before.labels_sha256:
                    what = f"overlay {before.labels}"
                raise ConfigError(
                    f"the {what} has changed since {self.path} started",
                    before.path,
                    "restore it, or choose another --out",
                )

    def require_same_processes(self, count: int) -> None:
        """Refuse to go on with another number of processes, which sums in another order.

        Raises:
            ConfigError: says how many there were.
        """
        before = self.record.processes
        if before != count:
            what = f"was begun by {before} processes and would go on by {count}"
            raise ConfigError(what, str(self.path), f"start {before}, or choose another --out")

    def require_same_draws(self) -> None:
        """Refuse to go on where an earlier version began.

        Raises:
            ConfigError: its batches depended on hidden actions, too; this version draws others.
        """
        if self.record.draws_by_hidden_actions:
            raise ConfigError(
                "cannot go on: it was begun by an earlier version of lawm, whose batches depended "
                "on hidden actions",
                str(self.path),
                "choose another --out; lawm evaluate and lawm relabel still read this one",
            )


def is_run(path: Path) -> bool:
    """Whether there is a run.

    Raises:
        ConfigError: there is something else.
    """
    if (path / CONFIG).is_file():
        return True
    with storage_errors(path):
        if path.exists() and not path.is_dir():
            raise ConfigError("exists and is a file", str(path), "choose another --out")
        content = {p.name for p in path.iterdir()} if path.exists() else set()
    # what a trainer leaves that was killed before the folder became a run
    own = {".lock", RECORD, ENCODERS}
    foreign = {name for name in content if not name.startswith(TEMPORARY)} - own
    if foreign:
        raise ConfigError(
            f"exists and is not a run (it holds {min(foreign)})", str(path), "choose another --out"
        )
    return False


def first_difference(old: Any, new: Any, key: str = "") -> tuple[str, Any, Any] | None:
    """Dotted key and both values of the first leaf that differs, in the order of ``new``."""
    if isinstance(old, dict) and isinstance(new, dict):
        names = [*new, *(name for name in old if name not in new)]
        pairs = [(name, old.get(name, UNSET), new.get(name, UNSET)) for name in names]
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = [(i, a, b) for i, (a, b) in enumerate(zip(old, new, strict=True))]
    else:
        return None if old == new else (key, old, new)
    for name, a, b in pairs:
        difference = first_difference(a, b, f"{key}.{name}" if key else str(name))
        if difference:
            return difference
    return None
