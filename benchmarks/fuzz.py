"""Damage inputs of every kind, with knowledge of what they are made of, and read them.

Each input is a copy of a small sound one, altered by one to three mutations: bits, ends and links
of files; keys, types, numbers and depth of JSON and YAML; names, types, shapes, values and links of
HDF5, npz and Parquet arrays. Half of the altered native files get checksums that fit again. It is
read by the commands of a user in a process apart, with a limit of memory and of time. Wrong is

- an uncaught exception or a death: an exit code other than 0, 1 and 2, or a traceback;
- a hang: more than the seconds of CPU that are allowed, or memory beyond the limit;
- a change outside of the folder that was to be written, or something half-written in it;
- an imported corpus that ``validate`` refuses;
- a native corpus or a run that passes with other content, though no checksum was made to fit.

    python benchmarks/fuzz.py --inputs 10000 --out benchmarks/results/fuzz.json
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import getpass
import hashlib
import importlib
import importlib.metadata
import json
import os
import platform
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tiny_inputs as tiny
from lawm_schemas import CHECKSUM, checksum_of

MEMORY = 3 << 30
"""Bytes of address space that an input may take beyond what the process has."""
CPU = 20
"""Seconds of CPU that reading an input may take."""
WALL = 60
"""Seconds on the clock, for what waits instead of computing."""
PACKAGES = ("lawm", "h5py", "numpy", "pyarrow", "minari", "imageio-ffmpeg", "pydantic")
IMPORTED = (
    *("lawm_cli.data_app", "h5py", "pyarrow.parquet", "minari", "PIL.Image", "ruamel.yaml"),
    *(
        "lawm_data.corpus.integrity.repair",
        "lawm_data.exchange.importing",
        "lawm_data.batches.loader",
    ),
    *("lawm_data.inspection.summary", "lawm_data.corpus.integrity.validate"),
)
LEARNING = (
    *("lawm_cli.app", "torch", "lawm_models.training.run", "lawm_models.training.audit"),
    *("lawm_models.studies.benchmark", "lawm_models.training.run_table", "dm_control.suite"),
)
"""Imported only for kinds that need it: a smaller process forks sooner."""
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


def alter_archive(rng: Random, file: Path) -> str:
    """A member of a zip file, such as a tensor or the pickle that names them."""
    import zipfile

    with zipfile.ZipFile(file) as archive:
        parts = {name: bytearray(archive.read(name)) for name in archive.namelist()}
    name = rng.choice(list(parts))
    part, kind = parts[name], rng.randrange(6)
    at = rng.randrange(len(part)) if part else 0
    if kind < 3 and part:
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


STRUCTURED: dict[str, Callable[[Random, Path], str]] = {
    ".json": alter_json,
    ".jsonl": alter_json,
    ".yaml": alter_yaml,
    ".hdf5": alter_hdf5,
    ".h5": alter_hdf5,
    ".npz": alter_npz,
    ".parquet": alter_parquet,
    ".pt": alter_archive,
}


def alter(rng: Random, folder: Path) -> str:
    """Alter a file of a folder in a way that suits it, or in any way."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    if not files:
        return "empty"
    small = [path for path in files if path.suffix in (".json", ".jsonl", ".yaml")]
    file = rng.choice(small if small and rng.random() < 0.4 else files)
    way = STRUCTURED.get(file.suffix)
    place = file.relative_to(folder)
    if way is not None and rng.random() < 0.75:
        try:
            return f"{place}: {way(rng, file)}"
        except Exception as error:  # it was altered beyond what the library takes
            return f"{place}: {type(error).__name__} while altering"
    return f"{place}: {alter_bytes(rng, file, folder)}"


# ---- what is done with them ---------------------------------------------------------------------


class Kind(NamedTuple):
    """A kind of input."""

    make: Callable[[Path], object]
    """Fills a folder with a sound one."""
    read: Callable[[Path, Random], list[str]]
    """Reads it as a user would, in ``folder/in``; says what is wrong."""
    alter: Callable[[Random, Path], str] = alter
    share: int = 1
    """How many of the inputs it gets, beside the others."""


