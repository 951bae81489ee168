"""Everything that is drawn on a terminal: tables on stdout, progress on stderr."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import StringIO
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from lawm_data.system.formatting import clock as clock
from lawm_data.system.formatting import near as near
from lawm_data.system.formatting import size as size
from lawm_data.system.formatting import text as text

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Side = Literal["left", "right"]

DIM, ITALIC, RESET = "\x1b[2m", "\x1b[3m", "\x1b[0m"
"""What terminals take for a style."""
SPARSE = 30.0
"""Seconds between progress lines when stderr is not a terminal."""
BAR = 76
"""Columns of a terminal that name, bar, counts and times take."""
PAGE = 200
"""Width of a table when stdout is not a terminal."""


def facts(rows: Mapping[str, Any], title: str | None = None) -> None:
    """A table of names and values."""
    cells = [(name, text(value)) for name, value in rows.items()]
    _table(cells, ("left", "left"), header=False, title=title)


def listing(entries: Iterable[tuple[str, str]]) -> None:
    """A line for each entry, and below it what it means, indented."""
    room = min(100, shutil.get_terminal_size().columns)
    for name, meaning in entries:
        print(name)
        print(textwrap.fill(meaning, room, initial_indent="    ", subsequent_indent="    "))


def grid(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
    """A table with a header; numbers stand on the right."""
    rows = [list(row) for row in rows]
    sides: list[Side] = [
        "right" if any(isinstance(row[index], int | float) for row in rows) else "left"
        for index in range(len(columns))
    ]
    cells = [list(columns), *([text(value) for value in row] for row in rows)]
    _table(cells, sides, header=True, title=title)


def line(message: str) -> None:
    """One line on stderr."""
    print(message, file=sys.stderr, flush=True)


def _fitting(words: Iterable[str], room: int) -> str:
    """As many words as there is room for; a longer line would squeeze the bar."""
    line = ""
    for word in words:
        if len(line) + 2 + len(word) > room:
            break
        line = f"{line}  {word}" if line else word
    return line


def _table(
    cells: Sequence[Sequence[str]], sides: Sequence[Side], header: bool, title: str | None
) -> None:
    """Draw rows of cells; the first row stands back, or without a header the first column."""
    on_terminal = sys.stdout.isatty()
    room = shutil.get_terminal_size().columns if on_terminal else PAGE
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    plain = all(cell.isascii() and cell.isprintable() for row in cells for cell in row)
    if not plain or sum(widths) + 2 * len(widths) - 2 > room:
        _by_rich(cells, sides, header, title, on_terminal)
        return
    # most tables need nothing that rich knows, and it takes long to load
    styled = on_terminal and os.environ.get("TERM") not in ("dumb", "unknown")
    back, slanted, end = (DIM, ITALIC, RESET) if styled else ("", "", "")
    if title:
        print(f"{slanted}{title}{end}")
    for number, row in enumerate(cells):
        padded = [
            cell.rjust(width) if side == "right" else cell.ljust(width)
            for cell, side, width in zip(row, sides, widths, strict=True)
        ]
        if not header:
            padded[0] = f"{back}{padded[0]}{end}"
        line = "  ".join(padded).rstrip()
        print(f"{back}{line}{end}" if header and not number else line)


def _by_rich(
    cells: Sequence[Sequence[str]],
    sides: Sequence[Side],
    header: bool,
    title: str | None,
    on_terminal: bool,
) -> None:
    """The same where a cell is to be broken, or has more than one knows the width of."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim", show_header=header)
    for index, side in enumerate(sides):
        if header:
            table.add_column(Text(cells[0][index]), justify=side, overflow="fold")
        elif index == 0:
            table.add_column(style="dim", no_wrap=True)
        else:
            table.add_column(overflow="fold")
    for row in cells[1:] if header else cells:
        table.add_row(*map(Text, row))
    # Rich draws into memory: by itself it would exit with 1 when a reader closes the pipe, and
    # leave blanks at the end of lines.
    drawn = StringIO()
    console = Console(
        file=drawn,
        force_terminal=on_terminal,
        width=None if on_terminal else PAGE,
        highlight=False,
    )
    if title:  # not the table's own, which is broken where the table is narrow
        console.print(title, style="italic", markup=False, soft_wrap=True)
    console.print(table)
    print(*(row.rstrip() for row in drawn.getvalue().splitlines()), sep="\n")


