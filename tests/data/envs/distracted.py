"""``lawm-data collect`` and ``rerender`` with distractors."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from lawm_schemas import Role

from lawm_data import export_corpus, import_corpus, open_corpus

SIZE = 32


def test_collected_and_drawn_again_they_are_the_same(
    run: Callable[..., Any], film: Path, tmp_path: Path
) -> None:
    def call(*words: object, code: int = 0) -> str:
        done = run("lawm-data", *words)
        assert done.code == code, done.err
        return done.err

    shared = ("--distractors", "agents", "--distractors", f"video:{film}", "--distractors", "noise")
    kind = ("--env", "walker-walk", "--action-repeat", 50, "--trajectories", 3, "--seed", 6)
    collect, drawn = ("collect", *kind, "--num-envs", 2), tmp_path / "drawn"
    pixels = ("--pixels", SIZE)
    call(*collect, "--out", tmp_path / "states")
    call(*collect, *pixels, "--out", tmp_path / "clean")
    call(*collect, *pixels, *shared[:4], "--out", tmp_path / "quiet")
    call(*collect, *pixels, *shared, "--out", tmp_path / "both")
    again = ("--size", SIZE, *shared, "--seed", 6, "--workers", 1)  # in a process of its own
    call("rerender", tmp_path / "states", *again, "--out", drawn)
    names = ("both", "drawn", "clean", "quiet")
    both, later, clean, quiet = (open_corpus(tmp_path / name) for name in names)
    assert both.manifest.observations == later.manifest.observations
    exogenous = [s.name for s in both.manifest.observations if s.role is Role.exogenous]
    assert exogenous == ["video", "agents", "noise"]
    assert both.manifest.state == clean.manifest.state
    for a, b, c, d in zip(both, later, clean, quiet, strict=True):
        for name in ("pixels", *exogenous):
            assert np.array_equal(a.observations[name], b.observations[name])
        body = (c.observations["pixels"] == d.observations["pixels"]).all(3)
        assert 0.005 < body.mean() < 0.3  # the body is as it was, and all else is not
        assert np.array_equal(a.observations.state, c.observations.state)
    # the same command goes on, and one without distractors would not be the same corpus
    assert "2 of 3" not in call(*collect, *pixels, *shared, "--out", tmp_path / "both")
    assert "is given twice" in call(*collect, *pixels, *shared[:2] * 2, "--out", "x", code=2)
    assert "no such file" in call(
        *("rerender", tmp_path / "states", "--size", SIZE, "--out", tmp_path / "x"),
        *("--distractors", "video:gone.mp4"),
        code=2,
    )
    assert not (tmp_path / "x").exists()
    # other programs would take it for an observation
    exported = export_corpus(both, f"robomimic:{tmp_path / 'out.hdf5'}")
    assert "array agents: is exogenous, and for probes alone" in exported.notes
    back = import_corpus(f"robomimic:{tmp_path / 'out.hdf5'}", tmp_path / "back").path
    assert not {*exogenous} & {s.name for s in open_corpus(back).manifest.observations}
