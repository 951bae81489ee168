from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lawm_schemas import ArraySpec, ConfigError, CorpusError, Role

from lawm_data import open_corpus
from lawm_data.corpus.integrity.validate import validate
from lawm_data.exchange import export_corpus, import_corpus

IMAGE = ArraySpec(name="pixels", shape=(8, 8, 3), dtype="uint8", role=Role.pixels)
PHYSICS = ArraySpec(name="physics", shape=(4,), dtype="float64", role=Role.physics)


def recorded(lengths: list[int], terminal: list[bool], *, marked: bool = True) -> dict[str, Any]:
    """Flat arrays, and under ``final`` the observations that the last actions led to."""
    rng, total = np.random.default_rng(0), sum(lengths)
    observations = rng.standard_normal((total, 4)).astype("f4")
    final = rng.standard_normal((len(lengths), 4)).astype("f4")
    last = np.cumsum(lengths) - 1
    later = np.concatenate([observations[1:], final[-1:]])
    later[last] = final
    ends = np.zeros((2, total), bool)
    for end, its in zip(last if marked else last[:-1], terminal, strict=False):
        ends[0 if its else 1, end] = True
    return {
        "observations": observations,
        "next_observations": later,
        "actions": rng.uniform(-1, 1, (total, 2)).astype("f4"),
        "rewards": rng.standard_normal(total).astype("f4"),
        "terminals": ends[0],
        "timeouts": ends[1],
        "infos/qpos": rng.standard_normal((total, 3)),
    }


def write(path: Path, arrays: dict[str, Any], **storage: Any) -> str:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, **(storage if len(array) else {}))
    return f"d4rl:{path}"


@settings(max_examples=40)
@given(
    lengths=st.lists(st.integers(1, 25), min_size=1, max_size=8).filter(lambda n: max(n) > 1),
    terminal=st.lists(st.booleans(), min_size=8, max_size=8),
    later=st.booleans(),
    marked=st.booleans(),
    storage=st.sampled_from([{}, {"compression": "gzip", "chunks": True}]),
)
def test_rows_are_cut_where_they_are_marked(
    tmp_path_factory: pytest.TempPathFactory,
    lengths: list[int],
    terminal: list[bool],
    later: bool,
    marked: bool,
    storage: dict[str, Any],
) -> None:
    folder = tmp_path_factory.mktemp("d4rl")
    arrays = recorded(lengths, terminal, marked=marked)
    kept = {k: v for k, v in arrays.items() if later or k != "next_observations"}
    made = import_corpus(write(folder / "a.hdf5", kept, **storage), folder / "corpus")
    corpus = open_corpus(folder / "corpus")
    assert not list(validate(folder / "corpus"))
    assert any("there is no next_observations" in note for note in made.notes) != later
    assert any("no mark at their end" in note for note in made.notes) != marked
    start = 0
    for i, (length, trajectory) in enumerate(zip(lengths, corpus, strict=True)):
        part, first, start = slice(start, start + length), start, start + length
        expected = arrays["observations"][part]
        last = arrays["next_observations"][part] if later else expected
        expected = np.concatenate([expected, last[-1:]])
        np.testing.assert_array_equal(trajectory.observations["observation"], expected)
        np.testing.assert_array_equal(trajectory.actions, arrays["actions"][part])
        np.testing.assert_array_equal(trajectory.rewards, arrays["rewards"][part])
        ended = terminal[i] and (marked or i < len(lengths) - 1)
        assert trajectory.info.terminated == ended
        assert trajectory.info.truncated != trajectory.info.terminated
        assert trajectory.final_observed == later
        assert corpus.table.final_observed[i] == later
        assert trajectory.info.metadata.pop("first_row") == first


