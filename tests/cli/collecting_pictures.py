"""``lawm-data collect`` with pictures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import small_agents
from lawm_schemas import Drawing, Manifest

from lawm_data import open_corpus
from lawm_models.collection.collector import agent_folder, collect_learning

CONFIG = small_agents.CONFIG.model_copy(update={"window": 3, "first_updates": 1, "updates": 1})


def test_pictures_are_drawn_as_the_corpus_says(run: Callable[..., Any], tmp_path: Path) -> None:
    """New corpora by ``fast``; one that goes on keeps its own, and without an entry the suite's."""
    out = tmp_path / "new"
    kind = ("--env", "cartpole-swingup", "--action-repeat", 100, "--num-envs", 2, "--pixels", 16)

    def collect(*words: object) -> Any:
        return run("lawm-data", "collect", *kind, *words)

    def drawing(path: Path) -> Drawing | None:
        return open_corpus(path).manifest.observations[-1].drawing

    assert collect("--trajectories", 2, "--out", out).code == 0
    assert drawing(out) == Drawing(by="fast")
    once = tmp_path / "once"
    assert collect("--trajectories", 4, "--out", once).code == 0
    assert collect("--trajectories", 4, "--out", out, "--workers", 1).code == 0
    assert open_corpus(out).fingerprint == open_corpus(once).fingerprint
    refused = collect("--trajectories", 6, "--out", out, "--draw", "suite")
    assert refused.code == 2
    assert "drawn by fast), not cartpole-swingup" in refused.err

    old, suite = tmp_path / "old", tmp_path / "suite"
    assert collect("--trajectories", 2, "--draw", "suite", "--out", old).code == 0
    assert collect("--trajectories", 4, "--draw", "suite", "--out", suite).code == 0
    manifest = Manifest.read_json(old / "corpus.json")
    specs = [s.model_copy(update={"drawing": None}) for s in manifest.observations]
    manifest = manifest.model_copy(update={"observations": tuple(specs)})
    (old / "corpus.json").write_text(manifest.to_json())
    assert "drawing" not in (old / "corpus.json").read_text()
    assert collect("--trajectories", 4, "--out", old).code == 0
    assert drawing(old) is None
    pictures = [open_corpus(path)[3].observations["pixels"] for path in (old, suite, out)]
    assert (pictures[0] == pictures[1]).all()
    assert not (pictures[0] == pictures[2]).all()


def test_a_policy_is_given_pictures_such_as_it_learned_from(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    """Where nothing else is asked for; with ``--pixels`` and without."""
    learned, task, shadows = tmp_path / "learned", "cartpole-swingup", Drawing(by="shadows")
    collect_learning(
        *("dreamer", task, learned, 3, 0, 250, CONFIG),
        processes=1,
        pixels=16,
        drawing=shadows,
        observe="pixels",
    )
    words = ("lawm-data", "collect", "--env", task, "--agent", agent_folder(learned))
    for name, more, expected in (
        ("told", ("--pixels", 16), shadows),
        ("untold", (), shadows),
        ("other", ("--pixels", 16, "--draw", "fast"), Drawing(by="fast")),
    ):
        out = tmp_path / name
        assert run(*words, "--trajectories", 1, *more, "--out", out).code == 0
        assert open_corpus(out).manifest.observations[-1].drawing == expected
    assert (
        open_corpus(tmp_path / "told").fingerprint == open_corpus(tmp_path / "untold").fingerprint
    )
    refused = run(*words, "--trajectories", 1, "--pixels", 24, "--out", tmp_path / "none")
    assert refused.code == 2
    assert "leave --pixels out, or give --pixels 16" in refused.err
