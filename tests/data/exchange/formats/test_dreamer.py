from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lawm_schemas import ConfigError, CorpusError, LabelState, Role

from lawm_data import open_corpus
from lawm_data.corpus.integrity.validate import validate
from lawm_data.exchange import import_corpus


def recorded(steps: int, seed: int, terminal: bool = False, v1: bool = False) -> dict[str, Any]:
    """The arrays of a file of T + 1 rows, as Dreamer's collector transposes its transitions."""
    rng = np.random.default_rng(seed)
    action = np.tanh(rng.standard_normal((steps + 1, 3))).astype("f4")
    action[0] = 0  # of the reset
    last = np.arange(steps + 1) == steps
    arrays = {
        "image": rng.integers(0, 256, (steps + 1, 16, 16, 3), dtype=np.uint8),
        "orientation": rng.random((steps + 1, 4)).astype("f4"),
        "height": rng.random(steps + 1).astype("f4"),
        "action": action,
        "reward": rng.random(steps + 1).astype("f4"),
        "discount": np.where(last & terminal, 0.0, 1.0).astype("f4"),
    }
    if v1:
        return arrays
    more = {"is_first": ~np.arange(steps + 1).astype(bool), "is_last": last}
    return {**arrays, **more, "is_terminal": last & terminal, "log_steps": np.arange(steps + 1)}


def write(folder: Path, number: int, arrays: dict[str, Any]) -> Path:
    """A file as ``save_episodes`` of DreamerV2 and V-D4RL names it."""
    folder.mkdir(exist_ok=True)
    path = folder / f"20210823T1500{number:02}-{number:032x}-{len(arrays['reward']) - 1}.npz"
    np.savez_compressed(path, **arrays)
    return path


@settings(max_examples=20)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    terminal=st.lists(st.booleans(), min_size=4, max_size=4),
    v1=st.booleans(),
    unlabeled=st.sets(st.integers(1, 3)),
)
def test_an_action_leaves_the_observation_before_the_one_it_stood_beside(
    tmp_path_factory: pytest.TempPathFactory,
    lengths: list[int],
    terminal: list[bool],
    v1: bool,
    unlabeled: set[int],
) -> None:
    root = tmp_path_factory.mktemp("dreamer")
    files = [recorded(n, i, terminal[i], v1) for i, n in enumerate(lengths)]
    for i, arrays in enumerate(files):
        left = {"action"} if i in unlabeled else set()
        write(root / "train_eps", i, {k: v for k, v in arrays.items() if k not in left})
    made = import_corpus(f"dreamer:{root / 'train_eps'}", root / "corpus")
    assert any("moved to the observation it was taken at" in note for note in made.notes)
    assert any("not kept: log_steps" in note for note in made.notes) == (not v1)
    corpus = open_corpus(root / "corpus")
    assert [f for f in validate(root / "corpus") if f.severity == "error"] == []
    assert [t.info.length for t in corpus] == lengths
    roles = {spec.name: spec.role for spec in corpus.manifest.observations}
    assert roles == {"image": Role.pixels, "orientation": Role.state, "height": Role.state}
    for i, (trajectory, arrays) in enumerate(zip(corpus, files, strict=True)):
        for name in roles:
            assert np.array_equal(trajectory.observations[name], arrays[name])
        assert np.array_equal(trajectory.rewards, arrays["reward"][1:])
        assert trajectory.info.terminated == terminal[i]
        assert trajectory.info.truncated != terminal[i]
        if i in unlabeled:
            assert trajectory.labels is LabelState.missing
        else:
            assert np.array_equal(trajectory.actions, arrays["action"][1:])