@given(
    horizon=st.integers(1, 9),
    rows=st.integers(1, 60),
    terminals=st.sets(st.integers(0, 59), max_size=6),
)
def test_a_horizon_stands_for_timeouts(
    tmp_path_factory: pytest.TempPathFactory, horizon: int, rows: int, terminals: set[int]
) -> None:
    folder = tmp_path_factory.mktemp("d4rl")
    arrays, flags = recorded([rows], [False]), np.isin(np.arange(rows), list(terminals))
    arrays["terminals"] = flags
    lengths, count = [], 0
    for flag in flags:  # the definition, step by step
        count += 1
        if flag or count == horizon:
            lengths.append(count)
            count = 0
    lengths += [count] if count else []
    del arrays["timeouts"]
    address = write(folder / "a.hdf5", arrays)
    import_corpus(address, folder / "corpus", {"horizon": horizon})
    assert open_corpus(folder / "corpus").table.length.tolist() == lengths


def as_d4rl_reads(path: Path) -> list[dict[str, Any]]:
    """Its published rules: every dataset is loaded, ``metadata`` is stepped over, rows are cut."""
    flat: dict[str, Any] = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: flat.update({name: item[()]}) if hasattr(item, "shape") else None
        )
    flat = {name: array for name, array in flat.items() if "metadata" not in name}
    rows = len(flat["rewards"])
    assert all(len(array) == rows for array in flat.values())
    cuts = np.flatnonzero(flat["terminals"] | flat["timeouts"]) + 1
    assert not rows or cuts[-1] == rows
    starts = [0, *cuts[:-1].tolist()]
    return [
        {name: array[start:end] for name, array in flat.items()}
        for start, end in zip(starts, cuts.tolist(), strict=True)
    ]


def test_d4rl_reads_what_is_labeled_and_nothing_else(tmp_path: Path, plain_plan: Callable) -> None:
    one = plain_plan().trajectories[0]
    kinds = ("observed", "missing", "partial", "observed", "missing", "observed")
    ends = [(False, True), (True, False), (True, True), (True, True), (False, False)] * 2
    plan = plain_plan(
        observations=(*plain_plan().observations, IMAGE, PHYSICS),
        trajectories=tuple(
            {**one, "length": 3 + i, "labels": labels, "terminated": end[0], "truncated": end[1]}
            for i, (labels, end) in enumerate(zip(kinds, ends, strict=False))
        ),
    )
    corpus = plan.write(tmp_path / "corpus")
    written = export_corpus(corpus, f"d4rl:{tmp_path / 'a.hdf5'}")
    assert any("3 trajectories without all their actions" in note for note in written.notes)
    assert any("under infos/: pixels, physics" in note for note in written.notes)
    read = as_d4rl_reads(tmp_path / "a.hdf5")
    labeled = [i for i, kind in enumerate(kinds) if kind == "observed"]
    for i, rows in zip(labeled, read, strict=True):
        trajectory = corpus[i]
        state = trajectory.observations.state
        np.testing.assert_array_equal(rows["observations"], state[:-1])
        np.testing.assert_array_equal(rows["next_observations"], state[1:])
        np.testing.assert_array_equal(rows["actions"], trajectory.actions)
        np.testing.assert_array_equal(rows["rewards"], trajectory.rewards)
        np.testing.assert_array_equal(rows["infos/pixels"], trajectory.observations["pixels"][:-1])
        assert trajectory.physics is not None
        np.testing.assert_array_equal(rows["infos/physics"], trajectory.physics[:-1])
        assert rows["terminals"][-1] == trajectory.info.terminated
        assert rows["timeouts"][-1] == (trajectory.info.truncated or not trajectory.info.terminated)
    known = int(corpus[2].action_observed.sum())
    with h5py.File(tmp_path / "a.hdf5") as file:
        assert file["metadata/lawm/unlabeled/actions"].shape == (known, 2)


def changed(**arrays: Any) -> Callable[[], dict[str, Any]]:
    found = {**recorded([4, 3], [True, False]), **arrays}
    return lambda: {k: v for k, v in found.items() if v is not None}


