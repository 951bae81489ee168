"""Replay buffers of Diffusion Policy and UMI, written by zarr itself."""

from __future__ import annotations

import json
import os
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from lawm_schemas import ConfigError, CorpusError, LabelState, LawmError, Role

from lawm_data import open_corpus
from lawm_data.corpus.integrity.validate import validate
from lawm_data.exchange import import_corpus


def recorded(lengths: list[int], seed: int = 0, kind: str = "push-t") -> dict[str, np.ndarray]:
    """The arrays under ``data``, as Push-T's file and UMI's have them."""
    rng, rows = np.random.default_rng(seed), sum(lengths)
    if kind == "umi":
        return {
            "camera0_rgb": rng.integers(1, 256, (rows, 16, 16, 3), dtype=np.uint8),
            "robot0_eef_pos": rng.random((rows, 3)).astype("f4") + 1,
            "robot0_gripper_width": rng.random((rows, 1)).astype("f4") + 1,
        }
    return {
        "img": rng.integers(1, 256, (rows, 16, 16, 3)).astype("f4"),
        "state": rng.random((rows, 5)).astype("f4") + 1,
        "action": (rng.random((rows, 2)) * 400 + 1).astype("f4"),
        "n_contacts": rng.integers(1, 4, (rows, 1)).astype("f4"),
    }


def write(path: Path, arrays: dict[str, np.ndarray], lengths: list[int], version: int) -> Path:
    """A buffer, with a chunk for each picture; with ``.zip`` as ``ZipStore`` writes it."""
    packed = path.suffix == ".zip"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of members that are written twice
        store: Any = zarr.storage.ZipStore(path, mode="w") if packed else str(path)
        root = zarr.open_group(store, mode="w", zarr_format=version)
        for name, array in {**arrays, "meta/episode_ends": np.cumsum(lengths)}.items():
            group = root if "/" in name else root.require_group("data")
            chunk = (1 if array.ndim == 4 else 5, *array.shape[1:])
            made = group.create_array(name, shape=array.shape, chunks=chunk, dtype=array.dtype)
            made[:] = array
        if packed:
            store.close()
    return path


@settings(max_examples=15)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5).filter(lambda n: max(n) > 1),
    version=st.sampled_from([2, 3]),
    suffix=st.sampled_from(["", ".zip"]),
    kind=st.sampled_from(["push-t", "umi"]),
)
def test_every_step_whose_observations_are_there_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    lengths: list[int],
    version: int,
    suffix: str,
    kind: str,
) -> None:
    root = tmp_path_factory.mktemp("zarr")
    arrays = recorded(lengths, kind=kind)
    place = write(root / f"buffer.zarr{suffix}", arrays, lengths, version)
    made = import_corpus(f"zarr:{place}", root / "corpus", {"actions": 7} if kind == "umi" else {})
    assert any("that step was left out" in note for note in made.notes)
    assert any("of a single row were left out" in note for note in made.notes) == (1 in lengths)
    corpus = open_corpus(root / "corpus", verify=True)
    assert [f for f in validate(root / "corpus") if f.severity == "error"] == []
    spec = {s.name: s for s in corpus.manifest.observations}
    assert set(spec) == set(arrays) - {"action"}
    picture = spec["img" if kind == "push-t" else "camera0_rgb"]
    assert (picture.role, picture.dtype) == (Role.pixels, "uint8")
    ends = np.cumsum(lengths)
    spans = [(e - n, e) for n, e in zip(lengths, ends, strict=True) if n > 1]
    for trajectory, (start, end) in zip(corpus, spans, strict=True):
        for name in spec:
            assert np.array_equal(trajectory.observations[name], arrays[name][start:end])
        if kind == "umi":
            assert trajectory.labels is LabelState.missing
            assert corpus.manifest.action.shape == (7,)
        else:
            assert np.array_equal(trajectory.actions, arrays["action"][start : end - 1])
        assert trajectory.info.truncated
        assert trajectory.info.metadata["rewards"] == "none"


LENGTHS = [6, 4]


