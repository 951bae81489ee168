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


def recorded(steps: int, seed: int, ending: float = 1.0, physics: bool = True) -> dict[str, Any]:
    """The arrays of a file of T + 1 rows; every number tells its row."""
    rng, row = np.random.default_rng(seed), np.arange(steps + 1)[:, None]
    action = np.tanh(rng.standard_normal((steps + 1, 3))).astype("f4")
    action[0] = 0
    discount = np.ones((steps + 1, 1), "f4")
    discount[-1] = ending
    arrays = {
        "observation": (row + rng.random((steps + 1, 4))).astype("f4"),
        "action": action,
        "reward": (row * 10 + rng.random((steps + 1, 1))).astype("f4"),
        "discount": discount,
    }
    return {**arrays, "physics": row + rng.random((steps + 1, 5))} if physics else arrays


def write(folder: Path, number: int, arrays: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    steps = len(arrays["observation"]) - 1
    path = folder / f"20210823T150000_{number}_{steps}.npz"
    np.savez_compressed(path, **arrays)
    return path


@settings(max_examples=30)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=12),
    endings=st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=12, max_size=12),
    physics=st.booleans(),
    unlabeled=st.sets(st.integers(1, 11)),
)
def test_an_action_leaves_the_observation_before_the_one_it_stood_beside(
    tmp_path_factory: pytest.TempPathFactory,
    lengths: list[int],
    endings: list[float],
    physics: bool,
    unlabeled: set[int],
) -> None:
    folder = tmp_path_factory.mktemp("exorl")
    files = [
        recorded(n, i, end, physics)
        for i, (n, end) in enumerate(zip(lengths, endings, strict=False))
    ]
    for i, arrays in enumerate(files):
        left = {"action"} if i in unlabeled else set()
        write(folder / "buffer", i, {k: v for k, v in arrays.items() if k not in left})
    made = import_corpus(f"exorl:{folder / 'buffer'}", folder / "corpus")
    assert any("moved to the observation it was taken at" in note for note in made.notes)
    corpus = open_corpus(folder / "corpus")
    assert not list(validate(folder / "corpus"))
    assert [t.info.length for t in corpus] == lengths  # 10 comes after 9
    for i, (trajectory, arrays) in enumerate(zip(corpus, files, strict=True)):
        np.testing.assert_array_equal(trajectory.observations["observation"], arrays["observation"])
        np.testing.assert_array_equal(trajectory.rewards, arrays["reward"][1:, 0])
        assert trajectory.info.terminated == (endings[i] == 0)
        assert trajectory.info.truncated != trajectory.info.terminated
        if i in unlabeled:
            assert trajectory.labels is LabelState.missing
            assert trajectory.actions is None
        else:
            assert trajectory.actions is not None
            np.testing.assert_array_equal(trajectory.actions, arrays["action"][1:])
        if physics:
            assert trajectory.physics is not None
            np.testing.assert_array_equal(trajectory.physics, arrays["physics"])


def test_specs_bounds_and_declarations(tmp_path: Path) -> None:
    write(tmp_path / "buffer", 0, {**recorded(5, 0), "skill": np.zeros((6, 2))})
    address = f"exorl:{tmp_path / 'buffer'}"
    made = import_corpus(address, tmp_path / "a", {"env": "walker-walk"})
    manifest = open_corpus(tmp_path / "a").manifest
    assert [(s.name, s.role) for s in manifest.observations] == [
        ("observation", Role.state),
        ("physics", Role.physics),
    ]
    assert (manifest.action.low, manifest.action.high) == ((-1.0,) * 3, (1.0,) * 3)
    assert manifest.environment is not None
    assert (manifest.environment.task, manifest.environment.action_repeat) == ("walker-walk", 1)
    assert "not kept: skill" in made.notes
    assert manifest.provenance[0].source == "exorl:buffer"
    import_corpus(address, tmp_path / "b", {"low": -2, "high": 2.5})
    assert open_corpus(tmp_path / "b").manifest.action.high == (2.5,) * 3
    for wrong in ({"low": 1}, {"low": 1, "high": 1}, {"low": "a", "high": 2}, {"action_repeat": 2}):
        with pytest.raises(ConfigError, match=r"bounds: low|belongs to an environment"):
            import_corpus(address, tmp_path / "c", wrong)


