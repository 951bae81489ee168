"""Metadata that lies."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lawm_schemas import ConfigError, CorpusError
from minari_sets import BOX, create, episode, imported, rewrite

from lawm_data.exchange import export_corpus, import_corpus

LIES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "more episodes": (lambda m: m.update(total_episodes=9), "holds 2 episodes where"),
    "more steps": (lambda m: m.update(total_steps=9), "says 9 steps"),
    "negative": (lambda m: m.update(total_steps=-1), "less than nothing"),
    "another id": (lambda m: m.update(dataset_id="lab/other-v0"), "says that it is"),
    "a future version": (lambda m: m.update(minari_version="9.0.0"), "9.0.0"),
    "no spaces": (lambda m: m.pop("observation_space"), "does not say its spaces"),
    "a huge space": (
        lambda m: m.update(observation_space=json.dumps({**BOX, "shape": [1 << 40]})),
        "damaged Box",
    ),
    "objects": (
        lambda m: m.update(observation_space=json.dumps({**BOX, "dtype": "object"})),
        "damaged Box",
    ),
    "empty": (
        lambda m: m.update(observation_space='{"type": "Dict", "subspaces": {}}'),
        "holds no array",
    ),
    "deep": (
        lambda m: m.update(
            observation_space='{"type":"Tuple","subspaces":[' * 99 + json.dumps(BOX) + "]}" * 99
        ),
        "is not a space",
    ),
    "paths": (
        lambda m: m.update(
            observation_space=json.dumps({"type": "Dict", "subspaces": {"..": BOX}})
        ),
        "has a part called",
    ),
    "two of a name": (
        lambda m: m.update(
            observation_space=json.dumps({"type": "Dict", "subspaces": {"a b": BOX, "a_b": BOX}})
        ),
        "one name",
    ),
    "ours, of the future": (lambda m: m.update(lawm={"version": 2}), "version"),
    "ours, without a manifest": (lambda m: m.update(lawm={"version": 1}), "lawm"),
}


@pytest.mark.parametrize("name", LIES)
def test_metadata_that_lies_is_refused(name: str, root: Path, tmp_path: Path) -> None:
    change, words = LIES[name]
    create(episode(3), episode(4))
    rewrite(root, change)
    with pytest.raises(CorpusError, match=words):
        imported(tmp_path)
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize(
    "place", ["", "x", "a/b", "a/b-v0/..", "../b-v0", "/tmp/b-v0", "a//b-v0", "lab/b-vx", "é/b-v0"]
)
def test_ids_that_are_none_are_refused(place: str, plain_plan: Callable, tmp_path: Path) -> None:
    whole = plain_plan().write(tmp_path / "corpus")
    for act in (
        lambda: export_corpus(whole, f"minari:{place}"),
        lambda: import_corpus(f"minari:{place}", tmp_path / "back"),
    ):
        with pytest.raises(ConfigError):
            act()
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]
