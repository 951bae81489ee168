"""From pictures to features, and from both to actions and policies, on what dm_control drew."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from lawm_schemas import ConfigError, CorpusError, StorageError

from lawm_data import CorpusWriter, open_corpus
from lawm_data.corpus.features import ABOUT, ARRAYS, ENCODER, FEATURES
from lawm_data.system.output import claimed
from lawm_data.system.progress import NoBar
from lawm_models.networks.encoders._protocol import Observation
from lawm_models.runs import make_features as making
from lawm_models.runs.audit import audit
from lawm_models.runs.make_features import make_features
from lawm_models.runs.relabel import relabel
from lawm_models.runs.run import load_run
from lawm_models.training.evaluate import Evaluator
from lawm_models.training.run_folder import RunFolder
from lawm_models.training.trainer import train

INFER = ("lawm", "idm_td3_bc", "bc")
"""Algorithms that infer actions."""


def test_features_are_what_the_encoder_makes_of_every_picture(
    drawn: Path, encoder: RunFolder
) -> None:
    made = make_features(encoder, drawn, "ae")
    assert (made["width"], made["trajectories"], made["observations"]) == (4, 6, 66)
    whole, view = open_corpus(drawn), open_corpus(drawn).observing("features:ae")
    algorithm = encoder.algorithm()
    rows = []
    for trajectory in whole:
        images = torch.from_numpy(trajectory.observations["pixels"])
        seen = Observation(torch.zeros(len(images), 0), {"pixels": images})
        rows.append(algorithm.encoder(seen).detach().numpy())
    # one scale for all: mean 0, and variance 1 on average over the dimensions
    every = np.concatenate(rows)
    scale = np.sqrt(every.var(0).mean())
    for trajectory, raw in zip(view, rows, strict=True):
        expected = (raw - every.mean(0)) / scale
        np.testing.assert_allclose(trajectory.observations["ae"], expected, atol=4e-3)
    # position and velocity of the cart and the pole
    assert set(made["probe"]) == {"position", "velocity"}
    assert all(r2 <= 1 for r2 in made["probe"].values())


def test_a_killed_command_goes_on_to_the_same_features(
    drawn: Path, encoder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was encoded before the interrupt is not encoded again, unless it is damaged."""
    monkeypatch.setattr(making, "PART_STEPS", 20)
    make_features(encoder, drawn, "whole")

    class Stop(NoBar):
        def reach(self, done: int, metrics: Mapping[str, float] | None = None) -> None:
            if done == 4:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_features(encoder, drawn, "killed", progress=Stop())
    assert not (drawn / FEATURES / "killed").exists()
    first = sorted((drawn / FEATURES).glob(".killed.parts/*.npy"))
    times = [file.stat().st_mtime_ns for file in first]
    assert first
    with pytest.raises(KeyboardInterrupt):
        make_features(encoder, drawn, "killed", progress=Stop())
    assert [file.stat().st_mtime_ns for file in first] == times
    first[0].write_bytes(first[0].read_bytes()[:-1])
    make_features(encoder, drawn, "killed")
    one, other = (drawn / FEATURES / name for name in ("whole", "killed"))
    assert (one / ARRAYS).read_bytes() == (other / ARRAYS).read_bytes()
    assert sorted(p.name for p in (drawn / FEATURES).iterdir()) == ["killed", "whole"]


@pytest.mark.parametrize("algorithm", ["lawm", "clap", "idm_td3_bc", "bc", "td3_bc"])
def test_everything_learns_from_features_as_from_a_state(
    drawn: Path, encoder: RunFolder, learn: Callable, algorithm: str
) -> None:
    make_features(encoder, drawn, "ae")
    run = learn(algorithm, "features:ae")
    assert [spec.name for spec in run.record.state] == ["ae"]
    assert run.is_finished()
    assert [spec.name for spec in run.reads()] == ["pixels"]
    if algorithm in INFER:
        assert relabel(run, drawn, "inferred")["trajectories"] == 3


@pytest.mark.parametrize(
    ("algorithm", "observe"),
    [("lawm", "pixels+state"), ("clap", "pixels"), ("idm_td3_bc", "pixels"), ("bc", "pixels")],
)
def test_pixels_train_the_encoder_of_what_learns_from_them(
    drawn: Path, learn: Callable, algorithm: str, observe: str
) -> None:
    run = learn(algorithm, observe)
    trained = dict(run.algorithm().named_parameters())
    fresh = dict(learn(algorithm, observe, "fresh", steps=once(run)).algorithm().named_parameters())
    moved = [name for name in trained if "convolutions" in name and "best" not in name]
    assert moved
    assert not any(torch.equal(trained[name], fresh[name]) for name in moved)
    if algorithm in INFER:
        assert relabel(run, drawn, "inferred")["trajectories"] == 3


def test_latent_actions_of_features_are_mapped_to_true_ones(
    drawn: Path, encoder: RunFolder, learn: Callable
) -> None:
    make_features(encoder, drawn, "ae")
    run = learn("lam", "features:ae")
    assert relabel(run, drawn, "inferred")["trajectories"] == 3


def once(run: RunFolder) -> dict[str, int]:
    """One step of the first stage, and none of the others."""
    return {stage: int(i == 0) for i, stage in enumerate(run.config.steps)}


ACT = """
import sys
from lawm_models.runs.run import load_run
for path in sys.argv[1:]:
    print(load_run(path).evaluate(episodes=2, seed=3).returns)
"""


