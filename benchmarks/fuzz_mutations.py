"""Altering inputs with knowledge of what they are made of: JSON, YAML, arrays, files.

For ``fuzz.py``. Every function takes a generator of random choices and alters one thing in place.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from lawm_schemas import CHECKSUM, checksum_of

Random = random.Random

# ---- values, as they may stand in JSON, YAML or an array -----------------------------------------


def _value(rng: Random) -> Any:
    """Something that is seldom meant."""
    return rng.choice(
        (
            *(None, True, False, 0, 1, -1, 2, 2**31, 2**53 + 1, 2**63, 2**64, -(2**63), 10**40),
            *(0.5, -0.0, 1e308, -1e-320, float("nan"), float("inf"), -float("inf")),
            *("", "x", "..", "../x", "/etc/passwd", "a/b", "\0", "ü" * 300, "nan", "1e5", "é\n"),
            *([], {}, [[]], {"": {}}, [1, "a", None], {"..": 1}),
        )
    )


def _deep(rng: Random) -> Any:
    found: Any = 1
    for _ in range(rng.choice((50, 900, 3000))):
        found = [found] if rng.random() < 0.5 else {"a": found}
    return found


def alter_tree(rng: Random, data: Any) -> Any:
    """Plain data with one place altered."""
    places = list(_places(data))
    if not places:
        return _value(rng)
    holder, key = rng.choice(places)
    old = holder[key]
    kind = rng.randrange(9)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[f"{key}{rng.choice(('_', 's', ' ', '', 'é'))}x"] = holder.pop(key)
    elif kind == 2 and isinstance(holder, dict):
        holder[str(_value(rng))] = _value(rng)
    elif kind == 3 and isinstance(holder, list):
        holder += [old] * rng.choice((1, 2, 1000))
    elif kind == 4 and isinstance(old, int | float) and not isinstance(old, bool):
        change = rng.choice((-old, old + 1, old - 1, old * 10, old * 2**40, old / 3, str(old)))
        holder[key] = change
    elif kind == 5:
        other, at = rng.choice(places)
        holder[key] = other[at] if other is not holder else _value(rng)
    elif kind == 6 and isinstance(old, str) and old:
        at = rng.randrange(len(old))
        holder[key] = old[:at] + rng.choice(("", "x", "0", "/", "..", "\0", "ü")) + old[at + 1 :]
    elif kind == 7 and rng.random() < 0.3:
        holder[key] = _deep(rng)
    else:
        holder[key] = _value(rng)
    return data


def _places(data: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(data, dict | list):
        for key in data if isinstance(data, dict) else range(len(data)):
            yield data, key
            yield from _places(data[key])


# ---- files --------------------------------------------------------------------------------------


def alter_bytes(rng: Random, file: Path, folder: Path) -> str:
    """Bits, ends and kinds of a file."""
    data = bytearray(file.read_bytes())
    kind = rng.randrange(12)
    at = rng.randrange(len(data)) if data else 0
    if kind < 4 and data:
        for _ in range(rng.choice((1, 1, 1, 4, 32))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == 4:
        del data[at:]
    elif kind == 5 and data:
        data[at : at + 8] = rng.choice((b"\0" * 8, b"\xff" * 8, b"\xff" * 7 + b"\x7f"))
    elif kind == 6:
        data[at:at] = bytes(rng.randrange(256) for _ in range(rng.choice((1, 8, 4096))))
    elif kind == 7:
        del data[at : at + rng.choice((1, 4, 64))]
    elif kind == 8:
        file.unlink()
        return "removed"
    elif kind == 9:
        file.unlink()
        special = rng.choice(("folder", "link", "pipe", "loop", "dangling", "linked folder"))
        if special == "folder":
            file.mkdir()
        elif special == "pipe":
            os.mkfifo(file)
        elif special == "linked folder" and file.parent != folder:
            shutil.rmtree(file.parent)
            file.parent.symlink_to(folder.parent / "outside")
        else:
            target = {"link": folder.parent / "outside/precious", "loop": file}.get(special)
            file.symlink_to(target or folder / "nothing")
        return special
    elif kind == 10:
        others = [path for path in folder.rglob("*") if path.is_file() and path != file]
        if others:
            data = bytearray(rng.choice(others).read_bytes())
    else:
        data = bytearray(rng.choice((b"", b"\0", b"{}", b"[]", b"null", b"\xff\xfe", b"{" * 9999)))
    file.write_bytes(data)
    return "bytes"


def alter_json(rng: Random, file: Path, fit: bool = False) -> str:
    """Keys and values of a JSON file; with ``fit`` its checksum is made to fit."""
    text = file.read_text()
    lines = file.suffix == ".jsonl"
    data = [json.loads(line) for line in text.splitlines()] if lines else json.loads(text)
    data = alter_tree(rng, data)
    if fit and isinstance(data, dict) and CHECKSUM in data:
        rest = {key: value for key, value in data.items() if key != CHECKSUM}
        with contextlib.suppress(ValueError, RecursionError):
            data = rest | {CHECKSUM: checksum_of(rest)}
    try:
        text = "\n".join(map(json.dumps, data)) if lines else json.dumps(data, indent=1)
    except (TypeError, RecursionError):
        depth = rng.choice((500, 20000))
        text = "[" * depth + "]" * depth
    if rng.random() < 0.1 and '"' in text:
        at = text.index('"', rng.randrange(text.rindex('"')))
        key = text[at:].split(",")[0]
        text = text[:at] + f"{key}, " + text[at:]  # a key twice, or nonsense
    file.write_text(text, errors="replace")
    return "json"


def alter_yaml(rng: Random, file: Path) -> str:
    """Keys and values of a YAML file, and what JSON does not have."""
    from ruamel.yaml import YAML

    text = file.read_text()
    if rng.random() < 0.75:
        yaml = YAML(typ="safe", pure=True)
        out = StringIO()
        with contextlib.suppress(Exception):
            yaml.dump(alter_tree(rng, yaml.load(text)), out)
            text = out.getvalue()
    else:
        lines = text.splitlines() or [""]
        at = rng.randrange(len(lines))
        lines[at] += rng.choice(
            ("\x00", " &a [*a]", " !!python/object:os.system x", "\t", ": :", "]", " *a", "\n<<: 1")
        )
        if rng.random() < 0.3:
            bomb = ["a: &a [x, x, x, x, x, x, x, x, x]"]
            bomb += [
                f"{b}: &{b} [{', '.join(['*' + a] * 9)}]"
                for a, b in zip("abcdefg", "bcdefgh", strict=True)
            ]
            lines = [*bomb, *lines]
        text = "\n".join(lines)
    file.write_text(text, errors="replace")
    return "yaml"


def alter_array(rng: Random, array: np.ndarray) -> Any:
    """Type, shape or values of an array."""
    array = np.array(array)
    kind = rng.randrange(10)
    if kind < 3 and array.size and array.dtype.kind in "fiub":
        flat, n = array.reshape(-1), rng.choice((1, 1, array.size))
        at = rng.sample(range(array.size), min(n, array.size))
        special = (np.nan, np.inf, -np.inf, 0, -1, 1, 255, 1e308, 2.0**62, -(2.0**31), 0.5)
        with np.errstate(all="ignore"):
            flat[at] = np.array(rng.choice(special)).astype(array.dtype)
        return array
    if kind < 6:
        types = ("f2", "f4", "f8", "i1", "i8", "u1", "u8", ">f4", ">i8", "?", "S5", "c8", "M8[s]")
        with np.errstate(all="ignore"), contextlib.suppress(ValueError, TypeError):
            return array.astype(rng.choice(types))
        return array.astype("S5")
    if kind == 6:
        return array[: rng.randrange(len(array) + 1)] if array.ndim else array.reshape(1)
    if kind == 7:
        return np.concatenate([array, array[-1:]]) if array.ndim else array
    if kind == 8:
        shapes = [(1, *array.shape), (*array.shape, 1), array.shape[::-1], (array.size,)]
        return array.reshape(rng.choice(shapes))
    return rng.choice((np.float32(1), np.zeros((0, 3)), np.zeros(0, "S1"), np.array("x", "S1")))


def alter_hdf5(rng: Random, file: Path) -> str:
    """Items, attributes and links of an HDF5 file."""
    import h5py

    with h5py.File(file, "r+") as opened:
        names: list[str] = []
        opened.visit(names.append)
        if not names:
            return "nothing"
        name = rng.choice(names)
        holder: Any = opened[name].parent
        item: Any = opened[name]
        last, kind = name.rpartition("/")[2], rng.randrange(14)
        if kind == 0:
            del holder[last]
        elif kind == 1:
            holder.move(last, last + rng.choice(("x", ".", " ", "é", "/y")))
        elif kind == 2:
            del holder[last]
            holder[last] = rng.choice(
                (
                    h5py.SoftLink("/nothing"),
                    h5py.SoftLink(f"/{name}"),
                    h5py.ExternalLink("../outside/precious.h5", "/x"),
                    h5py.ExternalLink("/dev/zero", "/"),
                    h5py.SoftLink("/"),
                )
            )
        elif kind == 3:
            holder[f"{last}_loop"] = opened["/"]
        elif kind == 4:
            holder.create_group(f"{last}_{rng.choice(('1', '..', 'demo_9', 'episode_9'))}")
        elif kind == 5:
            target = rng.choice((item, opened["/"], holder))
            keys = list(target.attrs)
            with contextlib.suppress(TypeError, ValueError, OSError):
                if keys and rng.random() < 0.4:
                    del target.attrs[rng.choice(keys)]
                else:
                    value = rng.choice((1, -1, 2.5, "x", b"\xff", np.nan, [1, 2], "{}", "[" * 999))
                    target.attrs[rng.choice([*keys, "total", "num_samples"])] = value
        elif kind == 6:
            keys = [key for key in item.attrs if isinstance(item.attrs[key], str)]
            for key in keys[:1]:
                with contextlib.suppress(ValueError):
                    item.attrs[key] = json.dumps(alter_tree(rng, json.loads(item.attrs[key])))
        elif isinstance(item, h5py.Dataset):
            _replace_dataset(rng, holder, last, item)
        else:
            other = rng.choice(names)
            if (
                other != name
                and not other.startswith(f"{name}/")
                and not name.startswith(f"{other}/")
            ):
                del holder[last]
                holder[last] = opened[other]
    return "hdf5"


def _replace_dataset(rng: Random, holder: Any, name: str, item: Any) -> None:
    import h5py

    with contextlib.suppress(OSError):
        array, kind = item[()], rng.randrange(10)
        del holder[name]
        if kind == 0:
            holder.create_dataset(name, (2**40,), "f4", chunks=(2**20,))
        elif kind == 1:
            holder.create_dataset(name, np.shape(array), "f4")  # never written
        elif kind == 2:
            holder.create_dataset(name, data=["x"] * len(array), dtype=h5py.string_dtype())
        elif kind == 3:
            holder.create_dataset(name, (len(array),), h5py.vlen_dtype(np.float32))
        elif kind == 4:
            external = [("../outside/precious", 0, h5py.h5f.UNLIMITED)]
            holder.create_dataset(name, np.shape(array), "f4", external=external)
        elif kind == 5:
            filters = rng.choice(({"compression": "gzip"}, {"fletcher32": True}, {"shuffle": True}))
            holder.create_dataset(name, data=array, chunks=True, **filters)
        elif kind == 6:
            dtype = rng.choice((h5py.ref_dtype, np.dtype([("a", "f4")]), np.dtype("V7")))
            holder.create_dataset(name, np.shape(array), dtype)
        else:
            holder.create_dataset(name, data=alter_array(rng, array))


def alter_npz(rng: Random, file: Path) -> str:
    """Arrays of an npz file, and the archive itself."""
    import zipfile

    with np.load(file) as opened:
        arrays = {name: opened[name] for name in opened.files}
    name, kind = rng.choice(list(arrays)), rng.randrange(8)
    if kind == 0:
        del arrays[name]
    elif kind == 1:
        arrays[name + rng.choice(("x", "/y", "..", "é"))] = arrays.pop(name)
    elif kind == 2:
        arrays[name] = np.array([{"a": 1}] * max(1, len(arrays[name])), object)
    elif kind == 3:
        arrays[rng.choice(("../x", "", "a" * 300))] = arrays[name]
    elif kind > 4:
        arrays[name] = alter_array(rng, arrays[name])
    np.savez(file, **arrays)
    if kind == 4:
        with zipfile.ZipFile(file) as archive:
            parts = {part: bytearray(archive.read(part)) for part in archive.namelist()}
        part = rng.choice(list(parts))
        header = parts[part]
        at = rng.randrange(min(120, len(header)))
        header[at : at + 1] = rng.choice((b"9", b"(", b"\0", b"'", b"-", b"\xff"))
        with zipfile.ZipFile(file, "w", rng.choice((0, 8, 14))) as archive:
            for key, content in parts.items():
                archive.writestr(key, bytes(content))
            if rng.random() < 0.3:
                archive.writestr(part, b"twice")
    return "npz"


def alter_parquet(rng: Random, file: Path) -> str:
    """Columns of a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(file)
    at, kind = rng.randrange(table.num_columns), rng.randrange(9)
    name, column = table.column_names[at], table.column(at)
    values = column.to_pylist()
    with contextlib.suppress(pa.ArrowException, TypeError, ValueError, OverflowError):
        if kind == 0:
            table = table.remove_column(at)
        elif kind == 1:
            names = [*table.column_names]
            names[at] = rng.choice((name + "x", "index", "..", "", names[0]))
            table = table.rename_columns(names)
        elif kind == 2:
            table = table.set_column(at, name, pa.nulls(len(values)))
        elif kind == 3:
            values[rng.randrange(len(values))] = None
            table = table.set_column(at, name, pa.array(values, column.type))
        elif kind == 4:
            table = table.slice(rng.randrange(len(values)), rng.randrange(len(values)))
        elif kind == 5:
            table = pa.concat_tables([table, table]).take(
                rng.sample(range(len(values)), len(values))
            )
        elif kind == 6:
            values[rng.randrange(len(values))] = _value(rng)
            table = table.set_column(at, name, pa.array(values))
        elif kind == 7:
            table = table.set_column(at, name, pa.array([str(value) for value in values]))
        else:
            flat = alter_array(rng, np.array(values))
            table = table.set_column(at, name, pa.array(flat.tolist()))
    pq.write_table(table, file)
    return "parquet"


