"""Everything that is wrong with a trajectory is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from lawm_data import open_corpus
from lawm_data.corpus.integrity.soundness import (
    is_metadata,
    metadata_of,
    trajectory_faults,
    unsound,
)
from lawm_data.corpus.layout import layout_of
from lawm_data.corpus.shard import open_shard


def faults(path: Path) -> Iterator[list[str]]:
    """What is wrong with each trajectory of the first shard."""
    manifest = open_corpus(path).manifest
    layout, info = layout_of(manifest), manifest.shards[0]
    part = open_shard(path / "shards" / info.file, info, layout, len(manifest.provenance))
    found = [list(trajectory_faults(part, i, layout)) for i in range(info.trajectories)]
    # of a block with one that is wrong all may be looked at
    assert {i for i, words in enumerate(found) if words} <= set(unsound(part, layout))
    yield from found


def test_what_is_written_is_sound(random_corpus: Callable) -> None:
    corpus = random_corpus(unlabeled=(1,), partial=(2,), unrewarded=(3,))
    assert [*faults(corpus.path)] == [[]] * len(corpus)
    layout, info = layout_of(corpus.manifest), corpus.manifest.shards[0]
    assert not unsound(open_shard(corpus.path / "shards" / info.file, info, layout, 1), layout)


ALTERED = "its content was altered: the hash differs"


@pytest.mark.parametrize(
    ("name", "row", "value", "words"),
    [
        ("steps", (0, 0), 7.5, [ALTERED]),
        ("steps", (0, 0), np.nan, ["an observation or a reward is not a finite number", ALTERED]),
        ("steps", (0, -1), 7.5, ["its return is not the sum of its rewards", ALTERED]),
        ("actions", 0, 0.123, [ALTERED]),
        ("actions", 0, 2.0, ["an action is outside the bounds of the action spec", ALTERED]),
        ("action_observed", 0, 0, ["8 actions are observed", "values are stored for", ALTERED]),
        ("table/terminated", 0, 0, [ALTERED]),
    ],
)
def test_one_changed_value_is_found_and_nothing_else(
    random_corpus: Callable, name: str, row: Any, value: float, words: list[str]
) -> None:
    corpus = random_corpus(partial=(5,))
    with h5py.File(corpus.path / "shards" / corpus.manifest.shards[0].file, "r+") as file:
        file[name][row] = value
    first, *rest = faults(corpus.path)
    assert len(first) == len(words)
    assert all(part in fault for part, fault in zip(words, first, strict=True))
    assert rest == [[]] * (len(corpus) - 1)


def test_metadata_is_an_object_or_nothing(random_corpus: Callable) -> None:
    known = {
        b"": True,
        b"{}": True,
        b'{"a": 1}': True,
        b"[]": False,
        b"{": False,
        b"[" * 9999: False,
    }
    assert {text: is_metadata(text) for text in known} == known
    corpus = random_corpus(unrewarded=(2,))
    info, layout = corpus.manifest.shards[0], layout_of(corpus.manifest)
    part = open_shard(corpus.path / "shards" / info.file, info, layout, 1)
    texts = [metadata_of(part, i) for i in range(len(corpus))]
    assert [bool(text) for text in texts] == [i == 2 for i in range(len(corpus))]
