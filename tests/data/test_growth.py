"""Work on n trajectories is at most n times that on one: calls are counted, not seconds."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from lawm_schemas import ArraySpec, Provenance, Role

from lawm_data import (
    CorpusWriter,
    filter_corpus,
    make_mask,
    merge_corpora,
    open_corpus,
    split_corpus,
)
from lawm_data.corpus.integrity.validate import validate
from lawm_data.exchange import export_corpus, import_corpus

OBSERVATIONS = (ArraySpec(name="position", shape=(3,)),)
ACTION = ArraySpec(name="action", shape=(2,), role=Role.action)
FEW, MANY = 40, 400


def write(path: Path, values: Iterable[int], sources: int = 1) -> None:
    """Write a trajectory of every value; they come from so many sources in turn."""
    with CorpusWriter.create(path, observations=OBSERVATIONS, action=ACTION) as writer:
        for n, value in enumerate(values):
            source = Provenance(source="test", seed=n % sources)
            position = np.full((4, 3), value)
            writer.add({"position": position}, np.zeros(3), np.zeros((3, 2)), provenance=source)


def calls(work: Callable[[], object]) -> int:
    """How many functions are called, those in C too."""
    count = itertools.count()

    def heard(frame: object, event: str, of: object) -> None:
        if event in ("call", "c_call"):
            next(count)

    before = sys.getprofile()
    sys.setprofile(heard)
    try:
        work()
    finally:
        sys.setprofile(before)
    return next(count)


Work = Callable[[Path, int], Callable[[], object]]


def writing(folder: Path, n: int) -> Callable[[], object]:
    return lambda: write(folder / "new", range(n))


def writing_from_many_sources(folder: Path, n: int) -> Callable[[], object]:
    return lambda: write(folder / "new", range(n), sources=n)


def writing_the_same(folder: Path, n: int) -> Callable[[], object]:
    return lambda: write(folder / "new", [0] * n)


def filtering(folder: Path, n: int) -> Callable[[], object]:
    write(folder / "old", range(n))
    return lambda: filter_corpus(open_corpus(folder / "old"), "length >= 1", folder / "new")


def merging(folder: Path, n: int) -> Callable[[], object]:
    write(folder / "a", range(n))
    write(folder / "b", range(n // 2, n + n // 2))
    both = open_corpus(folder / "a"), open_corpus(folder / "b")
    return lambda: merge_corpora(both, folder / "new")


def validating(folder: Path, n: int) -> Callable[[], object]:
    write(folder / "old", range(n))
    return lambda: list(validate(folder / "old"))


def filtering_through_a_mask(folder: Path, n: int) -> Callable[[], object]:
    write(folder / "old", range(n))
    view = open_corpus(folder / "old")
    view = view.with_mask(make_mask(view, 0.5, 0, "half"))
    return lambda: filter_corpus(view, "length >= 1", folder / "new")


def splitting(folder: Path, n: int) -> Callable[[], object]:
    write(folder / "old", range(n))
    parts = {"a": 0.5, "b": 0.5}
    return lambda: split_corpus(open_corpus(folder / "old"), parts, folder / "new")


def exporting(folder: Path, n: int, name: str) -> Callable[[], object]:
    write(folder / "old", range(n), sources=n)
    place = folder / ("new" if name == "lerobot" else "new.hdf5")
    settings = {"fps": 20} if name == "lerobot" else {}
    return lambda: export_corpus(open_corpus(folder / "old"), f"{name}:{place}", settings)


def importing(folder: Path, n: int, name: str) -> Callable[[], object]:
    exporting(folder, n, name)()
    place = folder / ("new" if name == "lerobot" else "new.hdf5")
    return lambda: import_corpus(f"{name}:{place}", folder / "back")


EXCHANGE = [
    partial(work, name=name)
    for work in (exporting, importing)
    for name in ("d4rl", "robomimic", "lerobot")
]


@pytest.mark.parametrize(
    "work",
    [
        writing,
        writing_from_many_sources,
        writing_the_same,
        filtering,
        filtering_through_a_mask,
        splitting,
        merging,
        validating,
        *EXCHANGE,
    ],
)
def test_ten_times_as_many_cost_ten_times_as_much(work: Work, tmp_path: Path) -> None:
    work(tmp_path / "warm", 2)()  # imports and caches
    few = calls(work(tmp_path / "few", FEW))
    many = calls(work(tmp_path / "many", MANY))
    assert many < 1.1 * (MANY / FEW) * few


@pytest.mark.parametrize("work", [filtering, filtering_through_a_mask, validating])
def test_what_is_asked_of_all_is_asked_in_operations_on_arrays(work: Work, tmp_path: Path) -> None:
    """Another trajectory costs hardly more calls than its hash and its id."""
    work(tmp_path / "warm", 2)()
    few = calls(work(tmp_path / "few", FEW))
    many = calls(work(tmp_path / "many", MANY))
    assert (many - few) / (MANY - FEW) < 20
