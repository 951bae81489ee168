from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from lawm_schemas import CorpusError, StorageError

from lawm_data.exchange.untrusted.hdf5 import ForeignFile
from lawm_data.system.hdf5 import METADATA_CACHE

KINDS = ("f4", "f8", ">f8", "f2", "u1", "i1", "i2", "u2", ">i4", "u4", "i8", "?")
STORAGE: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "chunks": {"chunks": True},
    "gzip": {"chunks": True, "compression": "gzip", "shuffle": True},
    "lzf": {"chunks": True, "compression": "lzf"},
    "checksums": {"chunks": True, "fletcher32": True},
}
SECRET = b"the secret of another file" * 100


@given(data=st.data(), kind=st.sampled_from(KINDS), storage=st.sampled_from(sorted(STORAGE)))
def test_every_plain_array_is_read_as_h5py_reads_it(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, kind: str, storage: str
) -> None:
    shape = data.draw(arrays.array_shapes(max_dims=3, max_side=9))
    array = data.draw(arrays.arrays(np.dtype(kind), shape))
    path = tmp_path_factory.mktemp("hdf5") / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("group/x", data=array, **STORAGE[storage])
    for content in (None, io.BytesIO(path.read_bytes())):
        foreign = ForeignFile(path, content)
        found = foreign.read("group/x")
        assert foreign.header("group/x") == (array.shape, found.dtype)
        assert found.dtype.isnative
        np.testing.assert_array_equal(found, array)
        rows = foreign.rows("group/x", again=True)
        half = len(array) // 2
        np.testing.assert_array_equal(rows.next(half), array[:half])
        np.testing.assert_array_equal(rows.next(len(array) - half), array[half:])
        foreign.close()