def call(program: str, *words: str) -> int:
    """Call a command; its exit code."""
    return tiny.main_of(program)(list(words))


def _fine(codes: Sequence[int]) -> list[str]:
    wrong = [code for code in codes if code not in (0, 1, 2)]
    return [f"exit code {code}" for code in wrong]


def fit_native(path: Path) -> None:
    """Make sizes and checksums fit what is there."""
    file = path / "corpus.json"
    with contextlib.suppress(Exception):
        data = json.loads(file.read_text())
        for shard in data["shards"]:
            content = (path / "shards" / shard["file"]).read_bytes()
            shard |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        data.pop(CHECKSUM, None)
        file.write_text(json.dumps(data | {CHECKSUM: checksum_of(data)}))
    for overlay in path.glob("labels/*/overlay.json"):
        with contextlib.suppress(Exception):
            data = json.loads(overlay.read_text())
            content = overlay.with_name("actions.h5").read_bytes()
            data["sha256"] = hashlib.sha256(content).hexdigest()
            data.pop(CHECKSUM, None)
            overlay.write_text(json.dumps(data | {CHECKSUM: checksum_of(data)}))
    for mask in path.glob("masks/*.json"):
        with contextlib.suppress(Exception):
            data = json.loads(mask.read_text())
            data.pop(CHECKSUM, None)
            mask.write_text(json.dumps(data | {CHECKSUM: checksum_of(data)}))


def alter_native(rng: Random, folder: Path) -> str:
    """Alter a corpus; half of the time all checksums fit again."""
    text = alter(rng, folder)
    if rng.random() < 0.5:
        fit_native(folder / "c")
        text += ", fitted"
    return text


def content_of(path: Path) -> dict[str, str]:
    """Hashes of everything that a corpus shows: what it says, arrays, table, masks, overlays."""
    from lawm_data import open_corpus
    from lawm_data.corpus.overlay import open_labels, overlay_names

    def hashed(*parts: str | np.ndarray | None) -> str:
        kept = [part for part in parts if part is not None]
        data = [part.encode() if isinstance(part, str) else part.tobytes() for part in kept]
        return hashlib.sha256(b"".join(data)).hexdigest()

    corpus = open_corpus(path)
    seen = {"corpus.json": hashed(corpus.manifest.model_dump_json(exclude={"shards"}))}
    for one in corpus:
        arrays = (*one.observations.values(), one.rewards, one.actions)
        seen[one.info.id] = hashed(repr(one.info), *arrays)
    for name, mask in corpus.masks().items():
        seen[f"masks/{name}.json"] = hashed(mask.model_dump_json())
    for name in overlay_names(path):
        labels = open_labels(corpus, name)
        actions = [array for known in labels.ids.tolist() for array in labels.read(known.decode())]
        seen[f"labels/{name}"] = hashed(labels.info.model_dump_json(), *actions)
    return seen


def _same(path: Path, known: dict[str, str]) -> bool:
    """Whether a corpus shows what it did, apart from masks and overlays that are not there."""
    now = content_of(path)
    gone = {name for name in known if "/" in name and not os.path.lexists(path / name)}
    return now == {name: text for name, text in known.items() if name not in gone}


