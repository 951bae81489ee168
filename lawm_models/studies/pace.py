"""How far a study is, in one line, and how long the rest will take."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lawm_schemas import LawmError, RunRecord

from lawm_data.system import terminal as show
from lawm_models.studies.cell import Cell, CellRun
from lawm_models.training.metrics import read_metrics, read_row
from lawm_models.training.run_folder import METRICS, RECORD

TAIL = 1 << 14
"""Bytes at the end of a log that hold its last line."""


class Reached(NamedTuple):
    """How far a run is."""

    share: float
    """Of its gradient steps."""
    seconds: float
    """Spent on it; not on what it took over."""
    whole: float | None
    """Seconds that all of it will take at this rate; none while nothing is done."""


class Pace:
    """Shows how far all runs of a study are, and how long the rest will take.

    Args:
        cells: everything that is not done, one cell for each run.
        done: runs that are, with the seconds spent on each.
        runs: the run of each, by key.
        shorter: keys of runs that take all stages but the last over from others.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        done: Mapping[str, tuple[Cell, float]],
        runs: Mapping[str, CellRun],
        shorter: Collection[str] = (),
    ) -> None:
        self._left = {cell.key: cell for cell in cells}
        self._seconds: dict[str, list[float]] = {}
        self._shorter = shorter
        for cell, seconds in done.values():
            self._learn(cell, seconds)
        self._runs = runs
        self._total, self._failed = len(cells) + len(done), 0
        self._line = show.Line()

    def __call__(self, busy: Sequence[Sequence[str]]) -> None:
        """Show the line."""
        self._line.show(lambda: self.text(busy))

    def finish(self, key: str, failed: bool) -> None:
        """A run has ended."""
        cell = self._left.pop(key)
        self._failed += failed
        if not failed:
            self._learn(cell, reached(self._runs[key].folder, cell).seconds)

    def stop(self) -> None:
        """Nothing more will come."""
        self._line.stop()

    def _learn(self, cell: Cell, seconds: float) -> None:
        for kind in self._kinds(cell):
            self._seconds.setdefault(kind, []).append(seconds)

    def _kinds(self, cell: Cell) -> tuple[str, str]:
        """What is as fast as a cell: the same on the same corpus, or just the same algorithm."""
        name = f"{cell.algorithm}{' (last stage)' if cell.key in self._shorter else ''}"
        return f"{name} {cell.labels} {cell.corpus}", name

    def text(self, busy: Sequence[Sequence[str]]) -> str:
        """The line, given the keys of the runs that each busy worker is at."""
        keys = [key for stack in busy for key in stack if key in self._left]
        now = {key: reached(self._runs[key].folder, self._left[key]) for key in keys}
        done = self._total - len(self._left) - self._failed
        parts = [f"{done} of {self._total} runs done"]
        if now:
            shares = " ".join(f"{at.share:.0%}" for at in now.values())
            parts.append(f"{len(now)} at work ({shares})")
        if self._failed:
            parts.append(f"{self._failed} failed")
        seconds = self._rest(now, len(busy))
        if seconds is not None:
            parts.append(f"about {show.clock(seconds)} left")
        return ", ".join(parts)

    def _rest(self, now: Mapping[str, Reached], workers: int) -> float | None:
        """Seconds until all is done, from runs of the same kind; none while nothing is known."""
        known = {kind: sum(each) / len(each) for kind, each in self._seconds.items()}
        for key, at in now.items():
            if at.whole is not None:
                for kind in self._kinds(self._left[key]):
                    known.setdefault(kind, at.whole)
        if not known:
            return None
        rest = 0.0
        for key, cell in self._left.items():
            whole = next((known[k] for k in self._kinds(cell) if k in known), None)
            whole = sum(known.values()) / len(known) if whole is None else whole
            rest += max(0.0, whole - (now[key].seconds if key in now else 0.0))
        return rest / max(1, workers)


def reached(folder: Path, cell: Cell) -> Reached:
    """How far a run is, by the last line of its log."""
    steps, nothing = cell.config.steps, Reached(0.0, 0.0, None)
    try:
        last, taken, before = _last(folder / METRICS), _taken(folder), taken_seconds(folder)
    except LawmError:  # what is damaged is named by whoever goes on with the run
        return nothing
    if last is None or not {last["stage"], *taken} <= steps.keys():
        return nothing
    total, done = sum(steps.values()), cell.config.steps_before(last["stage"]) + last["step"]
    others = sum(steps[stage] for stage in taken)
    seconds = last["elapsed"] - before
    whole = seconds * (total - others) / (done - others) if done > others else None
    return Reached(done / total, seconds, whole)


def taken_seconds(folder: Path) -> float:
    """Seconds that others spent on what a run took over."""
    taken = _taken(folder)
    rows = read_metrics(folder / METRICS) if taken else []
    return max((row["elapsed"] for row in rows if row["stage"] in taken), default=0.0)


def _taken(folder: Path) -> Sequence[str]:
    """Stages that a run took over."""
    record = folder / RECORD
    taken = RunRecord.read_json(record).taken if record.is_file() else None
    return taken.stages if taken else ()


def _last(path: Path) -> dict | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL))
        # a line that is being written has no end yet
        lines = file.read().split(b"\n")[:-1]
    return read_row(lines[-1], str(path)) if lines else None
