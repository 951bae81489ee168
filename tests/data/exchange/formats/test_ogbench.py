from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lawm_schemas import ConfigError, CorpusError, Role

from lawm_data import open_corpus
from lawm_data.corpus.integrity.validate import validate
from lawm_data.exchange import import_corpus


def recorded(rows: list[int], seed: int = 0, *, marked: bool = True) -> dict[str, Any]:
    """Flat arrays of trajectories of these many rows."""
    rng, total = np.random.default_rng(seed), sum(rows)
    terminals = np.zeros(total, bool)
    terminals[np.cumsum(rows)[: len(rows) if marked else -1] - 1] = True
    return {
        "observations": rng.standard_normal((total, 5)).astype("f4"),
        "actions": rng.uniform(-1, 1, (total, 2)).astype("f4"),
        "terminals": terminals,
        "qpos": rng.standard_normal((total, 3)).astype("f4"),
        "qvel": rng.standard_normal((total, 2)).astype("f4"),
    }


@settings(max_examples=30)
@given(
    rows=st.lists(st.integers(1, 25), min_size=1, max_size=8).filter(lambda r: max(r) > 1),
    compressed=st.booleans(),
    marked=st.booleans(),
    rewarded=st.booleans(),
)
def test_the_last_row_is_the_final_observation(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[int],
    compressed: bool,
    marked: bool,
    rewarded: bool,
) -> None:
    folder = tmp_path_factory.mktemp("ogbench")
    arrays = recorded(rows, marked=marked)
    if rewarded:
        arrays["rewards"] = np.arange(sum(rows), dtype="f4")
    (np.savez_compressed if compressed else np.savez)(folder / "a.npz", **arrays)
    made = import_corpus(f"ogbench:{folder / 'a.npz'}", folder / "corpus")
    corpus = open_corpus(folder / "corpus")
    assert not list(validate(folder / "corpus"))
    notes = "no rewards are stored: they are zero, and metadata says rewards: none"
    assert (notes in made.notes) != rewarded
    start, found = 0, iter(corpus)
    for count in rows:
        part, start = slice(start, start + count), start + count
        if count == 1:
            continue
        trajectory = next(found)
        np.testing.assert_array_equal(
            trajectory.observations["observation"], arrays["observations"][part]
        )
        np.testing.assert_array_equal(trajectory.actions, arrays["actions"][part][:-1])
        expected = arrays["rewards"][part][:-1] if rewarded else np.zeros(count - 1)
        np.testing.assert_array_equal(trajectory.rewards, expected)
        assert trajectory.info.metadata == ({} if rewarded else {"rewards": "none"})
        state = np.concatenate([arrays["qpos"][part], arrays["qvel"][part]], 1)
        np.testing.assert_array_equal(trajectory.physics, state.astype("f8"))
        assert trajectory.info.truncated
        assert not trajectory.info.terminated
    assert next(found, None) is None
    alone = rows.count(1)
    assert any(f"{alone} trajectories of a single row" in s for s in made.notes) == bool(alone)


def test_images_bounds_and_what_is_left(tmp_path: Path) -> None:
    arrays = recorded([4, 3])
    arrays["observations"] = np.random.default_rng(0).integers(0, 256, (7, 16, 16, 3), "u1")
    del arrays["qvel"]
    np.savez(tmp_path / "a.npz", **arrays)
    made = import_corpus(f"ogbench:{tmp_path / 'a.npz'}", tmp_path / "corpus")
    manifest = open_corpus(tmp_path / "corpus").manifest
    assert [spec.role for spec in manifest.observations] == [Role.pixels]
    assert manifest.action.low == (-1.0, -1.0)
    assert "not kept: qpos" in made.notes
    arrays["actions"] = arrays["actions"] * 2
    np.savez(tmp_path / "b.npz", **arrays)
    import_corpus(f"ogbench:{tmp_path / 'b.npz'}", tmp_path / "free")
    assert open_corpus(tmp_path / "free").manifest.action.low is None


