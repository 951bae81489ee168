from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lawm_schemas import ArraySpec, Provenance, Role

from lawm_data import CorpusWriter, make_mask, open_corpus, summarize, write_overlay
from lawm_data.inspection import statistics as blocks
from lawm_data.inspection.statistics import measure, moments

PIXELS = ArraySpec(name="camera", shape=(4, 5, 3), dtype="uint8", role=Role.pixels)
COUNT = ArraySpec(name="count", shape=(2,), dtype="int32")
PHYSICS = ArraySpec(name="physics", shape=(2,), dtype="float64", role=Role.physics)
FIELDS = (ArraySpec(name="position", shape=(2,)), COUNT, PIXELS, PHYSICS)


@given(
    rows=st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 2), min_size=1, max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=5),
    offset=st.sampled_from([0.0, 1e8]),
)
def test_moments_do_not_depend_on_the_blocks(rows: list, cuts: list[int], offset: float) -> None:
    data = np.array(rows) + offset
    found = moments(np.split(data, sorted(min(cut, len(data)) for cut in cuts)))
    assert found is not None
    assert found.rows == len(data)
    np.testing.assert_allclose(found.mean, data.mean(0), rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(found.std, data.std(0), rtol=1e-9, atol=1e-6)
    np.testing.assert_array_equal([found.low, found.high], [data.min(0), data.max(0)])


def test_no_rows_have_no_moments() -> None:
    assert moments([np.empty((0, 2))]) is None


@pytest.mark.parametrize("block", [8, 1 << 24])
def test_statistics_are_those_of_the_trajectories(
    random_corpus: Callable, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", block)
    corpus = random_corpus(observations=FIELDS, unlabeled=(1,), partial=(2, 5), shards=2)
    view = corpus.filter(np.arange(len(corpus)) != 4)
    measured = measure(view)
    truth = {
        "position": np.concatenate([t.observations["position"] for t in view]),
        "count": np.concatenate([t.observations["count"] for t in view]),
        "camera": np.concatenate([t.observations["camera"].reshape(-1, 3) for t in view]),
        "physics": np.concatenate([t.physics for t in view if t.physics is not None]),
    }
    assert [entry["name"] for entry in measured["observations"]] == list(truth)
    for entry in measured["observations"]:
        rows = truth[entry["name"]].astype(np.float64)
        assert entry["mean"] == pytest.approx(rows.mean(0))
        assert entry["std"] == pytest.approx(rows.std(0))
        assert (entry["min"], entry["max"]) == (rows.min(0).tolist(), rows.max(0).tolist())
    actions = np.concatenate(
        [t.actions[t.action_observed] for t in view if t.actions is not None]
    ).astype(np.float64)
    assert measured["actions"]["steps"] == len(actions) == int(view.table.num_observed.sum())
    assert measured["actions"]["mean"] == pytest.approx(actions.mean(0))
    assert measured["actions"]["std"] == pytest.approx(actions.std(0))


def test_hidden_and_inferred_actions_do_not_show(random_corpus: Callable) -> None:
    corpus = random_corpus(shards=2)
    mask = make_mask(corpus, 0.25, 0, "quarter")
    kept = corpus.filter(list(mask.labeled))
    hidden = [(t.info.id, t.actions * 0 + 9, t.actions * 0) for t in corpus]
    write_overlay(corpus, hidden, name="nines", model="0" * 64, algorithm="test")
    view = corpus.with_mask(mask).with_labels("nines")
    assert measure(view)["actions"] == measure(kept)["actions"]
    assert measure(view)["observations"] == measure(corpus)["observations"]
    none = view.filter(~np.isin(view.table.id, mask.labeled))
    assert measure(none)["actions"] is None


def test_shares_at_the_bounds_duplicates_and_still_dimensions(tmp_path) -> None:
    action = ArraySpec(name="a", shape=(2,), role=Role.action, low=(-2.0, 0.0), high=(2.0, 1.0))
    seen = (ArraySpec(name="s", shape=(3,)), ArraySpec(name="height", shape=()))
    writer = CorpusWriter.create(tmp_path / "c", observations=seen, action=action)
    rng, source = np.random.default_rng(0), Provenance(source="test")
    state = rng.normal(size=(5, 3)).astype(np.float32)
    state[:, 1] = 1000 + 0.01 * rng.normal(size=5)
    still = {"s": state, "height": np.zeros(5)}
    actions = np.array([[-2, 0.5], [2, 1], [1.9, 0], [1.9999, 0.5]])
    for given_actions in (actions, -actions[:, ::-1] * 0, None):
        writer.add(still, np.ones(4), given_actions, provenance=source)
    writer.add({**still, "s": state + np.float32([1, 0, 0])}, np.ones(4), None, provenance=source)
    writer.close()
    corpus = open_corpus(tmp_path / "c")
    measured = measure(corpus)
    assert measured["near_constant"] == ["s[1]", "height"]
    assert measured["duplicates"] == [corpus.table.id[:3].tolist()]
    assert measured["actions"]["at_low"] == [1 / 8, 5 / 8]
    assert measured["actions"]["at_high"] == [2 / 8, 1 / 8]


def test_summary_counts_steps_and_sources(random_corpus: Callable) -> None:
    corpus = random_corpus(unlabeled=(1,), partial=(5,))
    summary = summarize(corpus, stats=True)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert sum(summary["label_steps"].values()) == summary["steps"]
    assert summary["label_steps"]["observed"] == int(corpus.table.num_observed.sum())
    assert summary["label_steps"]["missing"] == 4 + 2 * 20 // 3
    (source,) = summary["by_source"].values()
    assert {key: summary[key] for key in source} == source
    masked = summarize(corpus.with_mask(make_mask(corpus, 0.5, 0, "half")))["label_steps"]
    assert masked["withheld"] > 0
    assert sum(masked.values()) == summary["steps"]
    assert summarize(corpus)["stats"] is None


def test_an_empty_view_has_no_statistics(random_corpus: Callable) -> None:
    summary = summarize(random_corpus().filter(lambda info: False), stats=True)
    assert summary["by_source"] == {}
    assert summary["stats"]["actions"] is None
    assert summary["stats"]["observations"][0]["mean"] is None
