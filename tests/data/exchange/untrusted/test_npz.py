from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from lawm_schemas import CorpusError

from lawm_data.exchange.untrusted import npz
from lawm_data.exchange.untrusted.npz import NpzFile

KINDS = ("f4", "f8", ">f8", "f2", "u1", "i1", "i2", "u2", ">i4", "u4", "i8", "?")


def stored(array: np.ndarray, header: bytes | None = None) -> bytes:
    """A member of an npz file, or its numbers behind another header."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array)
    data = buffer.getvalue()
    if header is None:
        return data
    length = int.from_bytes(data[8:10], "little")
    return data[:8] + len(header).to_bytes(2, "little") + header + data[10 + length :]


def write(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return path


@given(data=st.data(), kind=st.sampled_from(KINDS), compressed=st.booleans(), order=st.booleans())
def test_every_plain_array_is_read_as_numpy_reads_it(
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    kind: str,
    compressed: bool,
    order: bool,
) -> None:
    shape = data.draw(arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5))
    array = data.draw(arrays.arrays(np.dtype(kind), shape))
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    save = np.savez_compressed if compressed else np.savez
    save(path, x=np.array(array, order="F") if order else array)
    file = NpzFile(path)
    found = file.read("x")
    assert file.header("x") == (array.shape, found.dtype)
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, array)
    file.close()


@given(sizes=st.lists(st.integers(0, 40), min_size=1, max_size=6), kind=st.sampled_from(KINDS))
def test_rows_come_in_any_portions(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], kind: str
) -> None:
    array = np.random.default_rng(0).integers(0, 2, (sum(sizes), 3)).astype(kind)
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    np.savez_compressed(path, x=array, y=array[::-1])
    file = NpzFile(path)
    x, y = file.rows("x"), file.rows("y")
    portions = [(x.next(size), y.next(size)) for size in sizes]  # two members at a time
    np.testing.assert_array_equal(np.concatenate([a for a, _ in portions]), array)
    np.testing.assert_array_equal(np.concatenate([b for _, b in portions]), array[::-1])
    file.close()


class Canary:
    """Leaves a trace where it is unpickled."""

    def __reduce__(self) -> tuple:
        return os.mkdir, ("fired",)


PLAIN = np.arange(6.0)


def described(**changes: object) -> bytes:
    keys = {"descr": "'<f8'", "fortran_order": "False", "shape": "(6,)"} | changes
    return ("{" + ", ".join(f"'{k}': {v}" for k, v in keys.items()) + "}\n").encode()


def bomb(path: Path) -> None:
    """A header that declares 4 GB of itself."""
    write(path, x=b"\x93NUMPY\2\0" + b"\xff\xff\xff\xff" + b"{" + bytes(1 << 20))


HOSTILE = {
    "objects": (lambda p: np.savez(p, x=np.array([Canary()])), r"has type object, not numbers"),
    "objects by header": (lambda p: write(p, x=stored(PLAIN, described(descr="'|O'"))), "object"),
    "records": (lambda p: np.savez(p, x=np.zeros(2, "f4,f4")), "not numbers"),
    "texts": (lambda p: np.savez(p, x=np.array(["a"])), "not numbers"),
    "complex": (lambda p: np.savez(p, x=np.zeros(2, complex)), "not numbers"),
    "uint64": (lambda p: np.savez(p, x=np.zeros(2, "u8")), "not numbers"),
    "a bomb of a header": (bomb, "has a header of 4294967295 bytes"),
    "4 TB": (
        lambda p: write(p, x=stored(PLAIN, described(shape=f"({1 << 40},)"))),
        r"declares shape \(1099511627776,\) of float64 and holds 48 bytes",
    ),
    "overflow": (
        lambda p: write(p, x=stored(PLAIN, described(shape=f"({1 << 61}, 8, 1)"))),
        "declares shape",
    ),
    "negative": (
        lambda p: write(p, x=stored(PLAIN, described(shape="(-2, -3)"))),
        r"declares shape \(-2, -3\)",
    ),
    "short": (lambda p: write(p, x=stored(PLAIN)[:-8]), "holds 40 bytes"),
    "long": (lambda p: write(p, x=stored(PLAIN) + b"x"), "holds 49 bytes"),
    "not a header": (
        lambda p: write(p, x=stored(PLAIN, b"__import__('os').mkdir('fired')\n")),
        "has a header that is none",
    ),
    "deep": (lambda p: write(p, x=stored(PLAIN, b"(" * 9000 + b"\n")), "has a header that is none"),
    "another version": (lambda p: write(p, x=b"\x93NUMPY\3\0" + bytes(99)), "not an array"),
    "no array": (lambda p: write(p, x=b"x" * 99), "not an array of numbers"),
    "nothing": (lambda p: write(p, x=b""), "ends early"),
}


@pytest.mark.parametrize(("make", "message"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_arrays_are_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[Path], object],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "a.npz")
    file = NpzFile(tmp_path / "a.npz")
    for use in (file.header, file.read):
        with pytest.raises(CorpusError, match=message) as caught:
            use("x")
        assert str(caught.value).startswith(f"{tmp_path / 'a.npz'}: x")
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "fired").exists()
    file.close()


@pytest.mark.parametrize("name", ["x.txt", "folder/x.npy", "x"])
def test_members_that_are_no_arrays_are_refused(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr(name, stored(PLAIN))
    with pytest.raises(CorpusError, match="is not an array of numbers"):
        NpzFile(tmp_path / "a.npz")


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(1000.0))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    file = NpzFile(path)
    with pytest.raises(CorpusError, match=r"x\.npy: cannot be read .*CRC"):
        file.read("x")
    file.close()


@pytest.mark.parametrize("shape", [(5, 3), (5, 2, 2), (5,), (5, 0), (1, 3)])
def test_an_array_that_is_stored_by_columns_is_read_by_rows(
    shape: tuple[int, ...], tmp_path: Path
) -> None:
    array = np.arange(np.prod(shape), dtype=">f4").reshape(shape)
    np.savez_compressed(tmp_path / "a.npz", x=np.asfortranarray(array))
    with closing(NpzFile(tmp_path / "a.npz")) as file, closing(file.rows("x")) as rows:
        found = [rows.next(count) for count in (1, len(array) - 1)]
    assert np.array_equal(np.concatenate(found), array)
    assert all(part.dtype == np.dtype("f4") and part.dtype.isnative for part in found)


def test_a_large_array_that_is_stored_by_columns_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "a.npz", x=np.asfortranarray(np.ones((4, 3))))
    monkeypatch.setattr(npz, "WHOLE_LIMIT", 95)
    with closing(NpzFile(tmp_path / "a.npz")) as file:
        words = "x: is stored column by column, 96 bytes .*; write it again row by row .*contig"
        with pytest.raises(CorpusError, match=words):
            file.rows("x").next(2)