def read_native(folder: Path, rng: Random) -> list[str]:
    """Validate, look, derive, load, repair."""
    from lawm_schemas import LawmError

    from lawm_data import CorpusWriter, Loader, open_corpus
    from lawm_data.corpus.integrity.validate import validate

    path = folder / "in/c"
    codes = [call("lawm-data", "validate", str(path))]
    ways = [
        ("info", str(path), "--stats", "--mask", "half"),
        ("info", str(path), "--stats", "--labels", "idm", "--json"),
        ("filter", str(path), "length > 4", "--out", str(folder / "out/filtered")),
        ("mask", str(path), "--fraction", "0.5", "--name", "new"),
        ("export", str(path), f"d4rl:{folder}/out/x.hdf5"),
    ]
    sound = codes == [0] and not any(f.severity == "warning" for f in validate(path))
    wrong = []
    known = json.loads((folder.parent / "native.content").read_text())
    if sound and not (folder / "fitted").exists() and not _same(path, known):
        wrong.append("passes with other content")
    for way in rng.sample(ways, 2):
        codes.append(call("lawm-data", *way))
    with contextlib.suppress(LawmError):
        Loader(open_corpus(path), batch_size=4, window=4).next()
        CorpusWriter.append(path).close()
    if rng.random() < 0.3:
        codes.append(call("lawm-data", "repair", str(path)))
        if codes[-1] == 0:
            wrong += [f"after repair: {f}" for f in validate(path) if f.severity == "error"]
    return [*_fine(codes), *wrong]


def read_foreign(address: str) -> Callable[[Path, Random], list[str]]:
    """Import it."""

    def read(folder: Path, rng: Random) -> list[str]:
        from lawm_data.corpus.integrity.validate import validate

        name, place = address.split(":")
        os.environ["MINARI_DATASETS_PATH"] = str(folder / "in")
        where = place if name.startswith("minari") else f"{folder}/in/{place}"
        settings = ["--set", "fps=10", "--set", "size=8"] if name == "video" else []
        out = folder / "out/c"
        code = call("lawm-data", "import", f"{name.split('-')[0]}:{where}", str(out), *settings)
        wrong = _fine([code])
        if code == 0:
            wrong += [f"imported: {f}" for f in validate(out) if f.severity == "error"]
        elif any((folder / "out").iterdir()):
            wrong.append("something half-written is left")
        return wrong

    return read


def read_run(folder: Path, rng: Random) -> list[str]:
    """Resume, evaluate, relabel."""
    os.chdir(folder / "in")
    shutil.rmtree("run/checkpoints/step_00000003", ignore_errors=True)
    steps = [part for setting in (*tiny.TINY, "steps.agent=3") for part in ("--set", setting)]
    data = ("--corpus", "c@half", "--algorithm", "bc", "--preset", "demo", "--out", "run")
    codes = [call("lawm", "train", *data, *steps)]
    wrong = []
    if codes == [0]:
        model = Path("run/checkpoints/step_00000003/model.safetensors").read_bytes()
        if hashlib.sha256(model).hexdigest() != (folder.parent / "run.content").read_text():
            wrong.append("resumed to other weights")
    ways = (("evaluate", "run", "--episodes", "1"), ("runs", "."), ("audit", "run"))
    codes.append(call("lawm", *rng.choice(ways)))
    return [*_fine(codes), *wrong]


def alter_run(rng: Random, folder: Path) -> str:
    """Alter the run, not its corpus."""
    return alter(rng, folder / "run")


def read_agent(folder: Path, rng: Random) -> list[str]:
    """Go on with a collection of a learning agent."""
    os.chdir(folder / "in")
    words = "collect --env cartpole-swingup --agent dreamer --trajectories 1 --out d --json"
    return _fine([call("lawm-data", *words.split())])


def read_recipe(folder: Path, rng: Random) -> list[str]:
    """Plan it."""
    os.chdir(folder / "in")
    return _fine([call("lawm-data", "build", "plan.yaml", "--out", "../out/x", "--dry-run")])


def read_study(folder: Path, rng: Random) -> list[str]:
    """Plan it."""
    os.chdir(folder / "in")
    return _fine([call("lawm", "benchmark", "plan.yaml", "--out", "../out/x", "--dry-run")])


def read_config(folder: Path, rng: Random) -> list[str]:
    """Resolve it, as a training does before it begins."""
    from lawm_cli import experiment
    from lawm_schemas import LawmError

    from lawm_models.training.experiment import resolve

    os.chdir(folder / "in")
    with contextlib.suppress(LawmError):
        resolve(experiment.from_file(Path("config.yaml"), {}))
    return []