def test_what_vd4rl_writes_from_its_hdf5(tmp_path: Path) -> None:
    """No sensors but the picture, rewards of (T + 1, 1), a dummy row that may be NaN."""
    arrays = recorded(9, 0)
    kept = ("image", "action", "discount", "is_first", "is_last", "is_terminal")
    file = {k: arrays[k] for k in kept} | {"reward": arrays["reward"][:, None].copy()}
    file["reward"][0] = np.nan
    file["action"] = arrays["action"].copy()
    file["action"][0] = np.nan
    write(tmp_path / "64px", 0, file)
    settings = {"env": "walker-walk", "action_repeat": 2}
    import_corpus(f"dreamer:{tmp_path / '64px'}", tmp_path / "corpus", settings)
    (trajectory,) = open_corpus(tmp_path / "corpus")
    assert np.array_equal(trajectory.rewards, arrays["reward"][1:])
    assert np.array_equal(trajectory.actions, arrays["action"][1:])


def test_a_trajectory_that_is_not_over_has_no_end(tmp_path: Path) -> None:
    arrays = recorded(5, 0)
    arrays["is_last"][:] = False
    write(tmp_path / "eps", 0, arrays)
    import_corpus(f"dreamer:{tmp_path / 'eps'}", tmp_path / "corpus", {"fields": "image"})
    (trajectory,) = open_corpus(tmp_path / "corpus")
    assert (trajectory.info.terminated, trajectory.info.truncated) == (False, False)
    assert list(trajectory.observations) == ["image"]


def test_a_picture_that_is_not_wanted_is_left_out(tmp_path: Path) -> None:
    arrays = recorded(5, 0)
    write(tmp_path / "eps", 0, {**arrays, "other": arrays["image"]})
    import_corpus(f"dreamer:{tmp_path / 'eps'}", tmp_path / "corpus", without=["other"])
    names = {spec.name for spec in open_corpus(tmp_path / "corpus").manifest.observations}
    assert "image" in names
    assert "other" not in names
    with pytest.raises(ConfigError, match="there is no array 'none'"):
        import_corpus(f"dreamer:{tmp_path / 'eps'}", tmp_path / "more", without=["none"])
    assert not (tmp_path / "more").exists()


def changed(**arrays: Any) -> Callable[[Path], None]:
    """One file of two with other arrays; None takes one away."""

    def make(folder: Path) -> None:
        found = {**recorded(5, 2), **arrays}
        write(folder, 2, {k: v for k, v in found.items() if v is not None})

    return make


def at(*rows: int) -> np.ndarray:
    return np.isin(np.arange(6), rows)


WRONG = {
    "DreamerV3's alignment": (changed(action=np.ones((6, 3), "f4")), "has an action in row 0"),
    "a piece of a stream": (changed(is_first=at(3)), "is_first: is not true in row 0 alone"),
    "two trajectories": (changed(is_last=at(2, 5)), "is_last: is true in row 2 of 6"),
    "an end in between": (changed(discount=1.0 - at(2)), "discount: is 0 in row 2"),
    "too few actions": (changed(action=np.zeros((5, 3), "f4")), "has 5 rows where 6 are due"),
    "NaN": (changed(height=np.full(6, np.nan)), "row 0 holds a number that is not finite"),
    "an array too few": (changed(height=None), "lacks height"),
    "objects": (changed(height=np.array([{}] * 6)), "not numbers|is not an array of numbers"),
}


@pytest.mark.parametrize(("make", "message"), WRONG.values(), ids=WRONG.keys())
def test_files_that_are_wrong_are_refused_and_nothing_is_written(
    tmp_path: Path, make: Callable[[Path], None], message: str
) -> None:
    write(tmp_path / "eps", 0, recorded(5, 0))
    make(tmp_path / "eps")
    with pytest.raises(CorpusError, match=message) as caught:
        import_corpus(f"dreamer:{tmp_path / 'eps'}", tmp_path / "corpus")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["eps"]


def test_ends_must_be_known(tmp_path: Path) -> None:
    arrays = recorded(5, 0, v1=True)
    write(tmp_path / "eps", 0, {k: v for k, v in arrays.items() if k != "discount"})
    with pytest.raises(CorpusError, match="discount: is missing; without one of"):
        import_corpus(f"dreamer:{tmp_path / 'eps'}", tmp_path / "corpus")
    with pytest.raises(ConfigError, match="is not a folder"):
        import_corpus(f"dreamer:{tmp_path / 'no'}", tmp_path / "corpus")