NAN = np.where(np.arange(7) == 5, np.nan, 0)
ZEROS = np.zeros((7, 4), "f4")
WRONG = {
    "no rewards": (changed(rewards=None), "rewards: is missing"),
    "no timeouts": (changed(timeouts=None), r"timeouts: is missing; .*--set horizon=1000"),
    "too few actions": (changed(actions=np.zeros((6, 2))), "actions: has 6 rows where 7 are due"),
    "too many timeouts": (changed(timeouts=np.zeros(8, bool)), "timeouts: has 8 rows where 7"),
    "marks of other numbers": (changed(terminals=np.full(7, 2)), "terminals: holds numbers other"),
    "NaN": (
        changed(observations=np.stack([NAN] * 4, 1), next_observations=None),
        "observations: row 5 holds a number",
    ),
    "NaN done": (changed(actions=np.stack([NAN] * 2, 1)), "actions: row 5 holds a number"),
    "next ones of others": (
        changed(observations=ZEROS),
        "leads elsewhere than to the next row in 5 rows of 7; bring the rows into the order",
    ),
    "next ones of another type": (changed(observations=ZEROS.astype("f8")), "not float64"),
    "wide rewards": (changed(rewards=np.zeros((7, 2))), "rewards: has shape .*not one number"),
    "texts": (changed(actions=np.array([b"a"] * 7)), "actions: has type .*not numbers"),
    "nothing": (changed(**{k: v[:0] for k, v in recorded([2], [True]).items()}), "no trajectory"),
}


@pytest.mark.parametrize(("make", "message"), WRONG.values(), ids=WRONG.keys())
def test_files_that_are_wrong_are_refused_and_nothing_is_written(
    tmp_path: Path, make: Callable[[], dict[str, Any]], message: str
) -> None:
    address = write(tmp_path / "a.hdf5", make())
    with pytest.raises(CorpusError, match=message) as caught:
        import_corpus(address, tmp_path / "corpus")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a.hdf5"]


def test_a_horizon_beside_timeouts_is_refused(tmp_path: Path) -> None:
    address = write(tmp_path / "a.hdf5", recorded([4], [True]))
    with pytest.raises(ConfigError, match="horizon: is known from timeouts"):
        import_corpus(address, tmp_path / "corpus", {"horizon": 4})


def test_what_the_export_says_of_itself_is_checked(tmp_path: Path, plain_plan: Callable) -> None:
    corpus = plain_plan().write(tmp_path / "corpus")
    address = f"d4rl:{tmp_path / 'a.hdf5'}"
    export_corpus(corpus, address)
    whole = (tmp_path / "a.hdf5").read_bytes()
    lies = [("length", 1 << 50), ("length", -1), ("num_observed", 99), ("provenance", 7)]
    lies += [("provenance", -1), ("terminated", 3), ("metadata_end", -4), ("length", 6)]
    for column, value in lies:
        (tmp_path / "a.hdf5").write_bytes(whole)
        with h5py.File(tmp_path / "a.hdf5", "r+") as file:
            file[f"metadata/lawm/table/{column}"][0] = value
        with pytest.raises(CorpusError, match=r"does not match the file|rows where the table"):
            import_corpus(address, tmp_path / "back")


@pytest.mark.parametrize("steps", [50, 1000, 4000])
@pytest.mark.parametrize("storage", [{}, {"compression": "gzip"}])
def test_files_of_nothing_but_the_usual_arrays_are_read(
    tmp_path: Path, steps: int, storage: dict[str, Any]
) -> None:
    """Where the actions are most of a file, too: opened twice, they are not counted twice."""
    arrays = recorded([steps, steps], [True, False])
    del arrays["infos/qpos"], arrays["next_observations"]
    place = write(tmp_path / "a.hdf5", arrays, **storage)
    import_corpus(f"d4rl:{place.removeprefix('d4rl:')}", tmp_path / "corpus")
    found = open_corpus(tmp_path / "corpus")
    assert found.label_counts()["observed"] == 2
    assert found[0].actions is not None
    np.testing.assert_array_equal(found[0].actions, arrays["actions"][: len(found[0].actions)])


