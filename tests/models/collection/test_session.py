from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from lawm_schemas import ConfigError

from lawm_data import open_corpus
from lawm_models.collection.session import Collection, collect, collected, unfit


class Shown:
    """A progress bar that remembers."""

    def __init__(self) -> None:
        self.started: list[tuple[str, int]] = []
        self.reached: list[int] = []

    def start(self, stage: str, total: int) -> None:
        self.started.append((stage, total))

    def reach(self, done: int, metrics: Mapping[str, float] | None = None) -> None:
        self.reached.append(done)

    def stop(self) -> None: ...


def collection(out: Path, trajectories: int, **changed: Any) -> Collection:
    return Collection(
        agent="random",
        task="gym:CartPole-v1",
        out=out,
        trajectories=trajectories,
        seed=0,
        action_repeat=1,
        pixels=None,
        num_envs=None,
        noise=None,
        append=False,
        workers=None,
        backend="processes",
    )._replace(**changed)


def test_a_collection_goes_on_where_it_was_and_shows_it(tmp_path: Path) -> None:
    whole, parts, shown = tmp_path / "whole", tmp_path / "parts", Shown()
    collect(collection(whole, 5), Shown())
    collect(collection(parts, 2), shown)
    collect(collection(parts, 5), shown)
    assert open_corpus(parts).fingerprint == open_corpus(whole).fingerprint
    assert shown.started == [("random", 2), ("random", 5)]
    assert shown.reached == [0, 1, 2, 2, 3, 4, 5]
    assert collected(parts) == 5


def test_another_collection_needs_to_be_asked_for(tmp_path: Path) -> None:
    collect(collection(tmp_path / "c", 2), Shown())
    with pytest.raises(ConfigError, match="is a corpus of another collection"):
        collect(collection(tmp_path / "c", 2, seed=1), Shown())
    collect(collection(tmp_path / "c", 2, seed=1, append=True), Shown())
    assert len(open_corpus(tmp_path / "c")) == 4
    with pytest.raises(ConfigError, match="holds CartPole-v1 with action repeat 1"):
        collect(collection(tmp_path / "c", 2, action_repeat=2), Shown())


def test_settings_that_an_agent_does_not_have() -> None:
    assert unfit("dreamer", None) == unfit("runs/a", False) == ()
    assert unfit("dreamer", True) == unfit("random", False) == ("noise",)
