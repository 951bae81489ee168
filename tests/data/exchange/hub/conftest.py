"""A server that speaks the Hub's protocol, for the real client."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lawm_schemas import ArraySpec, Role

from lawm_data import Corpus, make_mask, open_corpus, save_mask, write_overlay

# The server's modules stand beside the tests, which are no package.
sys.path.append(str(Path(__file__).parent))

from hub_fixture import hub as hub

FIELDS = (
    ArraySpec(name="position", shape=(2,)),
    ArraySpec(name="height", shape=()),
    ArraySpec(name="count", shape=(2, 2), dtype="int16"),
    ArraySpec(name="camera", shape=(4, 3, 3), dtype="uint8", role=Role.pixels),
    ArraySpec(name="physics", shape=(4,), dtype="float64", role=Role.physics),
)


@pytest.fixture
def rich(random_corpus: Callable[..., Corpus]) -> Corpus:
    """A corpus with everything: all arrays and label states, two masks, an overlay, two shards."""
    corpus = random_corpus(observations=FIELDS, partial=(3, 5), unlabeled=(0, 6), shards=2)
    for name, fraction in (("quarter", 0.25), ("half", 0.5)):
        save_mask(corpus, make_mask(corpus, fraction, 0, name))
    labels = [
        (str(corpus.table.id[i]), np.zeros((n, 3)), np.ones((n, 3)))
        for i, n in ((0, corpus.table.length[0]), (6, corpus.table.length[6]))
    ]
    write_overlay(corpus, labels, name="idm", model="m", algorithm="lawm")
    return open_corpus(corpus.path)


@pytest.fixture
def contents() -> Callable[[Path], dict[str, bytes]]:
    """The files of a corpus by their paths, without the lock."""

    def read(folder: Path) -> dict[str, bytes]:
        files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}

    return read
