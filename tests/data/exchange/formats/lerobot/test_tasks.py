"""Tasks of episodes and of single frames, in and out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lerobot_sets import EPISODES, FRAMES, brought, edit_column, refused

from lawm_data import open_corpus
from lawm_data.exchange import export_corpus, import_corpus
from lawm_data.exchange.formats.lerobot.parquet import write_tasks
from lawm_data.exchange.formats.lerobot.tasks import UNKNOWN_NOTE, starts_of, tasks_of

LENGTHS = (7, 3, 12, 1)
PICK, PLACE = 0, 1


def of_frames(place: Path, numbers: Sequence[int | None]) -> None:
    """Give the frames of the first episode these tasks, and all others the first task."""
    rest = [PICK] * (sum(LENGTHS) - len(numbers))
    edit_column(place / FRAMES, "task_index", pa.array([*numbers, *rest], pa.int64()))


def listed(place: Path, tasks: list[str]) -> None:
    """Say that these are the tasks of the first episode, and that all others pick."""
    rows = [tasks, *[["pick"]] * (len(LENGTHS) - 1)]
    edit_column(place / EPISODES, "tasks", pa.array(rows, pa.list_(pa.string())))


def unlisted(place: Path) -> None:
    pq.write_table(pq.read_table(place / EPISODES).drop(["tasks"]), place / EPISODES)


def said(place: Path) -> tuple[Any, Any]:
    """What the metadata of the first trajectory say; the others pick."""
    shutil.rmtree(place.parent / "back", ignore_errors=True)
    first, *others = (t.info.metadata for t in brought(place))
    assert all(other["tasks"] == ["pick"] and "task_starts" not in other for other in others)
    return first.get("tasks"), first.get("task_starts")


@pytest.fixture
def several(foreign: Path) -> Path:
    """A set of two tasks, of which the first episode does both, the second one first."""
    write_tasks(foreign, ["pick", "place"])
    of_frames(foreign, [PLACE, PLACE, PLACE, PICK, PICK, PICK, PICK])
    listed(foreign, ["pick", "place"])
    return foreign


BOTH = [[0, "place"], [3, "pick"]]


@pytest.mark.parametrize(
    ("numbers", "tasks", "starts"),
    [
        ([PLACE] * 3 + [PICK] * 4, ["pick", "place"], BOTH),
        ([PLACE] * 3 + [PICK] * 4, ["place", "pick"], BOTH),
        ([PICK, PLACE] * 3 + [PICK], ["pick"], [[i, ("pick", "place")[i % 2]] for i in range(7)]),
        ([PLACE] * 7, ["pick", "place"], [[0, "place"]]),
        ([PLACE] * 7, ["place"], None),
        ([PICK] * 7, ["pick", "place"], None),
    ],
)
def test_the_tasks_of_frames_are_kept_and_go_out_again(
    several: Path, numbers: list[int], tasks: list[str], starts: Any
) -> None:
    of_frames(several, numbers)
    listed(several, tasks)
    found = list(dict.fromkeys([*tasks, *(task for _, task in starts or ())]))
    assert said(several) == (found, starts)
    corpus, again = open_corpus(several.parent / "back"), several.parent / "again"
    export_corpus(corpus, f"lerobot:{again}")
    names = pq.read_table(again / "meta/tasks.parquet").column(1).to_pylist()
    written = pq.read_table(again / FRAMES)["task_index"].to_pylist()
    assert [names[i] for i in written[:7]] == [("pick", "place")[i] for i in numbers]
    assert pq.read_table(again / EPISODES)["tasks"][0].as_py() == found
    fingerprint = corpus.fingerprint
    assert said(again) == (found, starts)
    assert open_corpus(several.parent / "back").fingerprint == fingerprint
    (again / "meta/lawm").rename(several.parent / "sidecar")
    assert said(again) == (found, starts)


def test_tasks_that_episodes_do_not_list_are_those_of_their_frames(several: Path) -> None:
    unlisted(several)
    assert said(several) == (["place", "pick"], BOTH)


def test_a_set_of_v2_is_read_alike(several: Path) -> None:
    rows = ({"task_index": i, "task": task} for i, task in enumerate(("pick", "place")))
    (several / "meta/tasks.jsonl").write_text("".join(json.dumps(row) + "\n\n" for row in rows))
    (several / "meta/tasks.parquet").unlink()
    assert said(several) == (["pick", "place"], BOTH)


@pytest.mark.parametrize("name", ["task", "__index_level_0__", "what"])
def test_the_column_of_tasks_has_many_names(several: Path, name: str) -> None:
    table = pa.table({name: ["place", "pick"], "task_index": [PLACE, PICK]})
    pq.write_table(table, several / "meta/tasks.parquet")
    assert said(several) == (["pick", "place"], BOTH)


def notes_of(place: Path) -> list[str]:
    shutil.rmtree(place.parent / "noted", ignore_errors=True)
    return list(import_corpus(f"lerobot:{place}", place.parent / "noted").notes)


def test_what_is_not_known_of_frames_is_named_where_it_matters(several: Path) -> None:
    assert UNKNOWN_NOTE not in notes_of(several)
    of_frames(several, [PLACE, PLACE, 7, PICK, PICK, PICK, PICK])
    assert notes_of(several).count(UNKNOWN_NOTE) == 1
    assert said(several) == (["pick", "place"], None)
    of_frames(several, [PLACE, PLACE, None, PICK, PICK, PICK, PICK])
    assert UNKNOWN_NOTE in notes_of(several)
    of_frames(several, [7] * 7)
    assert UNKNOWN_NOTE in notes_of(several)  # which of the two
    listed(several, ["place"])
    assert UNKNOWN_NOTE not in notes_of(several)  # nothing is lost
    assert said(several) == (["place"], None)
    of_frames(several, [PLACE] * 4 + [PICK] * 3)
    (several / "meta/tasks.parquet").unlink()
    assert UNKNOWN_NOTE in notes_of(several)
    of_frames(several, [PICK] * 7)
    unlisted(several)
    assert UNKNOWN_NOTE not in notes_of(several)  # there are no tasks


def test_tasks_of_frames_can_be_left_out(several: Path) -> None:
    shutil.rmtree(several.parent / "back", ignore_errors=True)
    back = brought(several, without=["task_index"])
    assert back[0].info.metadata["tasks"] == ["pick", "place"]
    assert "task_starts" not in back[0].info.metadata


def test_frames_without_a_task_are_kept_apart(several: Path) -> None:
    write_tasks(several, ["pick", ""])
    listed(several, ["pick"])
    assert said(several) == (["pick"], [[0, ""], [3, "pick"]])


@pytest.mark.parametrize("damaged", ["meta/tasks.parquet", "meta/tasks.jsonl"])
def test_a_damaged_table_of_tasks_is_refused(several: Path, damaged: str) -> None:
    (several / "meta/tasks.parquet").unlink()
    (several / damaged).write_bytes(b"{nonsense")
    refused(several, "cannot be read as Parquet|line 1: is not JSON")


@pytest.mark.parametrize(
    "given",
    [None, "pick", [], [[1, "pick"]], [[0, "pick"], [0, "place"]], [[0, 7]], [0, "pick"], [[0]]],
)
def test_what_others_call_task_starts_is_not_taken_for_them(given: Any) -> None:
    metadata = {"tasks": ["pick"], "task_starts": given}
    assert starts_of(metadata) == []
    assert tasks_of(metadata, [], "usual") == ["pick"]
