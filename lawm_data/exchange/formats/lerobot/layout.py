"""Where the files of a LeRobot set are, and which episodes they hold.

A file of v3 holds many episodes, which Parquet tables list. In v2 every episode has a file of its
own, and lines of JSON list them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lawm_schemas import CorpusError

from lawm_data.exchange.formats.lerobot.features import TASK
from lawm_data.exchange.formats.lerobot.parquet import (
    HINT,
    TASKS_PATH,
    UNNAMED_INDEX,
    ParquetReader,
    from_column,
    pyarrow,
)
from lawm_data.exchange.untrusted.strict_json import strict_json

JSON_LIMIT = 1 << 28
"""Bytes of a file of JSON; a larger one is not read."""
EPISODE_LIMIT = 1 << 24
"""Episodes of a set, or of a file of their table, which is held in memory."""
_LINES = "meta/episodes.jsonl"
_TASKS = TASKS_PATH, "meta/tasks.jsonl"
"""The table of tasks, of v3 and of v2."""
_HOLE = re.compile(
    r"\{(chunk_index|file_index|episode_chunk|episode_index|video_key)(?::0([1-9])d)?\}"
)


class Episodes(NamedTuple):
    """The table of episodes, column by column."""

    length: np.ndarray
    """(E,) frames."""
    place: np.ndarray
    """(E, 2): chunk and file of the frames; in v2 the file is the episode."""
    films: Mapping[str, tuple[np.ndarray, np.ndarray]]
    """By camera, chunk and file (E, 2), and the second (E,) at which the episode starts there."""
    tasks: tuple[Any, ...]
    """Arrow arrays of lists of texts, end to end; empty when they are not known."""


def inside(
    root: Path, pattern: str, place: Sequence[int] | np.ndarray = (0, 0), key: str = ""
) -> Path:
    """The file that a pattern of ``info.json`` names, which lies in the set.

    Raises:
        CorpusError: the pattern leads outside, or is not one.
    """
    chunk, file = int(place[0]), int(place[1])
    values = {"chunk_index": chunk, "file_index": file}
    values |= {"episode_chunk": chunk, "episode_index": file}

    def filled(hole: re.Match[str]) -> str:
        name, digits = hole.groups()
        return key if name == "video_key" else f"{values[name]:0{digits or 1}d}"

    name = _HOLE.sub(filled, pattern)
    parts = Path(name).parts
    where = str(root / "meta/info.json")
    if not parts or "{" in name or "\0" in name or ".." in parts or Path(name).is_absolute():
        raise CorpusError(f"has a path {pattern[:100]!r}", where, "do not trust it")
    path = root / name
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        hint = "copy the set with the files that its links point to (cp -rL)"
        raise CorpusError("leads outside the set", str(path), hint)
    return path


def read_json(root: Path, name: str) -> Any:
    """A file of JSON in a set.

    Raises:
        CorpusError: missing, too large, outside the set, or not JSON.
    """
    return strict_json(_text(root, name), str(root / name))


def _text(root: Path, name: str) -> bytes:
    path = inside(root, name)
    if not path.is_file():
        raise CorpusError("there is no such file", str(path), HINT)
    if path.stat().st_size > JSON_LIMIT:
        raise CorpusError(f"is larger than {JSON_LIMIT} bytes", str(path), HINT)
    return path.read_bytes()


def read_episodes(root: Path, cameras: Sequence[str]) -> Episodes:
    """The table of episodes of a set of v3.

    Raises:
        CorpusError: it is damaged, or not that of this set.
    """
    folder = root / "meta/episodes"
    paths = sorted(folder.glob("*/*.parquet"))
    if not paths:
        raise CorpusError("has no table of episodes", str(folder), HINT)
    whole = ["episode_index", "length", "data/chunk_index", "data/file_index"]
    starts = [f"videos/{camera}/from_timestamp" for camera in cameras]
    whole += [f"videos/{c}/{kind}_index" for c in cameras for kind in ("chunk", "file")]
    found: dict[str, list[np.ndarray]] = {name: [] for name in (*whole, *starts)}
    tasks: list[Any] = []
    for path in paths:
        inside(root, str(path.relative_to(root)))
        table = ParquetReader(path, ())
        has_tasks = "tasks" in table.names
        if len(table) > EPISODE_LIMIT:
            raise CorpusError(f"has more than {EPISODE_LIMIT} episodes", str(path), "split the set")
        table = ParquetReader(path, [*found, *(["tasks"] if has_tasks else [])])
        for batch in table.batches(8 * len(found)):
            for name, parts in found.items():
                parts.append(_column(batch, name, path, whole=name not in starts))
            tasks += [batch.column("tasks")] if has_tasks else []
    if not found["length"]:
        raise CorpusError("lists no episode", str(folder), HINT)
    columns = {name: np.concatenate(parts) for name, parts in found.items()}
    _require_sound(columns, folder)
    films = {}
    for camera in cameras:
        start = columns[f"videos/{camera}/from_timestamp"]
        if not (np.isfinite(start) & (start >= 0)).all():
            raise CorpusError(f"has from_timestamp of {camera} below 0", str(folder), HINT)
        films[camera] = (_places(columns, f"videos/{camera}"), start)
    known = sum(map(len, tasks)) == len(columns["length"])
    places = _places(columns, "data")
    return Episodes(columns["length"], places, films, tuple(tasks) if known else ())


def read_lines(root: Path, cameras: Sequence[str], chunk: int) -> Episodes:
    """The table of episodes of a set of v2, one line of JSON each.

    Args:
        root: folder of the set.
        cameras: features that are films.
        chunk: how many episodes lie in a folder.

    Raises:
        CorpusError: it is damaged, or not that of this set.
    """
    text, where = _text(root, _LINES), str(root / _LINES)
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > EPISODE_LIMIT:
        raise CorpusError(f"has more than {EPISODE_LIMIT} episodes", where, "split the set")
    columns: dict[str, list[int]] = {"episode_index": [], "length": []}
    tasks = []
    for number, line in enumerate(lines, 1):
        row = strict_json(line, f"{where}: line {number}")
        for key, found in columns.items():
            value = row.get(key) if isinstance(row, dict) else None
            if type(value) is not int or not 0 <= value < 1 << 40:
                raise CorpusError(f"has no sound {key}", f"{where}: line {number}", HINT)
            found.append(value)
        named = row.get("tasks")
        named = named if isinstance(named, list) else []
        tasks.append([task for task in named if isinstance(task, str)])
    order = np.argsort(columns["episode_index"], kind="stable")
    index, length = (np.array(column, np.int64)[order] for column in columns.values())
    _require_sound({"episode_index": index, "length": length}, root / _LINES)
    place = np.stack([index // chunk, index], 1)
    start = np.zeros(len(index))
    listed = pyarrow().array([tasks[i] for i in order], pyarrow().list_(pyarrow().string()))
    return Episodes(length, place, dict.fromkeys(cameras, (place, start)), (listed,))


def read_tasks(root: Path) -> tuple[dict[int, str], tuple[Path, ...]]:
    """The tasks of a set by their number, none where it has no table of them; and its file.

    Raises:
        CorpusError: the table is damaged.
    """
    found = next((name for name in _TASKS if (root / name).is_file()), None)
    if found is None:
        return {}, ()
    path = inside(root, found)
    rows = _lines_of_tasks(root, found) if found.endswith(".jsonl") else _table_of_tasks(path)
    tasks = {n: task for n, task in rows if isinstance(n, int) and isinstance(task, str)}
    return tasks, (path,)


def _lines_of_tasks(root: Path, name: str) -> Iterator[tuple[Any, Any]]:
    for number, line in enumerate(_text(root, name).splitlines(), 1):
        row = strict_json(line, f"{root / name}: line {number}") if line.strip() else None
        if isinstance(row, dict):
            yield row.get(TASK), row.get("task")


def _table_of_tasks(path: Path) -> Iterator[tuple[Any, Any]]:
    table = ParquetReader(path, ())
    if len(table) > EPISODE_LIMIT:
        raise CorpusError(f"has more than {EPISODE_LIMIT} tasks", str(path), HINT)
    # pandas keeps the texts as an index, which has a name in newer sets alone
    others = [name for name in table.names if name != TASK]
    text = next((name for name in ("task", UNNAMED_INDEX, *others) if name in others), "task")
    table = ParquetReader(path, [TASK, text])
    for batch in table.batches(100):
        yield from zip(batch.column(TASK).to_pylist(), batch.column(text).to_pylist(), strict=True)
    table.close()


def _require_sound(columns: Mapping[str, np.ndarray], folder: Path) -> None:
    index, length = columns["episode_index"], columns["length"]
    odd = np.flatnonzero(index != np.arange(len(index)))
    if len(odd):
        what = f"has episode {index[odd[0]]} in the place of {odd[0]}"
        raise CorpusError(what, str(folder), HINT)
    if not len(length) or (length < 1).any() or length.max() > 1 << 40:
        raise CorpusError("has no episodes, or some of impossible lengths", str(folder), HINT)
    for name, column in columns.items():
        if name.endswith("_index") and (column < 0).any():
            raise CorpusError(f"has {name} below 0", str(folder), HINT)


def _column(batch: Any, name: str, path: Path, whole: bool) -> np.ndarray:
    where = f"{path}: {name}"
    rows, there = from_column(batch.column(name), 1, where)
    if not there.all() or (whole and rows.dtype.kind not in "iu"):
        raise CorpusError("is not all numbers", where, HINT)
    return rows[:, 0].astype(np.int64 if whole else np.float64)


def _places(columns: Mapping[str, np.ndarray], folder: str) -> np.ndarray:
    return np.stack([columns[f"{folder}/{kind}_index"] for kind in ("chunk", "file")], 1)
