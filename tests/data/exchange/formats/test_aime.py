from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lawm_schemas import ConfigError, CorpusError, LabelState, Role

from lawm_data import open_corpus
from lawm_data.corpus.integrity.validate import validate
from lawm_data.exchange import import_corpus


def recorded(steps: int, seed: int, terminal: bool = False, image: bool = True) -> dict[str, Any]:
    """The arrays of a file of T + 1 rows, as the environment's wrapper stacks them."""
    rng, rows = np.random.default_rng(seed), steps + 1
    pre_action = rng.uniform(-1, 1, (rows, 2))
    pre_action[0] = 0
    last = np.arange(rows)[:, None] == steps
    arrays = {
        "reward": rng.random((rows, 1)),
        "is_first": np.arange(rows)[:, None] == 0,
        "is_last": last,
        "is_terminal": last & terminal,
        "orientations": rng.standard_normal((rows, 6)),
        "height": rng.standard_normal((rows, 1)),
        "velocity": rng.standard_normal((rows, 3)),
        "pre_action": pre_action,
    }
    if image:
        arrays["image"] = rng.integers(0, 256, (rows, 8, 9, 3), dtype="u1")
    return arrays


def write_npz(path: Path | io.BytesIO, arrays: dict[str, Any]) -> None:
    np.savez_compressed(path, **arrays)


