"""Work on n trajectories is at most n times that on one: calls are counted, not seconds."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from lawm_schemas import ArraySpec, Provenance, Role

from lawm_data import CorpusWriter, filter_corpus, merge_corpora, open_corpus
from lawm_data.corpus.integrity.validate import validate

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


@pytest.mark.parametrize(
    "work",
    [writing, writing_from_many_sources, writing_the_same, filtering, merging, validating],
)
def test_ten_times_as_many_cost_ten_times_as_much(work: Work, tmp_path: Path) -> None:
    work(tmp_path / "warm", 2)()  # imports and caches
    few = calls(work(tmp_path / "few", FEW))
    many = calls(work(tmp_path / "many", MANY))
    assert many < 1.1 * (MANY / FEW) * few