def read_results(folder: Path, rng: Random) -> list[str]:
    """Make the tables of a study."""
    os.chdir(folder / "in")
    return _fine([call("lawm", "table", "study/results.json", "--out", "../out/tables")])


def _native(folder: Path) -> None:
    tiny.corpus(folder / "c", everything=True)
    (folder.parent / "native.content").write_text(json.dumps(content_of(folder / "c")))


def _run(folder: Path) -> None:
    place = folder.parent / "work/in"  # where it will be read: a run remembers its corpus's path
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    os.chdir(place)
    tiny.corpus(Path("c"))
    tiny.run(Path("run"), Path("c"))
    model = Path("run/checkpoints/step_00000003/model.safetensors").read_bytes()
    (folder.parent / "run.content").write_text(hashlib.sha256(model).hexdigest())
    shutil.rmtree("run/checkpoints/step_00000003")
    shutil.rmtree("run/tensorboard")
    shutil.copytree(place, folder, dirs_exist_ok=True)


def _foreign(name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        source = tiny.corpus(folder.parent / f"source-{name}", everything=name != "d4rl")
        tiny.foreign(name, folder, source)
        shutil.rmtree(source)

    return make


def _plan(text: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        tiny.corpus(folder / "c")
        (folder / "plan.yaml").write_text(text)

    return make


def _config(folder: Path) -> None:
    _run(folder)
    shutil.copy(folder / "run/config.yaml", folder / "config.yaml")


def _results(folder: Path) -> None:
    os.chdir(folder)
    _plan(tiny.STUDY)(folder)
    tiny.require("lawm benchmark plan.yaml --out study --workers 1")
    shutil.rmtree("study/runs", ignore_errors=True)


def _only(name: str) -> Callable[[Random, Path], str]:
    """Alter one file and nothing else, mostly its structure."""

    def way(rng: Random, folder: Path) -> str:
        file = folder / name
        if not file.is_file() or file.is_symlink():
            return "nothing"
        if rng.random() < 0.85:
            with contextlib.suppress(Exception):
                return STRUCTURED[file.suffix](rng, file)
        return alter_bytes(rng, file, folder)

    return way


PLACES = {
    "d4rl": "d4rl:set.hdf5",
    "robomimic": "robomimic:set.hdf5",
    "lerobot": "lerobot:set",
    "minari": "minari:tiny/set-v0",
    "minari-arrow": "minari-arrow:tiny/arrow-v0",
    "ogbench": "ogbench:set.npz",
    "exorl": "exorl:set",
    "aime": "aime:set",
    "dreamer": "dreamer:set",
    "d3rlpy": "d3rlpy:set.h5",
    "tdmpc2": "tdmpc2:set",
    "video": "video:set",
    "zarr": "zarr:set.zarr",
}
KINDS: dict[str, Kind] = {
    "native": Kind(_native, read_native, alter_native, share=3),
    **{name: Kind(_foreign(name), read_foreign(place)) for name, place in PLACES.items()},
    "run": Kind(_run, read_run, alter_run, share=2),
    "recipe": Kind(_plan(tiny.RECIPE), read_recipe, _only("plan.yaml")),
    "study": Kind(_plan(tiny.STUDY), read_study, _only("plan.yaml")),
    "config": Kind(_config, read_config, _only("config.yaml")),
    "results": Kind(_results, read_results, _only("study/results.json")),
}


# ---- one input in a process of its own ----------------------------------------------------------


class Seen(NamedTuple):
    """An input that was read."""

    altered: str
    """What was altered."""
    wrong: list[str]
    """What was wrong with how it was read."""


ENDS = {
    -signal.SIGPROF: "hang: computes",
    -signal.SIGALRM: "hang: waits",
    -signal.SIGKILL: "killed",
}
"""What it means that a process ended in this way."""
TOGETHER = 25
"""Inputs that one process reads."""


class Laboratory:
    """Sound inputs of every kind, and what was seen of altered ones.

    Args:
        folder: an empty one.
        kinds: which are made.
    """

    def __init__(self, folder: Path, kinds: Sequence[str]) -> None:
        self.folder, self.work = folder, folder / "work"
        self.outside, self.altering = folder / "work/outside", folder / "altering"
        self.log, self.results = folder / "log", folder / "seen"
        for name in kinds:
            place = folder / name
            place.mkdir()
            self._apart(lambda place=place, name=name: KINDS[name].make(place))
        for name in kinds:  # what reading imports is imported once, here
            self._fresh(name)
            self._apart(lambda name=name: _quietly(KINDS[name].read, self.work))

    def _apart(self, function: Callable[[], object]) -> None:
        """Call a function in a process of its own, and import what it has imported."""
        names, child = self.folder / "modules", os.fork()
        if child == 0:
            try:
                function()
                names.write_text("\n".join(sys.modules))
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        if os.waitpid(child, 0)[1]:
            raise SystemExit("a sound input could not be made")
        for name in names.read_text().split("\n"):
            with contextlib.suppress(Exception):
                importlib.import_module(name)

    def _fresh(self, name: str) -> None:
        shutil.rmtree(self.work, ignore_errors=True)
        for part in ("outside", "out", "tmp"):
            (self.work / part).mkdir(parents=True)
        (self.outside / "precious").write_bytes(b"precious" * 64)
        (self.outside / "precious.h5").write_bytes(b"precious")
        shutil.copytree(self.folder / name, self.work / "in", symlinks=True)

    def try_some(self, keys: Sequence[str]) -> dict[str, Seen]:
        """Alter and read inputs, each alone in its folder, one after the other in one process.

        When the process dies, the input that it died of is known, and the others go on in a new
        one.
        """
        seen: dict[str, Seen] = {}
        while rest := [key for key in keys if key not in seen]:
            self.results.write_text("")
            child = os.fork()
            if child == 0:
                with contextlib.suppress(BaseException):
                    self._try(rest)
                os._exit(0)
            _, status = os.waitpid(child, 0)
            for line in self.results.read_text().splitlines():
                key, altered, wrong = json.loads(line)
                seen[key] = Seen(altered, wrong)
            code = os.waitstatus_to_exitcode(status)
            if rest[-1] not in seen:
                dead = next(key for key in rest if key not in seen)
                altering = self.altering.exists()
                said = self.log.read_text(errors="replace").strip()[-400:]
                wrong = [] if altering else [f"{ENDS.get(code, f'ended with {code}')}: {said}"]
                seen[dead] = Seen("could not be altered" if altering else "", wrong)
        return seen

    def _try(self, keys: Sequence[str]) -> None:
        """Alter and read inputs in this process, under limits."""
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2):
            os.dup2(descriptor, stream)
        os.environ |= {"TMPDIR": str(self.work / "tmp"), "LAWM_TRACEBACK": "1"}
        tempfile.tempdir = str(self.work / "tmp")
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for key in keys:
            os.truncate(self.log, 0)
            os.chdir(self.folder)
            signal.alarm(WALL)
            signal.setitimer(signal.ITIMER_PROF, CPU)
            told = (key, *self._try_one(key.rpartition("/")[2], key))
            with self.results.open("a") as file:
                file.write(json.dumps(told) + "\n")

    def _try_one(self, name: str, key: str) -> Seen:
        self._fresh(name)
        self.altering.touch()
        altered = "; ".join(_alter(name, self.work / "in", Random(key)))
        if "fitted" in altered:
            (self.work / "fitted").touch()
        before = self._listing()
        self.altering.unlink()
        try:
            wrong = KINDS[name].read(self.work, Random(f"{key}/read"))
        except BaseException:
            wrong = [traceback.format_exc()[-400:]]
        sys.stdout.flush()
        sys.stderr.flush()
        said = self.log.read_text(errors="replace")
        if "Traceback (most recent call last)" in said:
            wrong.append(said.strip()[-400:])
        if self._listing() != before:
            wrong.append("something outside was changed")
        left = {path.name for path in (self.work / "tmp").iterdir()}
        left -= {f"torchinductor_{getpass.getuser()}"}  # PyTorch's cache
        if left and not wrong:
            wrong.append(f"left among the temporary files: {sorted(left)[:3]}")
        return Seen(altered, wrong)

    def _listing(self) -> str:
        """Hash of everything that no input may change."""
        seen = hashlib.sha256()
        for path in sorted(self.outside.rglob("*")):
            seen.update(f"{path} {path.lstat().st_mode}".encode())
            seen.update(path.read_bytes() if path.is_file() else b"")
        for path in sorted(self.folder.iterdir()):
            if (path.is_dir() and path != self.work) or path.suffix == ".content":
                seen.update(f"{path} {path.lstat().st_mtime_ns}".encode())
        return seen.hexdigest()


def _alter(name: str, folder: Path, rng: Random) -> list[str]:
    """Alter an input once or more often."""
    return [KINDS[name].alter(rng, folder) for _ in range(rng.choice((1, 1, 2, 3)))]


def _quietly(read: Callable[[Path, Random], list[str]], work: Path) -> None:
    """Read something sound."""
    with tiny.quiet():
        wrong = read(work, Random(0))
    if wrong:
        raise SystemExit(f"something sound was refused: {wrong}")


def fuzz(
    folder: Path,
    inputs: int,
    seed: int = 0,
    kinds: Sequence[str] = tuple(KINDS),
) -> dict[str, Any]:
    """Alter and read many inputs.

    Args:
        folder: an empty one.
        inputs: how many.
        seed: of all mutations; an input can be had again by its name.
        kinds: which; each gets its share.

    Returns:
        Counts by kind, and what was wrong.
    """
    lab, counts, wrong = Laboratory(folder, kinds), Counter[str](), []
    gc.collect()
    gc.freeze()
    turns = [name for name in kinds for _ in range(KINDS[name].share)]
    keys = [f"{seed}/{number}/{turns[number % len(turns)]}" for number in range(inputs)]
    for first in range(0, inputs, TOGETHER):
        for key, seen in lab.try_some(keys[first : first + TOGETHER]).items():
            counts[key.rpartition("/")[2]] += 1
            if seen.wrong:
                wrong.append({"input": key, **seen._asdict()})
                print(json.dumps(wrong[-1]), flush=True)
        if first % 1000 == 0:
            print(f"{min(first + TOGETHER, inputs)} inputs", flush=True)
    return {"inputs": inputs, "seed": seed, "by_kind": dict(counts), "wrong": wrong}


def load(kinds: Sequence[str]) -> None:
    """Import everything that inputs of these kinds are read with, once."""
    learns = not {"native", "recipe", *PLACES}.issuperset(kinds)
    for module in (*IMPORTED, *LEARNING) if learns else IMPORTED:
        importlib.import_module(module)


def main() -> None:
    """Parse arguments, alter and read inputs, write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", default=[*KINDS], help="all by default")
    parser.add_argument("--again", help="an input to try once more, such as 0/12/native")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    load(arguments.kinds)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="lawm-fuzz-") as folder:
        place = Path(folder).resolve()
        if arguments.again:
            name = arguments.again.rpartition("/")[2]
            print(Laboratory(place, [name]).try_some([arguments.again]))
            print((place / "log").read_text(errors="replace"))
            return
        result = fuzz(place, arguments.inputs, arguments.seed, arguments.kinds)
    result = {
        "command": "python " + " ".join(sys.argv),
        **result,
        "limits": {"cpu_seconds": CPU, "memory_bytes": MEMORY, "seconds": WALL},
        "seconds": round(time.perf_counter() - began),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
    }
    print({key: result[key] for key in ("inputs", "by_kind", "seconds")}, len(result["wrong"]))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
