"""A pickled view names what to open; it holds no arrays."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lawm_schemas import CorpusError, Provenance

from lawm_data import CorpusWriter, make_mask, open_corpus


def test_pickled_view_is_the_same_view_and_hides_the_same(random_corpus: Callable) -> None:
    corpus = random_corpus()
    mask = make_mask(corpus, 0.4, seed=0, name="some")
    view = corpus.with_mask(mask).filter(lambda info: info.length > 5)
    data = pickle.dumps(view)
    for trajectory in corpus:
        for row in np.asarray(trajectory.actions):
            assert row.tobytes() not in data
    again = pickle.loads(data)
    assert again.fingerprint == view.fingerprint
    assert again.mask == mask
    np.testing.assert_array_equal(again.index.action_row, view.index.action_row)
    np.testing.assert_array_equal(again.table.id, view.table.id)


def test_pickled_view_of_a_corpus_that_has_grown_is_refused(random_corpus: Callable) -> None:
    corpus = random_corpus()
    data = pickle.dumps(corpus)
    first = corpus[0]
    with CorpusWriter.append(corpus.path) as writer:
        writer.add(
            dict(first.observations.items()),
            first.rewards,
            first.actions,
            provenance=Provenance(source="test"),
        )
    with pytest.raises(CorpusError, match=r"has changed since it was pickled; open it again"):
        pickle.loads(data)


def test_pickled_view_is_opened_in_another_folder(
    random_corpus: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = random_corpus().path
    monkeypatch.chdir(path.parent)
    data = pickle.dumps(open_corpus(path.name))
    monkeypatch.chdir(tmp_path.parent)
    assert len(pickle.loads(data)) == len(open_corpus(path))
