"""Metrics: kept on the device between log lines, then JSON lines and TensorBoard points."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Float
from lawm_schemas import ConfigError
from lawm_schemas.plain_json import parse_json
from torch import Tensor

from lawm_data.system.atomic import own_folder
from lawm_data.system.notebook import grid
from lawm_data.system.optional import optional

if TYPE_CHECKING:
    from pandas import DataFrame
    from torch.utils.tensorboard import SummaryWriter


class Row(NamedTuple):
    """The metrics of one gradient step."""

    total_step: int
    """Gradient step over all stages, from 1; its batch is number ``total_step - 1``."""
    names: tuple[str, ...]
    """Names of the metrics."""
    values: Float[Tensor, " K"]
    """Their values, on the device."""


class NonFinite(Exception):
    """A metric became NaN or infinite; carries the first such step.

    Args:
        row: the step.
        name: the first bad metric of the step.
        value: what it was.
    """

    def __init__(self, row: Row, name: str, value: float) -> None:
        super().__init__(f"{name} is {value} at step {row.total_step}")
        self.row, self.name, self.value = row, name, value


class LogInterval:
    """The steps since the last log line. Nothing waits for the device until they are read."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def add(self, total_step: int, metrics: Mapping[str, Tensor]) -> None:
        """Remember one step."""
        # stacking copies, so an algorithm may hand out a buffer that it changes later
        values = torch.stack([value.detach().float() for value in metrics.values()])
        self.rows.append(Row(total_step, tuple(metrics), values))

    def check(self) -> list[list[float]]:
        """Values of every step, read from the device at once.

        Raises:
            NonFinite: a value is not finite.
        """
        if not self.rows:
            return []
        flat = torch.cat([row.values for row in self.rows]).cpu()
        split = flat.split([len(row.names) for row in self.rows])
        values = [part.tolist() for part in split]
        for row, numbers in zip(self.rows, values, strict=True):
            for name, number in zip(row.names, numbers, strict=True):
                if not math.isfinite(number):
                    raise NonFinite(row, name, number)
        return values

    def read(self) -> dict[str, float]:
        """Mean of every metric over the steps that reported it; starts a new interval.

        Raises:
            NonFinite: a value is not finite.
        """
        collected: dict[str, list[float]] = {}
        for row, numbers in zip(self.rows, self.check(), strict=True):
            for name, value in zip(row.names, numbers, strict=True):
                collected.setdefault(name, []).append(value)
        self.rows = []
        return {name: math.fsum(values) / len(values) for name, values in collected.items()}

    def state(self) -> list[dict[str, Any]]:
        """The steps as a tree for a checkpoint."""
        return [row._asdict() for row in self.rows]

    def restore(self, state: list[dict[str, Any]], device: torch.device) -> None:
        """Undo ``state``.

        Raises:
            ValueError, TypeError: it is none.
        """
        rows = [Row(**row) for row in state]
        if any(row.values.shape != (len(row.names),) for row in rows):
            raise ValueError("names and values of metrics differ in number")
        self.rows = [row._replace(values=row.values.to(device)) for row in rows]


class MetricLog:
    """``metrics.jsonl`` and TensorBoard's event files; continues where a checkpoint left off.

    Args:
        path: the JSONL file.
        events: folder of the event files.
        offset: length of the file at the checkpoint; later lines are dropped.
        total_step: step over all stages at the checkpoint; TensorBoard hides later points.

    Raises:
        ConfigError: a link, or no regular file, has the name of the JSONL file.
        StorageError: the folder of the event files is a link, or the file system refused.
    """

    def __init__(self, path: Path, events: Path, offset: int, total_step: int) -> None:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            # what a link leads to may be somebody's, and would be cut
            raise ConfigError("is a link, or no regular file", str(path), "move it away")
        self._file = open(path, "ab")  # noqa: SIM115 (closed in close)
        self._file.truncate(min(offset, path.stat().st_size))
        self._file.seek(0, os.SEEK_END)
        own_folder(events)
        self._board = _board(events, total_step + 1)

    def write(
        self, stage: str, step: int, total_step: int, elapsed: float, values: Mapping[str, float]
    ) -> None:
        """One line, one point per value.

        Args:
            stage: stage of training.
            step: gradient steps of the stage.
            total_step: gradient steps of all stages.
            elapsed: seconds of training.
            values: finite numbers by name.
        """
        line = {"stage": stage, "step": step, "elapsed": round(elapsed, 3), **values}
        self._file.write(json.dumps(line, allow_nan=False).encode() + b"\n")
        self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(f"{stage}/{name}", value, total_step)

    def sync(self) -> int:
        """Make everything written durable.

        Returns:
            Length of the JSONL file.
        """
        self._file.flush()
        os.fsync(self._file.fileno())
        self._board.flush()
        return self._file.tell()

    def close(self) -> None:
        """Close both."""
        self._file.close()
        self._board.close()