def test_groups_and_attributes(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a/x"], file["a/b/y"] = [1.0], [2.0]
        file["a"].attrs.update({"n": 3, "text": "words", "list": [1, 2], "f": 0.5})
        file["names"] = np.array(["demo_0", "b"], "S")
    foreign = ForeignFile(tmp_path / "a.h5")
    assert foreign.names() == ["names"]
    assert foreign.names("a") == ["x"]
    assert foreign.names("a", "group") == ["b"]
    assert foreign.names("nowhere") == []
    assert foreign.attributes("a") == {"n": 3, "text": "words", "f": 0.5}
    assert foreign.labels("names", 2) == ["demo_0", "b"]
    assert foreign.has("a/b/y")
    assert not foreign.has("a/y")
    with pytest.raises(CorpusError, match="lists 2 names where 1 can be"):
        foreign.labels("names", 1)
    foreign.close()


def external_link(file: h5py.File, outside: Path) -> None:
    file["x"] = h5py.ExternalLink(str(outside), "x")


def soft_link(file: h5py.File, outside: Path) -> None:
    file["elsewhere"], file["x"] = [1.0], h5py.SoftLink("/elsewhere")


def external_storage(file: h5py.File, outside: Path) -> None:
    raw = [(str(outside.with_suffix(".raw")), 0, h5py.h5f.UNLIMITED)]
    file.create_dataset("x", (100,), "u1", external=raw)


def virtual(file: h5py.File, outside: Path) -> None:
    layout = h5py.VirtualLayout((1000,), "f8")
    layout[:] = h5py.VirtualSource(str(outside), "x", (1000,))
    file.create_virtual_dataset("x", layout)


def dataset(**options: Any) -> Callable[[h5py.File, Path], None]:
    return lambda file, outside: file.create_dataset("x", **options) and None


HOSTILE = {
    "external link": (external_link, "x: is a link to another place"),
    "soft link": (soft_link, "x: is a link to another place"),
    "external storage": (external_storage, "x: is stored in another file"),
    "virtual": (virtual, "x: is stored in another file"),
    "objects": (dataset(data=["text"], dtype=h5py.string_dtype()), "x: has type object"),
    "lists": (dataset(shape=(3,), dtype=h5py.vlen_dtype("f4")), "x: has type object"),
    "references": (dataset(shape=(3,), dtype=h5py.ref_dtype), "x: has type object"),
    "records": (dataset(shape=(3,), dtype="f4,f4"), "not numbers"),
    "texts": (dataset(data=np.array(["a"], "S")), "not numbers"),
    "uint64": (dataset(data=np.zeros(3, "u8")), "not numbers"),
    "4 TB": (dataset(shape=(1 << 40,), dtype="f4"), "x: declares 4398046511104 bytes in 0"),
    "4 TB of chunks": (
        dataset(shape=(1 << 40,), dtype="f4", chunks=(1 << 16,), compression="gzip"),
        "x: declares 4398046511104 bytes in 0",
    ),
    "overflow": (dataset(shape=(1 << 60, 1 << 3), dtype="u1", chunks=(8, 8)), "x: declares"),
    "another filter": (
        dataset(data=np.arange(100), chunks=(10,), scaleoffset=0),
        "x: uses a filter other than",
    ),
    "a huge chunk": (
        dataset(shape=(9,), maxshape=(None,), dtype="u1", chunks=(1 << 28,), compression="gzip"),
        r"x: has chunks of shape \(268435456,\)",
    ),
    "a group": (lambda file, outside: file.create_group("x") and None, "x: is not an array"),
    "nothing": (lambda file, outside: None, "x: is missing"),
    "no numbers": (dataset(data=h5py.Empty("f4")), "x: is empty"),
}


@pytest.mark.parametrize(("make", "message"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_arrays_are_refused(
    tmp_path: Path, make: Callable[[h5py.File, Path], None], message: str
) -> None:
    outside = tmp_path / "outside.h5"
    outside.with_suffix(".raw").write_bytes(SECRET)
    with h5py.File(outside, "w") as file:
        file["x"] = np.zeros(1000)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        make(file, outside)
    foreign = ForeignFile(tmp_path / "a.h5")
    for use in (foreign.header, foreign.read):
        with pytest.raises(CorpusError, match=message) as caught:
            use("x")
        assert str(caught.value).startswith(f"{tmp_path / 'a.h5'}: x")
        assert "\n" not in str(caught.value)
    foreign.close()


def test_memory_does_not_grow_with_the_number_of_groups(tmp_path: Path) -> None:
    """HDF5 would keep the header of every object that it has seen, up to 300 MiB of them."""
    path = tmp_path / "many.hdf5"
    with h5py.File(path, "w") as file:
        for i in range(4500):
            group = file.create_group(f"episode_{i}")
            group.attrs.update(seed=i, id=f"{i}")
            group["rewards"] = np.full(3, i)
    with h5py.File(path, "r") as plain:
        assert all(plain[f"episode_{i}"].attrs["seed"] == i for i in range(4500))
        assert plain.id.get_mdc_size()[2] > METADATA_CACHE
    foreign = ForeignFile(path)
    for i in range(4500):
        assert foreign.attributes(f"episode_{i}")["seed"] == i
        assert (foreign.read(f"episode_{i}/rewards") == i).all()
    assert foreign._file.id.get_mdc_size()[2] <= METADATA_CACHE
    foreign.close()


def test_one_array_under_many_names_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.zeros(1 << 16)
        for i in range(100):
            file[f"again_{i}"] = file["x"]
    foreign = ForeignFile(tmp_path / "a.h5")
    foreign.read("x")
    with pytest.raises(CorpusError, match=r"again_0: (declares|shares its bytes)"):
        foreign.read("again_0")
    foreign.close()


def test_a_cycle_of_groups_is_no_trap(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a/x"] = [1.0]
        file["a/self"] = file["a"]
    foreign = ForeignFile(tmp_path / "a.h5")
    assert foreign.names("a") == ["x"]
    assert foreign.names("a/self/self", "group") == ["self"]
    foreign.close()


def test_truncated_and_altered_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.arange(5000.0), fletcher32=True, chunks=(500,))
    whole, refused = path.read_bytes(), 0
    for length in np.linspace(0, len(whole) - 1, 16).astype(int).tolist():
        path.write_bytes(whole[:length])
        with pytest.raises(CorpusError, match="cannot be read"):
            ForeignFile(path)
    for at in range(96, len(whole), 997):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        try:
            foreign = ForeignFile(path)
            foreign.read("x")
            foreign.close()
        except CorpusError:
            refused += 1
    assert refused > 30  # what is left lies in bytes that mean nothing


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file"):
        ForeignFile(tmp_path / "a.h5")