@pytest.fixture(params=[2, 3])
def buffer(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return write(tmp_path / "buffer.zarr", recorded(LENGTHS), LENGTHS, request.param)


def chunks(buffer: Path, name: str) -> list[Path]:
    """The files of an array's chunks."""
    files = [p for p in (buffer / name).rglob("*") if p.is_file()]
    return sorted(p for p in files if p.name[0] != "." and p.name != "zarr.json")


@pytest.mark.parametrize("name", ["data/img", "data/action", "data/state", "meta/episode_ends"])
def test_a_chunk_that_is_not_there_is_never_black(buffer: Path, tmp_path: Path, name: str) -> None:
    due = len(chunks(buffer, name))
    for number in range(due):
        gone = chunks(buffer, name)[number]
        data = gone.read_bytes()
        gone.unlink()
        with pytest.raises(CorpusError, match=rf"{name}: lacks 1 of its {due} chunks; .*chunks=fi"):
            import_corpus(f"zarr:{buffer}", tmp_path / "corpus")
        gone.write_bytes(data)
    import_corpus(f"zarr:{buffer}", tmp_path / "corpus")


def test_chunks_that_zarr_left_out_are_zero_where_the_user_says_so(tmp_path: Path) -> None:
    arrays = recorded(LENGTHS)
    arrays["img"][3] = 0  # of which zarr writes nothing by default
    place = write(tmp_path / "buffer.zarr", arrays, LENGTHS, 3)
    with pytest.raises(CorpusError, match="img: lacks 1 of its 10 chunks"):
        import_corpus(f"zarr:{place}", tmp_path / "corpus")
    import_corpus(f"zarr:{place}", tmp_path / "corpus", {"chunks": "fill"})
    first, _ = open_corpus(tmp_path / "corpus")
    assert np.array_equal(first.observations["img"], arrays["img"][:6])
    import_corpus(f"zarr:{place}", tmp_path / "other", without=["img"])
    assert "img" not in open_corpus(tmp_path / "other")[0].observations


def test_rewards_channels_and_groups(tmp_path: Path) -> None:
    arrays = recorded(LENGTHS)
    arrays["img"] = np.ascontiguousarray(arrays["img"].transpose(0, 3, 1, 2)).astype("u1")
    arrays |= {"reward": np.arange(1, 11.0)[:, None], "done": np.ones(10), "success": np.ones(10)}
    place = write(tmp_path / "buffer.zarr", arrays, LENGTHS, 2)
    zarr.open_group(str(place))["data"].create_group("more")
    settings = {"env": "walker-walk", "low": 0, "high": 512}
    made = import_corpus(f"zarr:{place}", tmp_path / "corpus", settings)
    assert "not kept: done, success, more" in made.notes
    corpus = open_corpus(tmp_path / "corpus")
    assert np.array_equal(corpus[1].rewards, [7, 8, 9, 10])
    assert not any(trajectory.final_observed for trajectory in corpus)
    shown = corpus[0].observations["img"]
    assert np.array_equal(shown[:-1], arrays["img"][:6].transpose(0, 2, 3, 1))
    assert corpus.manifest.action.high == (512.0, 512.0)


@pytest.mark.parametrize("first", [0, 1, 255, None])
@pytest.mark.parametrize("channels", [1, 3])
def test_floats_that_are_no_colors_stay_floats(
    first: int | None, channels: int, tmp_path: Path
) -> None:
    """Whatever the first rows look like: a camera of depths may begin without a picture."""
    arrays = recorded(LENGTHS)
    arrays["img"] = arrays["img"][..., :channels] / 255
    if first is not None:
        arrays["img"][:9] = first
    place = write(tmp_path / "b.zarr", arrays, LENGTHS, 3)
    made = import_corpus(f"zarr:{place}", tmp_path / "corpus", {"chunks": "fill"})
    assert not any("uint8" in note for note in made.notes)
    corpus = open_corpus(tmp_path / "corpus")
    (spec,) = (s for s in corpus.manifest.observations if s.name == "img")
    assert (spec.role, spec.dtype) == (Role.state, "float32")
    for trajectory, (start, end) in zip(corpus, ((0, 6), (6, 10)), strict=True):
        assert np.array_equal(trajectory.observations["img"], arrays["img"][start:end])


def other(name: str, array: np.ndarray) -> Callable[[Path], None]:
    def make(buffer: Path) -> None:
        shutil.rmtree(buffer / name)
        root = zarr.open_group(str(buffer), mode="r+")
        made = root.create_array(name, shape=array.shape, dtype=array.dtype, chunks=array.shape)
        made[:] = array

    return make


def torn(buffer: Path) -> None:
    file = chunks(buffer, "data/img")[2]
    file.write_bytes(file.read_bytes()[:-9])


def linked(buffer: Path) -> None:
    file = chunks(buffer, "data/img")[2]
    file.rename(buffer.parent / "elsewhere")
    file.symlink_to(buffer.parent / "elsewhere")


def pickled(buffer: Path) -> None:
    header = buffer / "data" / "action" / ".zarray"
    if header.exists():
        header.write_text(
            json.dumps({**json.loads(header.read_text()), "filters": [{"id": "pickle"}]})
        )
    else:
        header = header.with_name("zarr.json")
        told = json.loads(header.read_text())
        codecs = [{"name": "numcodecs.pickle", "configuration": {}}, *told["codecs"]]
        header.write_text(json.dumps({**told, "codecs": codecs}))


def huge(buffer: Path) -> None:
    for name in (".zarray", "zarr.json"):
        header = buffer / "data" / "img" / name
        if header.exists():
            text = header.read_text().replace("16", "1000000")
            header.write_text(text)


NAN = np.full((10, 5), np.nan, "f4")
WRONG: dict[str, tuple[Callable[[Path], None], str]] = {
    "a torn chunk": (torn, "data/img: cannot be read"),
    "a link": (linked, "is a link, or no file"),
    "code": (pickled, "data/action: is stored by pickle|data/action: cannot be read"),
    "a bomb": (huge, "data/img: has chunks of 12000000000000 bytes"),
    "too few rows": (other("data/action", np.ones((9, 2))), "has 9 rows, and meta/episode_ends e"),
    "ends that fall": (other("meta/episode_ends", np.array([6, 6, 10])), "does not grow"),
    "half ends": (other("meta/episode_ends", np.array([6.0, 10.0])), "is float64 of shape"),
    "no ends": (lambda b: shutil.rmtree(b / "meta"), "holds no replay buffers"),
    "NaN": (other("data/state", NAN), "data/state: row 0 holds a number that is not finite"),
    "complex": (other("data/state", np.ones((10, 5), "c8")), "data/state: has type complex64"),
}


@pytest.mark.parametrize(("make", "message"), WRONG.values(), ids=WRONG.keys())
def test_buffers_that_are_wrong_are_refused_and_nothing_is_written(
    buffer: Path, tmp_path: Path, make: Callable[[Path], None], message: str
) -> None:
    make(buffer)
    with pytest.raises(CorpusError, match=message) as caught:
        import_corpus(f"zarr:{buffer}", tmp_path / "corpus")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "corpus").exists()


