"""Trajectories that can be looked at one by one."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from lawm_schemas import ArraySpec, Provenance, Role
from report_corpora import corpus_with, even_ones

from lawm_data import CorpusWriter, open_corpus, write_overlay
from lawm_data.corpus.table import FINAL_MISSING
from lawm_data.inspection.report import browser


def unpack(data: dict, i: int) -> np.ndarray:
    codes = np.frombuffer(base64.b64decode(data["trajectories"][i]["data"]), "<u2")
    low, high = np.array(data["low"]), np.array(data["high"])
    codes = codes.reshape(-1, len(low))
    return np.where(codes == browser.ABSENT, np.nan, low + codes / 65534 * (high - low))


@pytest.mark.parametrize("most", [1, 2, 5, 8, 20])
def test_chosen_trajectories_span_the_returns(tmp_path: Path, most: int) -> None:
    corpus = corpus_with(tmp_path / "c")
    places, returns = browser.choose(corpus, most), corpus.table.episode_return
    assert len(set(places.tolist())) == len(places) == min(most, 8)
    assert returns[places].max() == returns.max()
    if most > 1:
        assert returns[places].min() == returns.min()
        assert (np.diff(places) > 0).all()


@pytest.mark.parametrize("length", [12, 700])
def test_packed_signals_are_those_of_the_view(tmp_path: Path, length: int) -> None:
    view = even_ones(corpus_with(tmp_path / "c", length=length))
    data = browser.pack(view, np.arange(8), dict.fromkeys(range(8), "test"))
    span = np.array(data["high"]) - data["low"]
    for i, trajectory in enumerate(view):
        signals, stride = unpack(data, i), data["trajectories"][i]["stride"]
        assert len(signals) <= browser.MOST_ROWS
        last = None if stride > 1 else -1
        np.testing.assert_allclose(
            signals[:last, 0], trajectory.rewards[::stride], atol=span[0] / 6e4
        )
        state = trajectory.observations.state[::stride]
        assert (np.abs(signals[:, 3:] - state) <= span[3:] / 6e4).all()
        if trajectory.actions is None:
            assert np.isnan(signals[:, 1:3]).all()
            assert data["trajectories"][i]["runs"] == [("withheld", 0, length)]
        else:
            actions = trajectory.actions[::stride]
            assert (np.abs(signals[: len(actions), 1:3] - actions) <= span[1:3] / 6e4).all()


def test_rewards_that_were_not_recorded_are_not_zero(tmp_path: Path) -> None:
    view = corpus_with(tmp_path / "some", unrewarded=(1,))
    data = browser.pack(view, np.arange(8), dict.fromkeys(range(8), "test"))
    rows = data["trajectories"]
    assert [one["place"] for one in rows] == list(range(8))
    assert [one["return"] is None for one in rows] == [i == 1 for i in range(8)]
    assert data["panels"][0]["kind"] == "reward"
    assert np.isnan(unpack(data, 1)[:, 0]).all()
    assert not np.isnan(unpack(data, 0)[:-1, 0]).any()
    view = corpus_with(tmp_path / "none", unrewarded=range(8))
    data = browser.pack(view, np.arange(8), dict.fromkeys(range(8), "test"))
    assert [panel["kind"] for panel in data["panels"]] == ["action"] * 2 + ["observation"] * 2
    state = np.concatenate([view[3].observations[name] for name in ("position", "height")], 1)
    span = np.array(data["high"]) - data["low"]
    assert (np.abs(unpack(data, 3)[:, 2:] - state) <= span[2:] / 6e4).all()


@pytest.mark.parametrize("unrewarded", [range(8), (0, 3, 5), (7,)])
@pytest.mark.parametrize("sign", [-1, 1])
def test_what_has_no_recorded_rewards_has_no_return_to_span(
    tmp_path: Path, sign: int, unrewarded: Sequence[int]
) -> None:
    """Its share comes from all over the corpus; the worst and the best are of the others."""
    corpus = corpus_with(tmp_path / "c", unrewarded=unrewarded)
    # a return of 0 would be the best or the worst of these
    view = corpus.filter(~corpus.table.rewarded | (sign * corpus.table.episode_return > 0))
    known, returns = view.table.rewarded, view.table.episode_return
    for most in range(1, len(view)):
        places = browser.choose(view, most)
        assert len(set(places.tolist())) == len(places) == most
        assert (np.diff(places) > 0).all()
        chosen = places[known[places]]
        assert len(chosen) >= min(most, 2, known.sum())
        assert abs(len(chosen) - most * known.mean()) < 2
        if known.any():
            assert returns[chosen].max() == returns[known].max()
            assert most == 1 or returns[chosen].min() == returns[known].min()


def test_no_action_is_drawn_that_could_not_be_inferred(tmp_path: Path) -> None:
    """The last one, where nobody recorded what it led to."""
    with CorpusWriter.create(
        tmp_path / "corpus",
        observations=[ArraySpec(name="x", shape=(1,))],
        action=ArraySpec(name="action", shape=(1,), role=Role.action),
    ) as writer:
        for i in range(2):
            writer.add(
                {"x": np.array([[0], [1], [2], [2 + i]])},
                np.arange(3.0),
                provenance=Provenance(source="test"),
                metadata={} if i else FINAL_MISSING,
            )
    corpus = open_corpus(tmp_path / "corpus")
    labels = [(name, np.arange(3.0)[:, None], np.ones((3, 1))) for name in corpus.table.id]
    write_overlay(corpus, labels, name="ours", model="0" * 64, algorithm="lam")
    data = browser.pack(corpus.with_labels("ours"), np.arange(2), dict.fromkeys(range(2), "test"))
    known = [~np.isnan(unpack(data, i)[:-1, 1]) for i in range(2)]
    assert [one.tolist() for one in known] == [[True, True, False], [True, True, True]]
