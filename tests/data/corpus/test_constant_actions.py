"""Actions that never change are found wherever they are, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from lawm_schemas import ArraySpec, Provenance, Role

from lawm_data import Corpus, CorpusWriter, make_mask, open_corpus
from lawm_data.corpus.constant_actions import (
    CONSTANT,
    VARIED,
    ZERO,
    Inert,
    action_kinds,
    inert_actions,
)

STATE = (ArraySpec(name="position", shape=(2,)),)


def write(path: Path, actions: list[np.ndarray | None], dtype: str = "float32") -> Corpus:
    spec = ArraySpec(name="action", shape=(2,), dtype=dtype, role=Role.action)
    rng = np.random.default_rng(0)
    with CorpusWriter.create(path, observations=STATE, action=spec) as writer:
        for given_actions in actions:
            steps = 12 if given_actions is None else len(given_actions)
            arrays = {"position": rng.normal(size=(steps + 1, 2))}
            writer.add(arrays, np.ones(steps), given_actions, provenance=Provenance(source="x"))
    return open_corpus(path)


def changed(steps: int, place: int) -> np.ndarray:
    actions = np.full((steps, 2), 0.5, np.float32)
    actions[place, 1] = 0.25
    return actions


def test_each_kind_is_told_from_the_others(tmp_path: Path) -> None:
    same, zero = np.full((12, 2), 0.5, np.float32), np.zeros((12, 2), np.float32)
    corpus = write(tmp_path / "c", [zero, same, None, changed(12, 3), zero[:1], zero])
    assert action_kinds(corpus).tolist() == [ZERO, CONSTANT, -1, VARIED, VARIED, ZERO]
    assert inert_actions(corpus) == Inert(2, 1)
    assert inert_actions(corpus, most=2) == Inert(2, 0)  # the first and the last
    mask = make_mask(corpus, 0.2, 0, "one")
    shown = [i for i, name in enumerate(corpus.table.id) if name in mask.labeled]
    hidden = [kind if i in shown else -1 for i, kind in enumerate(action_kinds(corpus))]
    assert action_kinds(corpus.with_mask(mask)).tolist() == hidden


def test_few_choices_in_a_row_are_nothing_odd(tmp_path: Path) -> None:
    short, long = np.ones((9, 2), np.int64), np.ones((10, 2), np.int64)
    assert inert_actions(write(tmp_path / "c", [short, long], "int64")) == Inert(0, 1)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 30), st.data())
def test_one_change_anywhere_is_seen(tmp_path_factory, steps: int, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, steps - 1))
    path = tmp_path_factory.mktemp("inert") / "c"
    assert inert_actions(write(path, [changed(steps, place)])) == Inert(0, 0)


def test_a_warning_names_the_command_that_mends_it() -> None:
    (what, hint), (other, _) = Inert(2, 1).warnings(Path("cs"))
    assert "2 trajectories are all zero" in what
    assert "a trajectory are always the same" in other
    assert "lawm-data edit cs" in hint
    assert list(Inert(0, 0).warnings(Path("cs"))) == []