def test_a_zip_around_a_folder_is_read(buffer: Path, tmp_path: Path) -> None:
    """As people pack them: with the folder's name before every member."""
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        for file in sorted(p for p in buffer.rglob("*") if p.is_file()):
            archive.write(file, file.relative_to(buffer.parent))
    one = import_corpus(f"zarr:{tmp_path / 'packed.zip'}", tmp_path / "a").fingerprint
    assert one == import_corpus(f"zarr:{buffer}", tmp_path / "b").fingerprint
    with zipfile.ZipFile(tmp_path / "packed.zip", "a") as archive:
        archive.writestr("../evil", "")
    with pytest.raises(CorpusError, match="is a path that leads elsewhere"):
        import_corpus(f"zarr:{tmp_path / 'packed.zip'}", tmp_path / "c")


def test_settings_are_checked(buffer: Path, tmp_path: Path) -> None:
    for wrong in ({"chunks": "some"}, {"actions": 3}, {"without": "depth"}):
        with pytest.raises(ConfigError):
            import_corpus(f"zarr:{buffer}", tmp_path / "corpus", wrong)


def test_spoiled_files_never_crash(buffer: Path, tmp_path: Path) -> None:
    files = sorted(p for p in buffer.rglob("*") if p.is_file())
    for seed in range(60):
        rng = np.random.default_rng(seed)
        file = files[rng.integers(len(files))]
        data = file.read_bytes()
        content = np.frombuffer(data, np.uint8).copy()
        content[rng.integers(0, len(content), 2)] = rng.integers(0, 256)
        file.write_bytes(content.tobytes())
        shutil.rmtree(tmp_path / "corpus", ignore_errors=True)
        told = None
        try:
            import_corpus(f"zarr:{buffer}", tmp_path / "corpus")
        except LawmError as refusal:
            told = str(refusal)
        assert told is None or "\n" not in told
        assert os.path.exists(tmp_path / "corpus") == (told is None)
        file.write_bytes(data)


@pytest.mark.parametrize("rows", [1 << 40, 1 << 62])
@pytest.mark.parametrize("fill", ["all", "fill"])
@pytest.mark.parametrize("version", [2, 3])
def test_what_is_only_declared_is_never_looked_for(
    tmp_path: Path, rows: int, fill: str, version: int
) -> None:
    """Trillions of chunks that are not there take no time."""
    root = zarr.open_group(str(tmp_path / "b.zarr"), mode="w", zarr_format=version)
    for name in ("data/state", "data/action"):
        root.create_array(name, shape=(rows, 3), chunks=(1024, 3), dtype="f4")
    root.create_array("data/depth", shape=(rows, 8, 8, 1), chunks=(1024, 8, 8, 1), dtype="f4")
    root.create_array("meta/episode_ends", shape=(1,), chunks=(1,), dtype="i8")[:] = rows
    what = f"lacks {rows // 1024} of its" if fill == "all" else "has a trajectory of"
    with pytest.raises(CorpusError, match=what):
        import_corpus(f"zarr:{tmp_path / 'b.zarr'}", tmp_path / "corpus", {"chunks": fill})
    assert not (tmp_path / "corpus").exists()
