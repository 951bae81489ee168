"""What the episodes of a LeRobot set are to do, and its frames where that changes within one.

Every frame has the number of its task, and an episode a list of all its tasks. The metadata of a
trajectory keep the list as ``tasks``; ``task_starts``, [[step, task], …], says from which step on
each is done, where that is not the first one throughout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from lawm_data.exchange.formats.lerobot.features import TASK
from lawm_data.exchange.formats.lerobot.frames import Frames
from lawm_data.exchange.formats.lerobot.info import Info
from lawm_data.exchange.formats.lerobot.layout import read_tasks

TASKS, STARTS = "tasks", "task_starts"
UNKNOWN_NOTE = "some tasks of single frames were left out: meta/tasks does not name their number"


class TaskReader:
    """The tasks of a set, episode by episode.

    Args:
        info: the set.
        notes: what is left out is added, when it is.

    Raises:
        CorpusError: the table of tasks is damaged.
    """

    def __init__(self, info: Info, notes: list[str]) -> None:
        self._names, self.files = read_tasks(info.root)
        self._lists = chain.from_iterable(column.to_pylist() for column in info.episodes.tasks)
        self._notes = notes

    def next(self, frames: Frames, steps: int) -> dict[str, Any]:
        """What the metadata of the next episode say of its tasks.

        Args:
            frames: of the episode.
            steps: how many of them are steps.
        """
        listed = [task for task in next(self._lists, None) or () if task]
        starts = self._starts(frames, listed)
        tasks = list(dict.fromkeys((*listed, *(task for _, task in starts if task))))
        if not tasks:
            return {}
        kept = [[step, task] for step, task in starts if step < steps]
        changes = any(task != tasks[0] for _, task in kept)
        return {TASKS: tasks} | ({STARTS: kept} if changes else {})

    def _starts(self, frames: Frames, listed: list[str]) -> list[tuple[int, str]]:
        """From which frame on which task is done; empty where the frames do not say."""
        if TASK not in frames.arrays:
            return []
        numbers = frames.arrays[TASK][:, 0]
        begins = np.flatnonzero(np.r_[True, numbers[1:] != numbers[:-1]]).tolist()
        starts = [(begin, self._names.get(numbers[begin].item())) for begin in begins]
        known = [(begin, task) for begin, task in starts if task is not None]
        if frames.there[TASK].all() and len(known) == len(starts):
            return known
        told = len(starts) > 1 or len(listed) > 1 or (self._names and not listed)
        if told and UNKNOWN_NOTE not in self._notes:
            self._notes.append(UNKNOWN_NOTE)
        return []


def starts_of(metadata: Mapping[str, Any]) -> list[tuple[int, str]]:
    """From which step on which task of a trajectory is done; empty where nothing says so."""
    given = metadata.get(STARTS)
    starts: list[tuple[int, str]] = []
    for pair in given if isinstance(given, list) else ():
        match pair:
            case [int(step), str(task)] if step > starts[-1][0] if starts else step == 0:
                starts.append((step, task))
            case _:
                return []
    return starts


def tasks_of(
    metadata: Mapping[str, Any], starts: Sequence[tuple[int, str]], usual: str
) -> list[str]:
    """The tasks of a trajectory, or the usual one where it has none."""
    listed = metadata.get(TASKS)
    kept = [task for task in listed if isinstance(task, str)] if isinstance(listed, list) else []
    return list(dict.fromkeys((*kept, *(task for _, task in starts)))) or [usual]
