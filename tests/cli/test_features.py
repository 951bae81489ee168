"""``lawm-data features``: what is printed, and what ``info`` says afterwards."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from lawm_data.corpus.features import ARRAYS, ENCODER
from lawm_data.system.progress import NoBar


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


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("--workers", 2), id="processes"),
        # a cluster takes long to start
        pytest.param(("--backend", "ray"), marks=pytest.mark.slow, id="ray"),
    ],
)
def test_workers_go_on_to_the_features_of_one_process(
    run: Callable, drawn: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch, words: tuple
) -> None:
    """After an interrupt, with a part that is there, and wherever the workers are."""
    from lawm_models.runs import make_features as making

    class Stop(NoBar):
        def reach(self, done: int, metrics: Mapping[str, float] | None = None) -> None:
            if done:
                raise KeyboardInterrupt

    monkeypatch.setattr(making, "PART_STEPS", 20)
    made = drawn / "features"
    making.make_features(encoder, drawn, "alone")
    with pytest.raises(KeyboardInterrupt):
        making.make_features(encoder, drawn, "shared", progress=Stop())
    assert len(list(made.glob(".shared.parts/*.npy"))) == 1
    monkeypatch.setattr(making, "_encoded", lambda *_: pytest.fail("encodes in this process"))
    monkeypatch.chdir(drawn.parent)
    features = ("features", drawn.name, "--run", encoder, "--name", "shared", "--json")
    done = run("lawm-data", *features, *words)
    assert done.code == 0, done.err
    assert done.json["observations"] == 66
    for file in (ARRAYS, ENCODER):
        assert (made / "shared" / file).read_bytes() == (made / "alone" / file).read_bytes()
    assert sorted(entry.name for entry in made.iterdir()) == ["alone", "shared"]


def test_workers_that_there_are_not_are_one_line(run: Callable, drawn: Path, made: Path) -> None:
    features = ("features", drawn, "--run", made / "run", "--name", "x")
    for words, line in (
        (("--workers", 0), "--workers"),
        (("--backend", "nowhere"), "no backend 'nowhere'; known ones: processes, ray"),
    ):
        done = run("lawm-data", *features, *words)
        assert (done.code, done.out) == (2, "")
        assert line in done.err
    assert not (drawn / "features").exists()
