from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lawm_schemas import ArraySpec, Provenance, Role

from lawm_data import CorpusWriter, make_mask, open_corpus, save_mask, summarize


def test_the_promised_keys_hold_the_right_numbers(random_corpus: Callable) -> None:
    corpus = random_corpus(unlabeled=(6,), partial=(2,), shards=2)
    mask = make_mask(corpus, 0.25, 3, "quarter", by="steps", stratify="source")
    save_mask(corpus, mask)
    view = corpus.with_mask("quarter")
    summary = summarize(view)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    returns = np.array([trajectory.rewards.sum(dtype=np.float64) for trajectory in corpus])
    assert summary["trajectories"] == 8
    assert summary["steps"] == sum(len(trajectory) for trajectory in corpus)
    assert summary["fingerprint"] == corpus.fingerprint
    labeled = len(mask.labeled)
    assert summary["label_states"] == {
        "observed": labeled,
        "withheld": 7 - labeled,
        "missing": 1,
        "inferred": 0,
    }
    assert summarize(corpus)["partially_labeled"] == 1
    assert summary["partially_labeled"] == 0
    assert summary["masks"] == {
        "quarter": {
            "fraction": 0.25,
            "seed": 3,
            "labeled": labeled,
            "by": "steps",
            "stratify": "source",
            "where": None,
            "current": True,
        }
    }
    assert summary["returns"] == pytest.approx(
        {
            "mean": returns.mean(),
            "std": returns.std(),
            "min": returns.min(),
            "p25": np.percentile(returns, 25),
            "median": np.median(returns),
            "p75": np.percentile(returns, 75),
            "max": returns.max(),
        }
    )
    assert summary["lengths"]["max"] == 30
    assert summary["sources"] == {"test": 8}
    assert [field["name"] for field in summary["observations"]] == ["position", "height"]
    assert summary["bytes"] == sum(p.stat().st_size for p in (corpus.path / "shards").iterdir())


def test_what_cannot_be_read_is_listed(random_corpus: Callable) -> None:
    corpus = random_corpus()
    save_mask(corpus, make_mask(corpus, 0.25, 0, "good"))
    (corpus.path / "masks" / "bad.json").write_text("{")
    summary = summarize(corpus)
    assert list(summary["masks"]) == ["good"]
    assert [thing["where"] for thing in summary["damaged"]] == [str(corpus.path / "masks/bad.json")]
    assert corpus.with_mask("good").mask


def test_an_empty_view_has_no_returns(random_corpus: Callable) -> None:
    summary = summarize(random_corpus().filter(lambda info: False))
    assert (summary["trajectories"], summary["steps"]) == (0, 0)
    assert summary["returns"] is summary["lengths"] is None


def test_trajectories_without_rewards_are_counted_in_the_view(tmp_path: Path) -> None:
    summary = [
        {"rewards": "none"},
        {},
        {"a": 1, "rewards": "none"},
        {"rewards": "of the task"},
        {"nested": {"rewards": "none"}},
        {"file": '"rewards"', "x": "none"},
    ]
    with CorpusWriter.create(
        tmp_path / "a",
        observations=[ArraySpec(name="x", shape=(1,))],
        action=ArraySpec(name="action", shape=(1,), role=Role.action),
    ) as writer:
        for i, metadata in enumerate(summary):
            writer.add(
                {"x": np.full((3, 1), i)},
                np.full(2, 0 if metadata.get("rewards") == "none" else i),
                provenance=Provenance(source="test"),
                metadata=metadata,
            )
            if i == 1:
                writer.commit()
    corpus = open_corpus(tmp_path / "a")
    summary = summarize(corpus)
    assert summary["without_rewards"] == 2
    rewarded = corpus.table.episode_return[corpus.table.rewarded]
    assert summary["returns"]["min"] == min(rewarded) > 0
    assert summary["by_source"]["test"]["returns"] == summary["returns"]
    unrewarded = summarize(corpus.filter(~corpus.table.rewarded))
    assert unrewarded["returns"] is None
    assert unrewarded["lengths"]["mean"] == summary["lengths"]["mean"]
    kept = corpus.filter([corpus.table.id[i] for i in (1, 2, 3)])
    assert summarize(kept)["without_rewards"] == 1