def test_policies_act_on_pictures_that_the_environment_draws(
    drawn: Path, encoder: RunFolder, learn: Callable, egl: dict[str, str]
) -> None:
    """From features with the run's own copy of the encoder: the corpus may be gone."""
    make_features(encoder, drawn, "ae")
    runs = [learn("bc", "features:ae"), learn("bc", "pixels"), learn("lawm", "state+features:ae")]
    shutil.rmtree(drawn)
    command = [sys.executable, "-c", ACT, *(str(run.path) for run in runs)]
    without = {name: value for name, value in egl.items() if name != "MUJOCO_GL"}
    done = subprocess.run(command, capture_output=True, text=True, env=without)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3


def test_a_policy_on_features_is_one_on_pictures(
    drawn: Path, encoder: RunFolder, learn: Callable
) -> None:
    """One picture or several, in a loop of one's own, it does what it does on their features."""
    make_features(encoder, drawn, "ae")
    run = learn("bc", "features:ae")
    policy, trajectory = load_run(run.path).policy(), open_corpus(drawn)[0]
    features = open_corpus(drawn).observing("features:ae")[0].observations.state
    inner = run.acting(run.algorithm()).policy()
    inner.start(11, 0)
    images = trajectory.observations["pixels"]
    actions = policy.act({"pixels": images})
    np.testing.assert_allclose(actions, inner.act(features), atol=1e-2)
    policy.reset()
    np.testing.assert_allclose(policy.act({"pixels": images[3]}), actions[3], atol=1e-3)


def test_videos_without_actions_train_an_autoencoder(
    experiment: Callable, drawn: Path, tmp_path: Path
) -> None:
    """No action, no bounds, no reward, no state."""
    whole, path = open_corpus(drawn), tmp_path / "videos"
    pixels = [spec for spec in whole.manifest.observations if spec.name == "pixels"]
    action = whole.manifest.action.model_copy(update={"low": None, "high": None})
    with CorpusWriter.create(path, observations=pixels, action=action) as writer:
        for trajectory in whole:
            writer.add(
                {"pixels": trajectory.observations["pixels"]},
                np.zeros(len(trajectory)),
                provenance=whole.manifest.provenance[0],
                metadata={"rewards": "none"},
            )
    config = experiment(
        "autoencoder", corpora=[{"path": str(path)}], observe="pixels", labeled_ratio=None
    )
    run = train(config, tmp_path / "run")
    assert make_features(run, path, "ae")["probe"] == {}
    assert make_features(run, drawn, "ae")["observations"] == 66


def test_an_audit_knows_features(drawn: Path, encoder: RunFolder, learn: Callable) -> None:
    make_features(encoder, drawn, "ae")
    assert audit(learn("bc", "features:ae"), steps=2)["passed"]


def test_other_features_are_other_data(drawn: Path, encoder: RunFolder, learn: Callable) -> None:
    make_features(encoder, drawn, "ae")
    learn("bc", "features:ae", "run", steps={"agent": 3})
    other = learn("autoencoder", "pixels", "other", seed=1)
    make_features(other, drawn, "ae", replace=True)
    with pytest.raises(ConfigError, match="the corpus has changed since"):
        learn("bc", "features:ae", "run", steps={"agent": 3})
    with pytest.raises(ConfigError, match="features ae are of another encoder than the run's"):
        relabel(RunFolder.open(drawn.parent / "run"), drawn, "inferred")


def test_what_cannot_be_is_one_line_and_leaves_nothing(
    drawn: Path, encoder: RunFolder, learn: Callable, corpus_path: Path
) -> None:
    class Stop(NoBar):
        def start(self, stage: str, total: int) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):  # before there is a part
        make_features(encoder, drawn, "ae", progress=Stop())
    assert not (drawn / FEATURES).exists()
    make_features(encoder, drawn, "ae")
    for call, line in (
        (lambda: make_features(encoder, corpus_path, "x"), "has no pixels"),
        (lambda: make_features(learn("bc", "state"), drawn, "x"), "learns no encoder for others"),
        (lambda: make_features(encoder, drawn, "ae"), "other features have this name"),
        (lambda: learn("td3_bc", "pixels", "none"), "TD3.BC trains no encoder"),
        (lambda: learn("bc", "features:x", "none"), "no such features; features here: ae"),
        (lambda: Evaluator(encoder.record.model_copy(update={"pixels": ()}), 1), "it observes"),
    ):
        with pytest.raises((ConfigError, CorpusError), match=line):
            call()
    with (
        claimed(drawn / FEATURES / ".x.parts"),
        pytest.raises(StorageError, match=r"process \d+ is writing to this output; wait"),
    ):
        make_features(encoder, drawn, "x")
    assert sorted(p.name for p in (drawn / FEATURES).iterdir()) == ["ae"]
    assert not (drawn.parent / "none").exists()


def test_weights_that_do_not_fit_are_refused(
    drawn: Path, encoder: RunFolder, learn: Callable
) -> None:
    """Such as those of other features, with a checksum to match."""
    make_features(encoder, drawn, "ae")
    settings = {"latent": 5, "units": 8}
    wider = learn("autoencoder", "pixels", "wider", settings)
    make_features(wider, drawn, "wide")
    ours, its = (
        open_corpus(drawn).observing(f"features:{name}").features[0] for name in ("ae", "wide")
    )
    shutil.copy(drawn / FEATURES / "wide" / ENCODER, drawn / FEATURES / "ae" / ENCODER)
    about = ours.model_copy(update={"encoder_sha256": its.encoder_sha256})
    (drawn / FEATURES / "ae" / ABOUT).write_text(about.to_json())
    with pytest.raises(ConfigError, match="the weights do not fit the encoder; make the features"):
        learn("bc", "features:ae", "none")
    assert not (drawn.parent / "none").exists()