class Bars:
    """Progress on stderr: a bar with the time left on a terminal, a line now and then elsewhere.

    A context manager, and a ``lawm_data.system.progress.ProgressBar``. What the first report after
    ``start`` says was done by an earlier process, and does not count for the time left.
    """

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False, markup=False)
        self._bars: Progress | None = None
        self._task: TaskID | None = None
        self._name, self._total = "", 0
        self._first: int | None = None
        self._done = 0
        self._shown = ""
        self._began = self._spoke = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self, stage: str, total: int) -> None:
        """A task of ``total`` parts begins; ends the one before."""
        self._name, self._total, self._first, self._done = stage, total, None, 0
        self._shown = ""
        self._began = self._spoke = time.monotonic()

    def reach(self, done: int, metrics: Mapping[str, float] | None = None) -> None:
        """So many parts are done; ``metrics`` are shown beside."""
        self._done = done
        if self._first is None:
            self._first = done
            self._open()
        words = [f"{name} {text(float(value))}" for name, value in (metrics or {}).items()]
        if self._bars and self._task is not None:
            self._shown = _fitting(words, self._console.width - BAR) or self._shown
            self._bars.update(self._task, completed=done, metrics=self._shown)
            return
        now = time.monotonic()
        if done > self._first and (done >= self._total or now - self._spoke >= SPARSE):
            self._spoke = now
            reached = f"{self._name}: {done:,} of {self._total:,}{self._left(now)}"
            line("  ".join([reached, *words]))

    def advance(self, steps: int, metrics: Mapping[str, float] | None = None) -> None:
        """So many more parts are done."""
        self.reach(self._done + steps, metrics)

    def of(self, stage: str) -> Callable[[int, int | None], None]:
        """A ``lawm_data.system.progress.Progress`` of one stage; an unknown total counts as 0."""

        def report(done: int, total: int | None) -> None:
            if (stage, total or 0) != (self._name, self._total):
                self.start(stage, total or 0)
            self.reach(done)

        return report

    def stop(self) -> None:
        """Nothing more will come."""
        if self._bars:
            self._bars.stop()
            self._bars = None

    def _open(self) -> None:
        if not self._console.is_terminal:
            line(f"{self._name}: {self._done:,} of {self._total:,}")
            return
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        if self._bars is None:
            self._bars = Progress(
                TextColumn("{task.description:<9}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[metrics]}", style="dim"),
                console=self._console,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._bars.start()
        self._task = self._bars.add_task(
            self._name, total=self._total, completed=self._done, metrics=""
        )

    def _left(self, now: float) -> str:
        made, left = self._done - (self._first or 0), self._total - self._done
        if made <= 0 or left <= 0:
            return ""
        return f", {clock((now - self._began) / made * left)} left"


class Line:
    """One line on stderr that is rewritten in place; elsewhere than on a terminal, now and then."""

    def __init__(self) -> None:
        self._on_terminal = sys.stderr.isatty()
        self._next = time.monotonic() + (0.0 if self._on_terminal else SPARSE)
        self._shown = False

    def show(self, text: Callable[[], str]) -> None:
        """Show what ``text`` returns, if it is time to."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + (1.0 if self._on_terminal else SPARSE)
        if not self._on_terminal:
            line(text())
            return
        from rich.console import Console

        width = Console(stderr=True).width
        print(f"\r\x1b[2K{text()[: width - 1]}", end="", file=sys.stderr, flush=True)
        self._shown = True

    def stop(self) -> None:
        """End the line."""
        if self._shown:
            print(file=sys.stderr, flush=True)
            self._shown = False
