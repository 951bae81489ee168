"""Damage inputs of every kind, with knowledge of what they are made of, and read them.

Each input is a copy of a small sound one, altered by one to three mutations: bits, ends and links
of files; keys, types, numbers and depth of JSON and YAML; names, types, shapes, values and links of
HDF5, npz, zarr and Parquet arrays and of tensors; what a Hub lists and sends. Half of what has
checksums gets some that fit again. It is read by the commands of a user in a process apart, with a
limit of memory and of time. Wrong is

- an uncaught exception or a death: an exit code other than 0, 1 and 2, or a traceback;
- a hang: more than the seconds of CPU that are allowed, or memory beyond the limit;
- a change outside of the folder that was to be written, or something half-written in it;
- an imported corpus that ``validate`` refuses;
- a corpus, here or on a Hub, a run or an agent that passes with other content, though no checksum
  was made to fit.

The kinds are in ``fuzz_kinds.py``, the mutations in ``fuzz_mutations.py``.

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
import multiprocessing
import os
import platform
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import tiny_inputs as tiny
from fuzz_kinds import KINDS, LEARNS
from fuzz_mutations import Random

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
    *("lawm_cli.app", "torch", "lawm_models.runs.run", "lawm_models.runs.audit"),
    *("lawm_models.studies.benchmark", "lawm_models.runs.table", "dm_control.suite"),
)
"""Imported only for kinds that need it: a smaller process forks sooner."""


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
laboratory: Laboratory
"""Of a worker."""


class Laboratory:
    """Sound inputs of every kind, and what was seen of altered ones.

    Args:
        folder: an empty one.
        kinds: which are made.
    """

    def __init__(self, folder: Path, kinds: Sequence[str]) -> None:
        self.folder, self.work = folder, folder / "work"
        self.outside, self.altered = folder / "work/outside", folder / "altered"
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
                altered = self.altered.read_text()
                said = self.log.read_text(errors="replace").strip()[-400:]
                wrong = [f"{ENDS.get(code, f'ended with {code}')}: {said}"] if altered else []
                seen[dead] = Seen(altered or "could not be altered", wrong)
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
        self.altered.write_text("")
        altered = "; ".join(_alter(name, self.work / "in", Random(key)))
        if "fitted" in altered:
            (self.work / "fitted").touch()
        before = self._listing()
        self.altered.write_text(altered)
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
    workers: int = 1,
) -> dict[str, Any]:
    """Alter and read many inputs.

    Args:
        folder: an empty one.
        inputs: how many.
        seed: of all mutations; an input can be had again by its name.
        kinds: which; each gets its share.
        workers: processes, each with a laboratory of its own.

    Returns:
        Counts by kind, and what was wrong.
    """
    counts, wrong, done = Counter[str](), [], 0
    turns = [name for name in kinds for _ in range(KINDS[name].share)]
    keys = [f"{seed}/{number}/{turns[number % len(turns)]}" for number in range(inputs)]
    parts = [keys[first : first + TOGETHER] for first in range(0, inputs, TOGETHER)]
    gc.collect()
    gc.freeze()
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(workers, context, _open_laboratory, (folder, kinds)) as pool:
        for part in pool.map(_try_some, parts):
            for key, seen in part.items():
                counts[key.rpartition("/")[2]] += 1
                if seen.wrong:
                    wrong.append({"input": key, **seen._asdict()})
                    print(json.dumps(wrong[-1]), flush=True)
            done += len(part)
            if done % 1000 < TOGETHER:
                print(f"{done} inputs", flush=True)
    by_kind = {name: counts[name] for name in kinds}
    return {"inputs": inputs, "seed": seed, "by_kind": by_kind, "wrong": wrong}


def _open_laboratory(folder: Path, kinds: Sequence[str]) -> None:
    """What a worker does first."""
    place = folder / str(os.getpid())
    place.mkdir()
    global laboratory
    laboratory = Laboratory(place, kinds)


def _try_some(keys: Sequence[str]) -> dict[str, Seen]:
    return laboratory.try_some(keys)


def load(kinds: Sequence[str]) -> None:
    """Import everything that inputs of these kinds are read with, once."""
    os.environ |= tiny.HUB_CLIENT
    for module in (*IMPORTED, *LEARNING) if LEARNS.intersection(kinds) else IMPORTED:
        importlib.import_module(module)


def main() -> None:
    """Parse arguments, alter and read inputs, write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", default=[*KINDS], help="all by default")
    parser.add_argument("--workers", type=int, default=1)
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
        result = fuzz(place, arguments.inputs, arguments.seed, arguments.kinds, arguments.workers)
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