def alter_safetensors(rng: Random, file: Path) -> str:
    """Names, types, shapes and values of tensors, and what the header says of them."""
    from safetensors.numpy import load_file, save_file

    if rng.random() < 0.3:
        data = file.read_bytes()
        size = int.from_bytes(data[:8], "little")
        header = json.dumps(alter_tree(rng, json.loads(data[8 : 8 + size]))).encode()
        file.write_bytes(len(header).to_bytes(8, "little") + header + data[8 + size :])
        return "safetensors header"
    tensors = load_file(file)
    name, kind = rng.choice(sorted(tensors)), rng.randrange(6)
    if kind == 0:
        del tensors[name]
    elif kind == 1:
        tensors[name + "x"] = tensors.pop(name)
    elif kind == 2:
        tensors[name] = tensors[rng.choice(sorted(tensors))]
    else:
        tensors[name] = np.ascontiguousarray(alter_array(rng, tensors[name]))
    save_file(tensors, file)
    return "safetensors"


def alter_archive(rng: Random, file: Path) -> str:
    """A member of a zip file, such as a tensor, the pickle that names them, or metadata."""
    import zipfile

    with zipfile.ZipFile(file) as archive:
        parts = {name: bytearray(archive.read(name)) for name in archive.namelist()}
    name = rng.choice(list(parts))
    part, kind = parts[name], rng.randrange(6)
    at = rng.randrange(len(part)) if part else 0
    documents = [name for name in parts if Path(name).name in ZARR]
    if documents and rng.random() < 0.5:
        name = rng.choice(documents)
        parts[name] = bytearray(json.dumps(alter_tree(rng, json.loads(parts[name]))).encode())
    elif kind < 3 and part:
        part[at : at + 1] = bytes([rng.randrange(256)])
    elif kind == 3:
        del part[at:]
    elif kind == 4:
        del parts[name]
    else:
        parts[rng.choice(("../x", "a/../../x", name + "x"))] = parts.pop(name)
    with zipfile.ZipFile(file, "w", rng.choice((0, 0, 8))) as archive:
        for key, content in parts.items():
            archive.writestr(key, bytes(content))
    return "archive"