def changed(**arrays: Any) -> Callable[[Path], None]:
    """One file of five with other arrays; None takes one away."""

    def make(folder: Path) -> None:
        found = {**recorded(5, 2), **arrays}
        write(folder, 2, {k: v for k, v in found.items() if v is not None})

    return make


def renamed(folder: Path) -> None:
    next(folder.glob("*_2_5.npz")).rename(folder / "20210823T150000_2_7.npz")


def cut(folder: Path) -> None:
    path = next(folder.glob("*_2_5.npz"))
    path.write_bytes(path.read_bytes()[:-99])


NAN = np.full((6, 4), np.nan, "f4")
WRONG = {
    "an action in row 0": (changed(action=np.ones((6, 3), "f4")), "action: has an action in row 0"),
    "too few actions": (changed(action=np.zeros((5, 3), "f4")), "has 5 rows where 6 are due"),
    "too many rewards": (changed(reward=np.zeros((7, 1), "f4")), "reward: has 7 rows where 6"),
    "wide rewards": (changed(reward=np.zeros((6, 2), "f4")), r"not one number a row"),
    "NaN observed": (changed(observation=NAN), "observation: row 0 holds a number that is not"),
    "NaN done": (changed(action=np.r_[np.zeros((5, 3)), NAN[:1, :3]]), "action: row 5 holds"),
    "infinite": (changed(reward=np.full((6, 1), np.inf)), "reward: row 0 holds"),
    "another width": (changed(observation=np.zeros((6, 9), "f4")), r"instead of \(4,\)"),
    "an end in between": (changed(discount=np.r_[1, 1, 0, 1, 1, 1.0]), "discount: is 0 in row 2"),
    "no discount": (changed(discount=None), "lacks|discount: is missing"),
    "no rewards": (changed(reward=None), "2_5.npz: lacks reward"),
    "objects": (changed(reward=np.array([{}] * 6)), "reward: has type object, not numbers"),
    "texts": (changed(reward=np.array(["1"] * 6)), "reward: has type <U1, not numbers"),
    "beyond the bounds": (
        changed(action=np.r_[np.zeros((5, 3)), [[0, 9, 0]]]),
        "2_5.npz: action: 9 in row 5 is out of bounds; declare the bounds .* --set low=",
    ),
    "a length that its name denies": (renamed, "holds 6 rows where its name says 7 steps"),
    "truncated": (cut, "2_5.npz: is not a complete zip file"),
    "one row": (changed(**{k: v[:1] for k, v in recorded(5, 0).items()}), "has 1 rows"),
}


@pytest.mark.parametrize(("make", "message"), WRONG.values(), ids=WRONG.keys())
def test_files_that_are_wrong_are_refused_and_nothing_is_written(
    tmp_path: Path, make: Callable[[Path], None], message: str
) -> None:
    for i in range(5):
        write(tmp_path / "buffer", i, recorded(5, i))
    make(tmp_path / "buffer")
    with pytest.raises(CorpusError, match=message) as caught:
        import_corpus(f"exorl:{tmp_path / 'buffer'}", tmp_path / "corpus")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["buffer"]


def test_folders_without_trajectories_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"holds no npz file; .*ends in buffer/"):
        import_corpus(f"exorl:{tmp_path}", tmp_path / "corpus")


@pytest.mark.parametrize("name", ["reward", "action", "discount"])
def test_the_reset_may_have_nan_where_nothing_led_to_it(tmp_path: Path, name: str) -> None:
    """dm_env's first reward and discount are None, which NumPy stores as NaN."""
    arrays = recorded(5, 0)
    write(tmp_path / "zeros", 0, arrays)
    arrays[name] = arrays[name].copy()
    arrays[name][0] = np.nan
    write(tmp_path / "nan", 0, arrays)
    for folder in ("zeros", "nan"):
        import_corpus(f"exorl:{tmp_path / folder}", tmp_path / f"{folder}-corpus")
    one, other = (open_corpus(tmp_path / f"{folder}-corpus") for folder in ("zeros", "nan"))
    assert one.fingerprint == other.fingerprint


def test_frames_stacked_in_front_are_kept_as_they_are(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 84, 84), "u1")
    write(tmp_path / "buffer", 0, {**recorded(5, 0), "observation": pixels})
    import_corpus(f"exorl:{tmp_path / 'buffer'}", tmp_path / "corpus")
    assert np.array_equal(open_corpus(tmp_path / "corpus")[0].observations["observation"], pixels)