@pytest.mark.parametrize("next_ones", [True, False])
def test_flags_that_are_set_together_are_both_kept(tmp_path: Path, next_ones: bool) -> None:
    arrays = recorded([3, 4, 2], [True, False, True])
    arrays["timeouts"][2] = True
    if not next_ones:
        del arrays["next_observations"]
    import_corpus(write(tmp_path / "a.hdf5", arrays), tmp_path / "corpus")
    ends = [(t.info.terminated, t.info.truncated) for t in open_corpus(tmp_path / "corpus")]
    assert ends == [(True, True), (False, True), (True, False)]


@pytest.mark.parametrize("nested", [True, False])
def test_ends_that_no_mark_shows_are_found_and_said(tmp_path: Path, nested: bool) -> None:
    arrays = recorded([8, 9, 8], [True, False, False])
    arrays["timeouts"][16] = False
    if nested:
        for name in ("observations", "next_observations"):
            whole = arrays.pop(name)
            arrays |= {f"{name}/arm/q": whole[:, :3], f"{name}/force": whole[:, 3]}
    made = import_corpus(write(tmp_path / "a.hdf5", arrays), tmp_path / "corpus")
    corpus = open_corpus(tmp_path / "corpus")
    assert corpus.table.length.tolist() == [8, 9, 8]
    assert corpus.table.truncated.tolist() == [False, True, True]
    assert any("1 rows lead elsewhere" in note for note in made.notes)
    names = ["arm.q", "force"] if nested else ["observation"]
    assert [spec.name for spec in corpus.manifest.observations] == names


def test_groups_attributes_and_arrays_that_were_never_written(tmp_path: Path) -> None:
    arrays = recorded([4, 3], [True, False])
    address = write(tmp_path / "a.hdf5", arrays)
    with h5py.File(tmp_path / "a.hdf5", "r+") as file:
        del file["observations"], file["next_observations"], file["rewards"]
        file["observations/q"] = arrays["observations"]
        file["observations/broken"] = h5py.SoftLink("/nowhere")
        file.create_dataset("rewards", (7,), "f4", chunks=(7,), compression="gzip")
        file.attrs["robot"], file.attrs["far"] = "arm", np.zeros(5000)
    with pytest.raises(CorpusError, match=r"link to another place; .*--without broken"):
        import_corpus(address, tmp_path / "corpus")
    made = import_corpus(address, tmp_path / "corpus", without=["broken"])
    corpus = open_corpus(tmp_path / "corpus")
    assert [spec.name for spec in corpus.manifest.observations] == ["q"]
    assert not any(t.rewards.any() for t in corpus)
    assert corpus.manifest.provenance[0].settings == {"robot": "arm"}
    assert any("not kept: infos, far, broken" in note for note in made.notes)
    with pytest.raises(ConfigError, match="there is no array 'x'; there are broken, q"):
        import_corpus(address, tmp_path / "other", without=["x"])


def test_bounds_that_were_declared_are_not_said_to_be_guessed(tmp_path: Path) -> None:
    address = write(tmp_path / "a.hdf5", recorded([4], [True]))
    for bounds, guessed in (({}, True), ({"low": -2, "high": 2}, False)):
        made = import_corpus(address, tmp_path / str(guessed), bounds)
        assert any("-1 and 1 were taken" in note for note in made.notes) == guessed


@pytest.mark.parametrize("name", ["d4rl", "robomimic", "lerobot", "minari"])
def test_a_missing_last_observation_stays_one_on_every_way(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    arrays = recorded([3, 1, 4], [True, True, False])
    del arrays["next_observations"]
    import_corpus(write(tmp_path / "a.hdf5", arrays), tmp_path / "corpus")
    corpus = open_corpus(tmp_path / "corpus")
    place = {"minari": "lab/arm-v0", "lerobot": str(tmp_path / "set")}
    address = f"{name}:{place.get(name, tmp_path / 'b.hdf5')}"
    written = export_corpus(corpus, address)
    assert any("3 trajectories have no observation after" in note for note in written.notes)
    import_corpus(address, tmp_path / "back")
    back = open_corpus(tmp_path / "back")
    assert not back.table.final_observed.any()
    assert back.table.episode_return.tolist() == corpus.table.episode_return.tolist()
    assert back.fingerprint == corpus.fingerprint
