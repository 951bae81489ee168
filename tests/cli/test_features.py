"""``lawm-data features``: what is printed, and what ``info`` says afterwards."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def encoder(run: Callable, drawn: Path, tmp_path: Path) -> Path:
    out = tmp_path / "ae"
    words = f"train --corpus {drawn} --algorithm autoencoder --preset demo --out {out}"
    small = ("steps.encoder=2", "batch_size=4", "algorithm.settings.latent=3")
    done = run("lawm", *words.split(), *(w for setting in small for w in ("--set", setting)))
    assert done.code == 0, done.err
    return out


def test_features_are_made_listed_and_learned_from(
    run: Callable, drawn: Path, encoder: Path, tmp_path: Path
) -> None:
    done = run("lawm-data", "features", drawn, "--run", encoder, "--name", "tiny", "--json")
    assert done.code == 0, done.err
    assert (done.json["width"], done.json["observations"]) == (3, 66)
    again = run("lawm-data", "features", drawn, "--run", encoder, "--name", "tiny")
    assert (again.code, again.out) == (2, "")
    assert "choose another name, or replace them (--replace)" in again.err
    shown = run("lawm-data", "features", drawn, "--run", encoder, "--name", "tiny", "--replace")
    assert "3 numbers for each of 66 observations" in shown.out
    assert "velocity" in shown.out
    found = run("lawm-data", "info", drawn, "--json").json["features"]
    assert found["tiny"]["probe"].keys() == {"position", "velocity"}
    assert found["tiny"]["current"]
    words = f"train --corpus {drawn}@half --algorithm bc --preset demo --out {tmp_path / 'bc'}"
    small = ("observe=features:tiny", "evaluation_episodes=0", "steps.agent=2", "window=5")
    done = run("lawm", *words.split(), *(w for setting in small for w in ("--set", setting)))
    assert done.code == 0, done.err


def test_a_run_without_an_encoder_is_one_line(run: Callable, drawn: Path, made: Path) -> None:
    done = run("lawm-data", "features", drawn, "--run", made / "run", "--name", "x")
    assert (done.code, done.out) == (2, "")
    assert "learns no encoder for others; give a run of --algorithm autoencoder" in done.err
    assert not (drawn / "features").exists()