ZARR = (".zarray", ".zattrs", ".zgroup", "zarr.json")
"""Names of the metadata of zarr."""
STRUCTURED: dict[str, Callable[[Random, Path], str]] = {
    ".json": alter_json,
    ".jsonl": alter_json,
    ".yaml": alter_yaml,
    ".hdf5": alter_hdf5,
    ".h5": alter_hdf5,
    ".npz": alter_npz,
    ".parquet": alter_parquet,
    ".pt": alter_archive,
    ".zip": alter_archive,
    ".safetensors": alter_safetensors,
}
"""By the end of a file's name, or all of it."""
STRUCTURED |= dict.fromkeys(ZARR, alter_json)


def way_of(file: Path) -> Callable[[Random, Path], str] | None:
    """How the structure of a file is altered."""
    return STRUCTURED.get(file.suffix or file.name)


def alter(rng: Random, folder: Path) -> str:
    """Alter a file of a folder in a way that suits it, or in any way."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    if not files:
        return "empty"
    small = [path for path in files if path.suffix in (".json", ".jsonl", ".yaml")]
    small += [path for path in files if path.name in ZARR[:3]]
    file = rng.choice(small if small and rng.random() < 0.4 else files)
    way = way_of(file)
    place = file.relative_to(folder)
    if way is not None and rng.random() < 0.75:
        try:
            return f"{place}: {way(rng, file)}"
        except Exception as error:  # it was altered beyond what the library takes
            return f"{place}: {type(error).__name__} while altering"
    return f"{place}: {alter_bytes(rng, file, folder)}"
