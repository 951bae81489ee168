"""Views that observe some of what was recorded, or features of it."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from lawm_schemas import ArraySpec, ConfigError, CorpusError, Provenance, Role

from lawm_data import CorpusWriter, Loader, make_mask, open_corpus, save_mask

STATE = (
    ArraySpec(name="position", shape=(2,)),
    ArraySpec(name="count", shape=(1,), dtype="int64"),
    ArraySpec(name="speed", shape=(3,)),
)
CAMERAS = tuple(
    ArraySpec(name=name, shape=(4, 3, 3), dtype="uint8", role=Role.pixels) for name in ("a", "b")
)
PHYSICS = ArraySpec(name="physics", shape=(2,), dtype="float64", role=Role.physics)
ACTION = ArraySpec(name="action", shape=(2,), role=Role.action, low=(-1, -1), high=(1, 1))


@pytest.fixture
def corpus(tmp_path: Path, write_features: Callable) -> Path:
    """Six trajectories in three shards, with features ``f`` and ``g`` and a mask ``half``."""
    draws, path = np.random.default_rng(0), tmp_path / "corpus"
    specs = (STATE[0], CAMERAS[0], PHYSICS, *STATE[1:], CAMERAS[1])
    with CorpusWriter.create(path, observations=specs, action=ACTION) as writer:
        for number, length in enumerate((7, 4, 9, 5, 6, 8)):
            fields = {
                s.name: draws.integers(0, 200, (length + 1, *s.shape)).astype(s.dtype)
                for s in specs
            }
            action = draws.uniform(-1, 1, (length, 2)).astype(np.float32)
            writer.add(fields, np.ones(length), action, provenance=Provenance(source="t"))
            if number % 2:
                writer.commit()
    whole = open_corpus(path)
    save_mask(whole, make_mask(whole, 0.5, seed=0, name="half"))
    for seed, name in enumerate("fg"):
        write_features(path, name, seed)
    return path


@pytest.mark.parametrize(
    ("what", "state", "cameras"),
    [
        ("state", ("position", "count", "speed"), ()),
        ("pixels", (), ("a", "b")),
        ("pixels:b", (), ("b",)),
        ("features:f", ("f",), ()),
        ("features:g+state", ("g", "position", "count", "speed"), ()),
        ("state+features:f+features:g+pixels:a", ("position", "count", "speed", "f", "g"), ("a",)),
    ],
)
def test_batches_hold_what_is_observed(
    corpus: Path, what: str, state: tuple[str, ...], cameras: tuple[str, ...]
) -> None:
    """The same windows of the same numbers, with or without padding, as the trajectories say."""
    view = open_corpus(corpus).observing(what).with_mask("half")
    assert tuple(s.name for s in view.manifest.state) == state
    for window in (3, 7):
        batch = Loader(view, 16, window, labeled_ratio=0.5).next()
        whole = Loader(open_corpus(corpus).with_mask("half"), 16, window, labeled_ratio=0.5).next()
        for name in ("trajectory", "start", "action", "action_mask", "reward", "valid"):
            assert torch.equal(getattr(batch, name), getattr(whole, name))
        assert tuple(batch.pixels) == cameras
        for row in range(16):
            trajectory = view[int(batch.trajectory[row])]
            last = np.minimum(int(batch.start[row]) + np.arange(window + 1), len(trajectory))
            np.testing.assert_array_equal(
                batch.observation[row], trajectory.observations.state[last]
            )
            for name in cameras:
                images = trajectory.observations[name][last]
                np.testing.assert_array_equal(batch.pixels[name][row], images)


def test_features_are_those_of_their_trajectory(corpus: Path, write_features: Callable) -> None:
    found = write_features(corpus, "h", seed=3)
    view = open_corpus(corpus).observing("state+features:h")
    for trajectory, other in zip(view, open_corpus(corpus), strict=True):
        rows = found[trajectory.info.id]
        np.testing.assert_array_equal(trajectory.observations["h"], rows.astype(np.float32))
        assert trajectory.observations["h"].dtype == np.float32
        np.testing.assert_array_equal(trajectory.observations["speed"], other.observations["speed"])
        np.testing.assert_array_equal(trajectory.physics, other.physics)


def test_what_is_observed_changes_no_fingerprint_and_no_label(corpus: Path) -> None:
    whole = open_corpus(corpus).with_mask("half")
    for what in ("features:f", "pixels", "state"):
        view = whole.observing(what)
        for name in ("fingerprint", "visible_fingerprint", "unlabeled_fingerprint"):
            assert getattr(view, name) == getattr(whole, name)
        assert view.label_counts() == whole.label_counts()
        assert view.mask == whole.mask
    assert whole.features == ()
    assert [info.name for info in whole.observing("features:g").features] == ["g"]


def test_a_part_and_a_pickle_observe_the_same(corpus: Path) -> None:
    view = open_corpus(corpus).observing("features:f+pixels:a")[[4, 1]].with_mask("half")
    again = pickle.loads(pickle.dumps(view))
    assert again.manifest == view.manifest
    for one, other in zip(again, view, strict=True):
        assert set(one.observations) == {"f", "a"}
        np.testing.assert_array_equal(one.observations.state, other.observations.state)


@pytest.mark.parametrize(
    ("what", "error", "line"),
    [
        ("sound", ConfigError, "observe: cannot be 'sound'; it is state, pixels"),
        ("features", ConfigError, "cannot be 'features'"),
        ("state+", ConfigError, r"cannot be 'state\+'"),
        ("pixels:c", ConfigError, "has no camera 'c'; cameras: a, b"),
        ("state+state", ConfigError, "says something twice"),
        ("features:x", CorpusError, "no such features; features here: f, g"),
    ],
)
def test_what_is_not_there_is_named(
    corpus: Path, what: str, error: type[Exception], line: str
) -> None:
    with pytest.raises(error, match=line):
        open_corpus(corpus).observing(what)


def test_features_of_a_corpus_that_has_changed_are_refused(corpus: Path) -> None:
    last = open_corpus(corpus)[0]
    with CorpusWriter.append(corpus) as writer:
        fields = {**last.observations, "physics": last.physics + 1}
        writer.add(fields, last.rewards, last.actions, provenance=Provenance(source="t"))
    with pytest.raises(CorpusError, match=r"belong to corpus .*; make them again"):
        open_corpus(corpus).observing("features:f")


def test_a_state_corpus_says_how_else_to_observe_it(random_corpus: Callable) -> None:
    view = random_corpus(observations=STATE)
    with pytest.raises(ConfigError, match="has no pixels; --set observe=state"):
        view.observing("pixels")
