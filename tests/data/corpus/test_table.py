"""What is known of trajectories without reading their arrays."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
from lawm_schemas import LabelState

from lawm_data.corpus.table import WITHHELD


def test_the_table_says_what_the_trajectories_say(random_corpus: Callable) -> None:
    corpus = random_corpus(unlabeled=(1,), partial=(2,))
    for i, trajectory in enumerate(corpus):
        assert corpus.table.info(i) == trajectory.info
        assert corpus.table.id[i] == trajectory.info.id
        assert corpus.table.source[i] == "test"
    assert corpus.label_counts() == {"observed": 7, "withheld": 0, "missing": 1, "inferred": 0}


def test_rows_can_be_taken_in_any_order(random_corpus: Callable) -> None:
    corpus = random_corpus(unlabeled=(1,), partial=(2,), unrewarded=(4, 6), shards=4)
    rows = np.array([6, 1, 1, 4])
    taken = corpus.table.take(rows)
    assert len(taken) == 4
    for place, row in enumerate(rows.tolist()):
        assert taken.info(place) == corpus.table.info(row)
    assert corpus.table.rewarded.tolist() == [i not in (4, 6) for i in range(8)]
    assert taken.rewarded.tolist() == [False, True, True, False]
    assert len(corpus.table.take(rows[:0])) == 0


def test_what_is_not_shown_counts_no_steps(random_corpus: Callable) -> None:
    table = random_corpus(unlabeled=(1,), partial=(2,)).table
    hidden = table.relabel(np.full(len(table), WITHHELD, np.uint8))
    assert not hidden.num_observed.any()
    assert hidden.info(0).labels is LabelState.withheld
    same = table.relabel(table.labels)
    assert np.array_equal(same.num_observed, table.num_observed)


def test_columns_are_the_rows(random_corpus: Callable) -> None:
    table = random_corpus(unrewarded=(4,)).table
    columns = table.columns()
    for place in range(len(table)):
        info = table.info(place)
        known = {name: column.at(place) for name, column in columns.items()}
        assert known["id"] == info.id
        assert known["labels"] == info.labels.value
        assert known["episode_return"] == (None if place == 4 else info.episode_return)
        assert json.loads(known["metadata"] or "{}") == info.metadata