def test_arrays_may_be_stored_by_columns(tmp_path: Path) -> None:
    arrays = recorded([4, 3])
    np.savez(tmp_path / "rows.npz", **arrays)
    np.savez(tmp_path / "columns.npz", **{k: np.asfortranarray(a) for k, a in arrays.items()})
    rows, columns = (
        import_corpus(f"ogbench:{tmp_path / name}.npz", tmp_path / name)
        for name in ("rows", "columns")
    )
    assert columns.fingerprint == rows.fingerprint


def changed(**arrays: Any) -> Callable[[], dict[str, Any]]:
    found = {**recorded([4, 3]), **arrays}
    return lambda: {k: v for k, v in found.items() if v is not None}


NAN = np.where(np.arange(7) == 5, np.nan, 0)
WRONG = {
    "no marks": (changed(terminals=None), "terminals: is missing"),
    "marks of other numbers": (changed(terminals=np.full(7, 2)), "terminals: holds numbers other"),
    "too few actions": (changed(actions=np.zeros((6, 2))), "actions: has 6 rows where 7 are due"),
    "too many marks": (changed(terminals=np.zeros(8, bool)), "terminals: has 8 rows where 7"),
    "NaN": (changed(observations=np.stack([NAN] * 5, 1)), "observations: row 5 holds a number"),
    "NaN done": (changed(actions=np.stack([NAN] * 2, 1)), "actions: row 5 holds a number"),
    "objects": (changed(actions=np.array([None] * 7)), "actions: has type object"),
    "nothing": (changed(**{k: v[:0] for k, v in recorded([2]).items()}), "holds no trajectory"),
}


@pytest.mark.parametrize(("make", "message"), WRONG.values(), ids=WRONG.keys())
def test_files_that_are_wrong_are_refused_and_nothing_is_written(
    tmp_path: Path, make: Callable[[], dict[str, Any]], message: str
) -> None:
    np.savez(tmp_path / "a.npz", **make())
    with pytest.raises(CorpusError, match=message) as caught:
        import_corpus(f"ogbench:{tmp_path / 'a.npz'}", tmp_path / "corpus")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


@pytest.mark.parametrize(
    "qpos",
    [np.full((7, 3), np.nan), np.zeros((6, 3)), np.full((7, 3), b"x"), np.zeros(0)],
    ids=["NaN", "too short", "texts", "nothing"],
)
def test_physics_that_cannot_be_read_is_left_out(tmp_path: Path, qpos: np.ndarray) -> None:
    np.savez(tmp_path / "a.npz", **{**recorded([4, 3]), "qpos": qpos})
    with pytest.raises(CorpusError, match=r"qpos: .*or leave it out with --without physics"):
        import_corpus(f"ogbench:{tmp_path / 'a.npz'}", tmp_path / "corpus")
    made = import_corpus(f"ogbench:{tmp_path / 'a.npz'}", tmp_path / "corpus", without=["physics"])
    assert "not kept: qpos, qvel" in made.notes
    manifest = open_corpus(tmp_path / "corpus").manifest
    assert [spec.name for spec in manifest.observations] == ["observation"]


@pytest.mark.parametrize("name", ["observation", "observations"])
def test_what_is_needed_is_not_left_out(tmp_path: Path, name: str) -> None:
    arrays = recorded([4, 3])
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ConfigError, match="leaves no observation"):
        import_corpus(f"ogbench:{tmp_path / 'a.npz'}", tmp_path / "corpus", without=[name])
    with pytest.raises(ConfigError, match="there is no array 'x'; there are observation, physics"):
        import_corpus(f"ogbench:{tmp_path / 'a.npz'}", tmp_path / "corpus", without=["x"])
    np.savez(tmp_path / "b.npz", **{k: v for k, v in arrays.items() if k != "qpos"})
    with pytest.raises(ConfigError, match="leaves nothing"):
        import_corpus(f"ogbench:{tmp_path / 'b.npz'}", tmp_path / "corpus", without=[name])