def write_hdf5(path: Path | io.BytesIO, arrays: dict[str, Any]) -> None:
    """As they are published: every array float32, in lzf chunks."""
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            rows = min(len(array), max(1, 8192 // array[0].size))
            chunks = (rows, *array.shape[1:])
            file.create_dataset(name, array.shape, "f4", chunks=chunks, compression="lzf")
            file[name][:] = array


def zipped(path: Path, numbers: list[int], files: list[dict[str, Any]], method: int) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("readme.txt", "not a trajectory")
        archive.mkdir("data")
        for number in numbers:
            member = io.BytesIO()
            write_hdf5(member, files[number])
            archive.writestr(f"data/{number}.hdf5", member.getvalue())


def require_recorded(corpus: Any, files: list[dict[str, Any]], kind: str) -> None:
    """Every array where it belongs, in the type in which the file has it."""
    for trajectory, arrays in zip(corpus, files, strict=True):
        for name in ("orientations", "height", "velocity"):
            expected = arrays[name].astype(kind)
            assert trajectory.observations[name].dtype == expected.dtype
            np.testing.assert_array_equal(trajectory.observations[name], expected)
        if "image" in arrays:
            assert trajectory.observations["image"].dtype == np.uint8
            np.testing.assert_array_equal(trajectory.observations["image"], arrays["image"])
        np.testing.assert_array_equal(trajectory.rewards, arrays["reward"][1:, 0].astype("f4"))
        np.testing.assert_array_equal(trajectory.actions, arrays["pre_action"][1:].astype(kind))
        assert trajectory.info.terminated == bool(arrays["is_terminal"].any())
        assert trajectory.info.truncated == (not arrays["is_terminal"].any())


@settings(max_examples=30)
@given(
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=12),
    terminal=st.sets(st.integers(0, 11)),
    image=st.booleans(),
    way=st.sampled_from(["npz", "hdf5", "stored", "deflated"]),
)
def test_what_led_to_a_row_is_taken_at_the_row_before(
    tmp_path_factory: pytest.TempPathFactory,
    lengths: list[int],
    terminal: set[int],
    image: bool,
    way: str,
) -> None:
    folder = tmp_path_factory.mktemp("aime")
    place = folder / "walker"
    place.mkdir()
    files = [recorded(n, i, i in terminal, image) for i, n in enumerate(lengths)]
    numbers = list(range(len(files)))
    if way in ("npz", "hdf5"):
        for number in numbers:
            (write_npz if way == "npz" else write_hdf5)(place / f"{number}.{way}", files[number])
    else:
        method = zipfile.ZIP_STORED if way == "stored" else zipfile.ZIP_DEFLATED
        zipped(place / "part1.zip", numbers[::2], files, method)
        zipped(place / "part0.zip", numbers[1::2], files, method)
    made = import_corpus(f"aime:{place}", folder / "corpus")
    assert any("pre_action leads to the observation beside it" in note for note in made.notes)
    assert not list(validate(folder / "corpus"))
    require_recorded(open_corpus(folder / "corpus"), files, "f8" if way == "npz" else "f4")


def test_a_zip_alone_is_a_place(tmp_path: Path) -> None:
    files = [recorded(4, i) for i in range(3)]
    zipped(tmp_path / "a.zip", [0, 1, 2], files, zipfile.ZIP_DEFLATED)
    import_corpus(f"aime:{tmp_path / 'a.zip'}", tmp_path / "corpus")
    require_recorded(open_corpus(tmp_path / "corpus"), files, "f4")


def test_fields_are_chosen_and_ordered(tmp_path: Path) -> None:
    more = {"success": np.zeros((6, 1)), "viper_reward": np.zeros((6, 1))}
    (tmp_path / "walker").mkdir()
    write_hdf5(tmp_path / "walker" / "0.hdf5", recorded(5, 0) | more)
    address = f"aime:{tmp_path / 'walker'}"
    fields = "orientations,height,velocity"
    declared = {"fields": fields, "env": "walker-walk", "action_repeat": 2}
    made = import_corpus(address, tmp_path / "corpus", declared)
    manifest = open_corpus(tmp_path / "corpus").manifest
    assert [spec.name for spec in manifest.observations] == fields.split(",")
    assert "not kept: image, success, viper_reward" in made.notes
    assert manifest.environment is not None
    assert manifest.environment.action_repeat == 2
    import_corpus(address, tmp_path / "all")
    observed = open_corpus(tmp_path / "all").manifest.observations
    assert [spec.name for spec in observed if spec.role is Role.pixels] == ["image"]
    assert len(observed) == 4
    for wrong in ("height,width", "height,height", [], 3):
        with pytest.raises(ConfigError, match="there are: height, image, orientations, velocity"):
            import_corpus(address, tmp_path / "none", {"fields": wrong})


def test_a_file_without_actions_is_missing_them(tmp_path: Path) -> None:
    for i, left in enumerate(("pre_action", "nothing")):
        arrays = {k: v for k, v in recorded(5, i).items() if k != left}
        write_npz(tmp_path / f"{i}.npz", arrays)
    import_corpus(f"aime:{tmp_path}", tmp_path / "corpus")
    corpus = open_corpus(tmp_path / "corpus")
    assert [t.labels for t in corpus] == [LabelState.missing, LabelState.observed]


def test_files_without_rewards_say_so(tmp_path: Path) -> None:
    for i in range(2):
        write_npz(tmp_path / f"{i}.npz", {k: v for k, v in recorded(5, i).items() if k != "reward"})
    made = import_corpus(f"aime:{tmp_path}", tmp_path / "corpus")
    assert "no rewards are stored: they are zero, and metadata says rewards: none" in made.notes
    corpus = open_corpus(tmp_path / "corpus")
    assert not any(trajectory.rewards.any() for trajectory in corpus)
    assert not corpus.table.rewarded.any()
    write_npz(tmp_path / "2.npz", recorded(5, 2))
    with pytest.raises(CorpusError, match=r"2\.npz: has reward, which the first file has not"):
        import_corpus(f"aime:{tmp_path}", tmp_path / "other")


def changed(**arrays: Any) -> Callable[[Path], None]:
    """The second of two files with other arrays; None takes one away."""

    def make(folder: Path) -> None:
        found = {**recorded(5, 1), **arrays}
        write_hdf5(folder / "1.hdf5", {k: v for k, v in found.items() if v is not None})

    return make


def again(folder: Path) -> None:
    write_npz(folder / "01.npz", recorded(5, 1))


def linked(folder: Path) -> None:
    with h5py.File(folder / "1.hdf5", "r+") as file:
        del file["height"]
        file["height"] = h5py.ExternalLink(str(folder / "0.hdf5"), "height")


def bombed(folder: Path) -> None:
    with h5py.File(folder / "1.hdf5", "r+") as file:
        del file["height"]
        file.create_dataset("height", (1 << 40, 1), "f4", chunks=(8192, 1), compression="lzf")


def zip_bomb(folder: Path) -> None:
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("2.npz", bytes(1 << 29))


def flag(*rows: int) -> np.ndarray:
    return np.isin(np.arange(6), rows)[:, None]


WRONG = {
    "an action in row 0": (changed(pre_action=np.ones((6, 2))), "pre_action: has an action in row"),
    "a start in between": (changed(is_first=flag(0, 3)), "is_first: is not true in row 0 alone"),
    "no start": (changed(is_first=flag()), "is_first: is not true in row 0 alone"),
    "an end in between": (changed(is_last=flag(2, 5)), "is_last: is true in row 2 of 6"),
    "half an end": (changed(is_terminal=flag(5) * 0.5), "is_terminal: holds numbers other than"),
    "too few rows": (changed(velocity=np.zeros((5, 3))), "velocity: has 5 rows where 6 are due"),
    "NaN": (changed(velocity=np.full((6, 3), np.nan)), "velocity: row 0 holds a number that is"),
    "half a color": (changed(image=np.full((6, 8, 9, 3), 0.5)), "numbers other than 0, 1"),
    "a color too many": (changed(image=np.full((6, 8, 9, 3), 256)), "numbers other than 0, 1"),
    "another array": (changed(depth=np.zeros((6, 1))), "1.hdf5: has depth, which the first file"),
    "an array too few": (changed(height=None), "1.hdf5: lacks height"),
    "one number twice": (again, "two trajectories have number 1"),
    "a link": (linked, "1.hdf5: height is a link|height: is a link to another place"),
    "a bomb": (bombed, "height: declares 4398046511104 bytes in"),
    "a zip bomb": (zip_bomb, "2.npz: has 536870912 bytes, more than 268435456"),
}


@pytest.mark.parametrize(("make", "message"), WRONG.values(), ids=WRONG.keys())
def test_files_that_are_wrong_are_refused_and_nothing_is_written(
    tmp_path: Path, make: Callable[[Path], None], message: str
) -> None:
    folder = tmp_path / "walker"
    folder.mkdir()
    for i in range(2):
        write_hdf5(folder / f"{i}.hdf5", recorded(5, i))
    make(folder)
    with pytest.raises(CorpusError, match=message) as caught:
        import_corpus(f"aime:{folder}", tmp_path / "corpus")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["walker"]


def test_folders_without_trajectories_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"holds no numbered npz or hdf5 file; .*0\.hdf5"):
        import_corpus(f"aime:{tmp_path}", tmp_path / "corpus")


def test_attributes_become_metadata_or_are_named(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    for i in range(3):
        write_hdf5(tmp_path / f"set/{i}.hdf5", recorded(4, i))
    for i in (1, 2):
        with h5py.File(tmp_path / f"set/{i}.hdf5", "a") as file:
            file.attrs["gains"], file.attrs["map"] = np.array([1.0, 2.0]), np.zeros(5000)
    made = import_corpus(f"aime:{tmp_path / 'set'}", tmp_path / "corpus")
    found = [t.info.metadata.get("gains") for t in open_corpus(tmp_path / "corpus")]
    assert found == [None, [1.0, 2.0], [1.0, 2.0]]
    told = [note for note in made.notes if "attribute" in note]
    assert told == ["the attribute 'map' is long or not plain: left out"]
