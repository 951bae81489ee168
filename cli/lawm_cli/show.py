"""Everything that is drawn on a terminal: tables on stdout, progress on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

SPARSE = 30.0
"""Seconds between progress lines when stderr is not a terminal."""


def facts(rows: Mapping[str, Any], title: str | None = None) -> None:
    """A table of names and values."""
    table = Table(title=title, title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, text(value))
    _out().print(table, markup=False)


def grid(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
    """A table with a header; numbers stand on the right."""
    rows = [list(row) for row in rows]
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="dim")
    for index, column in enumerate(columns):
        number = any(isinstance(row[index], int | float) for row in rows)
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(text(value) for value in row))
    _out().print(table, markup=False)


def text(value: Any) -> str:
    """A value for people: thousands apart, four digits, a dash for nothing."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.4g}"
    if isinstance(value, list | tuple):
        return " ".join(text(item) for item in value)
    return str(value)


def line(message: str) -> None:
    """One line on stderr."""
    print(message, file=sys.stderr, flush=True)


def _out() -> Console:
    return Console(highlight=False, markup=False, soft_wrap=not sys.stdout.isatty())


class Bars:
    """Progress on stderr: a bar with the time left on a terminal, a line now and then elsewhere.

    A context manager. ``start`` begins a task and finishes the one before; ``update`` tells how
    much of it is done, with numbers to show beside it.
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, markup=False)
        self._bars: Progress | None = None
        self._task = TaskID(0)
        self._name, self._total, self._first, self._done = "", 0, 0, 0
        self._began = self._spoke = 0.0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description:<9}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[numbers]}", style="dim"),
                console=self._console,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars:
            self._bars.stop()

    def start(self, name: str, total: int, done: int = 0) -> None:
        """Begin a task of ``total`` parts of which ``done`` were done in an earlier process."""
        self._name, self._total, self._first, self._done = name, total, done, done
        self._began = self._spoke = time.monotonic()
        if self._bars:
            self._task = self._bars.add_task(name, total=total, completed=done, numbers="")
        else:
            line(f"{name}: {done:,} of {total:,}")

    def update(self, done: int, numbers: Mapping[str, float] | None = None) -> None:
        """``done`` parts are done."""
        shown = "  ".join(f"{name} {text(float(value))}" for name, value in (numbers or {}).items())
        self._done = done
        if self._bars:
            fields = {"numbers": shown} if shown else {}
            self._bars.update(self._task, completed=done, **fields)
            return
        now = time.monotonic()
        if done >= self._total or now - self._spoke >= SPARSE:
            self._spoke = now
            line(f"{self._name}: {done:,} of {self._total:,}{self._left(now)}  {shown}".rstrip())

    def advance(self, parts: int = 1) -> None:
        """``parts`` more are done."""
        self.update(self._done + parts)

    def _left(self, now: float) -> str:
        made, left = self._done - self._first, self._total - self._done
        if made <= 0 or left <= 0:
            return ""
        seconds = round((now - self._began) / made * left)
        return f", {seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02} left"