def _board(events: Path, purge_step: int) -> SummaryWriter:
    """A writer whose file TensorBoard reads after all that are there.

    It reads them in the order of their names: second, host, process, number, as text. Those of one
    second can be in any order, the writer 10 of a process before its 9.
    """
    from torch.utils.tensorboard import SummaryWriter

    earlier = {path.name for path in events.iterdir()}
    while True:
        board = SummaryWriter(str(events), purge_step=purge_step)
        (own,) = {path.name for path in events.iterdir()} - earlier
        last = max(earlier, default="")
        if own > last or own.split(".")[:4] != last.split(".")[:4]:
            return board
        board.close()
        (events / own).unlink()
        time.sleep(0.2)


class Metrics(list[dict[str, Any]]):
    """The log of a training: a row for each line, with the metrics that its stage has.

    ``stage``, ``step`` (gradient steps of the stage) and ``elapsed`` (seconds) are in every row.
    """

    @property
    def columns(self) -> list[str]:
        """Names of all metrics, in the order in which they first come."""
        return list(dict.fromkeys(name for row in self for name in row))

    def series(self, stage: str, name: str) -> tuple[list[int], list[float]]:
        """Steps of a stage, and the values of a metric there; none of a log without a row.

        Raises:
            ConfigError: the log has no such stage, or never that metric in it.
        """
        of_stage = Metrics(row for row in self if row["stage"] == stage)
        rows = [row for row in of_stage if name in row]
        if self and not rows:
            stages = dict.fromkeys(row["stage"] for row in self)
            if not of_stage:
                what, where, known = f"no stage {stage!r}", "metrics", ", ".join(stages)
            else:
                own = [column for column in of_stage.columns if column != "stage"]
                what, where, known = f"no metric {name!r}", f"stage {stage}", ", ".join(own)
            raise ConfigError(what, where, f"there are {known}")
        return [row["step"] for row in rows], [row[name] for row in rows]

    def to_pandas(self) -> DataFrame:
        """The same as a DataFrame; NaN where a row has no such metric.

        Raises:
            ConfigError: pandas is not installed.
        """
        pandas = optional("pandas", "pandas", "metrics.to_pandas()")
        return pandas.DataFrame(list(self), columns=self.columns)

    def __repr__(self) -> str:
        return f"Metrics({len(self):,} rows: {', '.join(self.columns)})"

    def _repr_html_(self) -> str:
        return grid(self.columns, ([row.get(c) for c in self.columns] for row in self))


def read_metrics(path: Path, length: int | None = None) -> list[dict[str, Any]]:
    """Every complete line of a ``metrics.jsonl``, or of so many bytes; none without a file.

    Raises:
        ConfigError: a line is not what a trainer writes.
    """
    if not path.is_file():
        return []
    # a killed trainer may leave half a line
    lines = path.read_bytes()[:length].split(b"\n")[:-1]
    return [read_row(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]


def read_row(line: bytes, where: str) -> dict[str, Any]:
    """One line of a ``metrics.jsonl``.

    Raises:
        ConfigError: it is not what a trainer writes.
    """
    row = parse_json(line, where)
    numbers = row.items() if isinstance(row, dict) else ()
    named = {name: type(value) for name, value in numbers}
    stage, step = named.pop("stage", None), named.get("step")
    if stage is not str or step is not int or not {*named.values()} <= {int, float}:
        raise ConfigError("is no row of metrics", where, "restore the file from a copy")
    if "elapsed" not in named:
        raise ConfigError("has no 'elapsed'", where, "restore the file from a copy")
    return row
