"""Kill every writing command at each call that changes a file, and see what is left.

A library (``kill_calls.c``, compiled by ``cc`` and loaded with LD_PRELOAD) counts the calls below
a folder and kills the process before call n, or after half of a write; where workers write, it is
whoever makes call n. After each kill

- every corpus that was there opens and validates, with every trajectory that it had;
- what is visible is the state before the command or after it (collecting, training, repairing and
  building go on in steps of their own: there it may be in between);
- the same command again leads to what it leads to without a kill;
- nothing is left that an unbroken command does not leave.

``--fault fail`` lets call n fail (EIO) and ``--fault full`` every growing call from n on (ENOSPC)
instead: then the command must also end with one line.

    python benchmarks/kill_calls.py --most 40 --out benchmarks/results/kill_calls.json
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import ctypes
import gc
import hashlib
import importlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tiny_inputs as tiny

HERE = Path(__file__).resolve().parent
SHIM, SHARED = "LAWM_KILL_CALLS", "LAWM_KILL_CALLS_STATE"
PACKAGES = ("lawm", "h5py", "numpy", "safetensors", "torch")
IMPORTED = (
    *("lawm_cli.app", "lawm_cli.data_app", "torch", "h5py", "pyarrow.parquet", "minari", "PIL"),
    *("dm_control.suite", "huggingface_hub", "datasets", "tensorboard", "lawm_data.exchange.hub"),
    *("lawm_models.runs.run", "lawm_models.runs.relabel", "lawm_models.studies.benchmark"),
    *("lawm_data.recording.collect", "lawm_data.inspection.report", "lawm_models.acting.export"),
    *("lawm_data.corpus.integrity.repair", "lawm_data.exchange.importing", "onnx", "zarr"),
    *("lawm_models.collection.collector", "lawm_models.collection.seeds"),
)
COUNT, KILL, KILL_IN_THE_MIDDLE, FAIL_ONCE, DISK_FULL = range(5)
FAULTS = {"kill": (KILL, KILL_IN_THE_MIDDLE), "fail": (FAIL_ONCE,), "full": (DISK_FULL,)}
VOLATILE = re.compile(r'"(created|elapsed|seconds|date|time)": [^,}\n]*')


@dataclass
class Operation:
    """A command that writes, and the folder that it is called in."""

    words: str
    """Program and words, called in the folder."""
    prepare: Callable[[Path], object]
    """Fills the folder."""
    between: bool = False
    """It goes on in steps of its own: what is visible need be neither before nor after."""
    damaged: bool = False
    """What was there need not be sound before the command is through."""
    stays: tuple[str, ...] = ()
    """Corpora that were damaged and stay so."""
    adds: bool = False
    """The same command again adds once more."""
    hub: bool = False
    """It needs a Hub, and with it what is published there is looked at."""
    slow: bool = False
    """Gets a third of the kills."""
    unseen: tuple[str, ...] = field(default=())
    """Patterns of files whose content is another one each time."""


def _corpus(work: Path) -> None:
    tiny.corpus(work / "c")


def _two(work: Path) -> None:
    tiny.corpus(work / "c")
    tiny.corpus(work / "d", seed=1)


def _with_parts(work: Path) -> None:
    tiny.corpus(work / "c")
    (work / "parts").mkdir()


def _split_again(work: Path) -> None:
    _corpus(work)
    (work / "out").mkdir()


def _shard(work: Path, number: int = 0) -> Path:
    listed = json.loads((work / "c/corpus.json").read_text())["shards"]
    return work / "c/shards" / listed[number]["file"]


def _flip(file: Path, at: float) -> None:
    data = bytearray(file.read_bytes())
    data[int(at * len(data))] ^= 4
    file.write_bytes(data)


def _damaged(damage: Callable[[Path], object]) -> Callable[[Path], None]:
    def prepare(work: Path) -> None:
        tiny.corpus(work / "c")
        damage(work)

    return prepare


def _lost_manifest(work: Path) -> None:
    (work / "c/corpus.json").unlink()
    (work / f"c/shards/.tmp-99999-0123abcd-{'0' * 32}.h5").write_bytes(b"half")


def _altered_manifest(work: Path) -> None:
    file = work / "c/corpus.json"
    file.write_text(file.read_text().replace("cartpole-swingup", "cartpole-balance"))


def _foreign(name: str) -> Callable[[Path], None]:
    def prepare(work: Path) -> None:
        tiny.corpus(work / "c")
        (work / "foreign").mkdir()
        tiny.foreign(name, work / "foreign", work / "c")

    return prepare


def _run(algorithm: str, *settings: str) -> Callable[[Path], None]:
    def prepare(work: Path) -> None:
        tiny.corpus(work / "c")
        tiny.run(work / "run", Path("c"), algorithm, *settings)

    return prepare


def _labeled(work: Path) -> None:
    _run("idm_td3_bc", "steps.idm=2", "steps.agent=2")(work)
    tiny.require("lawm relabel run --corpus c --name model")


def _yaml(text: str) -> Callable[[Path], None]:
    def prepare(work: Path) -> None:
        tiny.corpus(work / "c")
        (work / "plan.yaml").write_text(text)

    return prepare


def _collected(work: Path) -> None:
    """A corpus and its agent, which keeps a snapshot after every tenth trajectory."""
    tiny.require(f"{_ENV} --agent dreamer --trajectories 10 --out c")


def _studied(work: Path) -> None:
    _yaml(tiny.STUDY)(work)
    tiny.require("lawm benchmark plan.yaml --out study --workers 1")


_ENV = "lawm-data collect --env cartpole-swingup --action-repeat 100"
_COLLECT = f"{_ENV} --agent random --num-envs 2"
_EDIT = (
    "--set env=cartpole-balance --rename position=joints --dtype velocity=float64"
    " --bounds action=-2:2 --missing-where length<6"
)
_TRAIN = " ".join(f"--set {setting}" for setting in (*tiny.TINY, "steps.agent=4"))
_PLACES = {
    "lerobot": "lerobot:foreign/set",
    "minari": "minari:tiny/set-v0",
    "minari-arrow": "minari:tiny/arrow-v0",
    "ogbench": "ogbench:foreign/set.npz",
    "d3rlpy": "d3rlpy:foreign/set.h5",
    "zarr": "zarr:foreign/set.zarr",
    **{name: f"{name}:foreign/set" for name in ("aime", "dreamer", "exorl", "tdmpc2", "video")},
    **{name: f"{name}:foreign/set.hdf5" for name in ("d4rl", "robomimic")},
}
_REPAIR = {
    "bit": lambda work: _flip(_shard(work), 0.75),
    "end": lambda work: os.truncate(_shard(work), _shard(work).stat().st_size // 2),
    "shard": lambda work: _shard(work).unlink(),
    "manifest": _lost_manifest,
    "altered": _altered_manifest,
    "mask": lambda work: _flip(work / "c/masks/half.json", 0.3),
    "overlay": lambda work: _flip(work / "c/labels/idm/actions.h5", 0.9),
}

OPERATIONS: dict[str, Operation] = {
    "collect": Operation(f"{_COLLECT} --trajectories 5 --out c", lambda work: None, between=True),
    "collect-append": Operation(
        f"{_COLLECT} --trajectories 3 --out c --append",
        lambda work: tiny.require(f"{_COLLECT} --trajectories 3 --out c"),
        between=True,
        adds=True,
    ),
    "collect-workers": Operation(
        f"{_COLLECT} --trajectories 6 --workers 2 --out c",
        lambda work: None,
        between=True,
        slow=True,
    ),
    "collect-seeds": Operation(
        f"{_COLLECT} --trajectories 3 --seeds 0,1 --workers 2 --out c",
        lambda work: None,
        between=True,
        slow=True,
    ),
    "collect-snapshots": Operation(
        f"{_ENV} --agent c.agent@snapshots --trajectories 4 --num-envs 2 --workers 2 --append"
        " --out c",
        _collected,
        between=True,
        slow=True,
    ),
    **{
        f"collect-{agent}": Operation(
            f"{_ENV} --agent {agent} --trajectories 5 --out c",
            lambda work: None,
            between=True,
            slow=True,
        )
        for agent in ("dreamer", "plan2explore")
    },
    "mask": Operation("lawm-data mask c --fraction 0.3 --name third", _corpus),
    "mask-replace": Operation("lawm-data mask c --fraction 0.3 --name half --replace", _corpus),
    "mask-withhold": Operation(
        "lawm-data mask c --fraction 0.3 --name third --withhold open --replace",
        _corpus,
        between=True,
    ),
    "filter": Operation("lawm-data filter c length>4 --out new/out", _corpus),
    "filter-mask": Operation("lawm-data filter c length>4 --mask half --out out", _corpus),
    "delete": Operation("lawm-data delete c --where length>6 --out out", _corpus),
    "edit": Operation(f"lawm-data edit c {_EDIT} --out out", _corpus),
    "merge": Operation("lawm-data merge c d --out out", _two),
    "split": Operation("lawm-data split c a=0.5 b=0.5 --out out", _corpus),
    "split-there": Operation("lawm-data split c a=0.5 b=0.5 --out out", _split_again, between=True),
    "tier": Operation(
        "lawm-data tier c d --tier expert --trajectories 3 --returns=-100:100 --out out", _two
    ),
    **{
        f"repair-{kind}": Operation(
            "lawm-data repair c", _damaged(damage), between=True, damaged=True
        )
        for kind, damage in _REPAIR.items()
    },
    "repair-out": Operation("lawm-data repair c --out out", _damaged(_REPAIR["bit"]), stays=("c",)),
    **{
        f"import-{name}": Operation(f"lawm-data import {place} out", _foreign(name))
        for name, place in _PLACES.items()
    },
    **{
        f"export-{name}": Operation(
            f"lawm-data export c {place}".replace("foreign/", ""),
            _corpus,
            between=name == "minari",  # a namespace is declared before its set is there
        )
        for name, place in _PLACES.items()
        if name in tiny.WRITTEN
    },
    "push": Operation("lawm-data push-to-hub c user/c --licence MIT", _corpus, hub=True),
    "push-mask": Operation(
        "lawm-data push-to-hub c user/c --mask half --licence MIT", _corpus, hub=True
    ),
    "pull": Operation("lawm-data pull user/c out", _corpus, hub=True),
    "relabel": Operation(
        "lawm relabel run --corpus c --name model",
        _run("idm_td3_bc", "steps.idm=2", "steps.agent=2"),
    ),
    "relabel-replace": Operation("lawm relabel run --corpus c --name model --replace", _labeled),
    "train": Operation(
        f"lawm train --corpus c@half --algorithm bc --preset demo {_TRAIN} --out run",
        _corpus,
        between=True,
        unseen=("run/tensorboard/*",),
    ),
    "export-policy": Operation(
        "lawm export-policy run --out policy.onnx", _run("bc", "steps.agent=3"), slow=True
    ),
    "report": Operation("lawm-data report c --out page.html", _corpus),
    "build": Operation("lawm-data build plan.yaml --out study", _yaml(tiny.RECIPE), between=True),
    "benchmark": Operation(
        "lawm benchmark plan.yaml --out study --workers 1",
        _yaml(tiny.STUDY),
        between=True,
        slow=True,
        unseen=("study/runs/*/tensorboard/*", "study/*"),
    ),
    "table": Operation("lawm table study/results.json --out tables", _studied, between=True),
}


class Laboratory:
    """One folder in which every command is called, and what is seen there.

    Args:
        folder: an empty one.
        library: the compiled shim, loaded already.
    """

    def __init__(self, folder: Path, library: str) -> None:
        self.work, self.before, self.log = folder / "work", folder / "before", folder / "log"
        self.modules = folder / "modules"
        self.shim = ctypes.CDLL(library)
        self.shim.kill_calls_seen.restype = ctypes.c_long
        self.hub: Any = None
        self.published: dict[str, Any] = {}

    def start(self, name: str, operation: Operation) -> None:
        """Prepare an operation's folder."""
        shutil.rmtree(self.before, ignore_errors=True)
        self._fresh(None)
        error = self.forked(lambda: operation.prepare(self.work))
        if error is not None:
            raise SystemExit(f"{name}: {error}")
        tiny.copy(self.work, self.before)

    def fresh(self) -> None:
        """Everything as it was before the command."""
        self._fresh(self.before)
        if self.hub is not None:
            self.hub.repos = copy.deepcopy(self.published)

    def _fresh(self, source: Path | None) -> None:
        shutil.rmtree(self.work, ignore_errors=True)
        if source is not None:
            shutil.copytree(source, self.work, symlinks=True)
        for part in ("", "tmp"):
            (self.work / part).mkdir(parents=True, exist_ok=True)

    def forked(self, function: Callable[[], Any]) -> Any:
        """What a function returns in a process of its own, in the folder; None or plain data."""
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            try:
                self._settle()
                text = json.dumps(function(), default=lambda _: None)
            except BaseException:
                text = json.dumps(traceback.format_exc())
            with os.fdopen(write, "w") as pipe:
                pipe.write(text)
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as pipe:
            text = pipe.read()
        os.waitpid(child, 0)
        return json.loads(text)

    def _settle(self) -> None:
        os.chdir(self.work)
        os.environ["TMPDIR"] = tempfile.tempdir = str(self.work / "tmp")
        os.environ["LAWM_CACHE"] = str(self.work / "cache")
        place = "foreign" if (self.work / "foreign").exists() else "."
        os.environ["MINARI_DATASETS_PATH"] = str(self.work / place)

    def called(self, words: str, number: int, mode: int) -> tuple[int, int]:
        """Call a command that is hit at a call; returns its exit status and the calls seen."""
        child = os.fork()
        if child == 0:
            os.setsid()
            log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            for descriptor in (1, 2):
                os.dup2(log, descriptor)
            self._settle()
            program, *rest = words.split()
            signal.alarm(120)
            self.shim.kill_calls_arm(str(self.work).encode(), ctypes.c_long(number), mode)
            code = 99
            try:
                code = tiny.main_of(program)(rest)
            finally:
                sys.stdout.flush()
                self.modules.write_text("\n".join(sys.modules))
                os._exit(code)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        while _in_session(child):  # its workers end by themselves
            time.sleep(0.05)
        return status, self.shim.kill_calls_seen()

    def hit(self) -> bool:
        """Whether the last command, or a worker of it, came to the call that was to be hit."""
        return bool(self.shim.kill_calls_hit())

    def summary(self) -> str:
        """What the last command has printed at the end."""
        return self.log.read_text(errors="replace").strip()[-300:]

    def look(
        self, operation: Operation, volatile: Sequence[str] = ()
    ) -> tuple[dict[str, str], list[str]]:
        """What a user sees, and what is wrong with it.

        Returns:
            By path: corpora by their content, everything else by its bytes. Errors of every
            corpus, and trajectories that it had before and has no more.
        """
        found = self.forked(
            lambda: (
                dict(_state(self.work, (*operation.unseen, *volatile))),
                list(_unsound(self.work, self.before, operation.stays)),
            )
        )
        if isinstance(found, str):
            raise SystemExit(found)
        state, wrong = found
        if self.hub is not None:
            state["hub"] = _published(self.hub)
        return state, wrong

    def names(self) -> Counter[str]:
        """Everything that is there, hidden or not, without random parts of names."""
        found = Counter[str]()
        for folder, folders, files in os.walk(self.work):
            for name in [*folders, *files]:
                path = os.path.relpath(os.path.join(folder, name), self.work)
                kept = re.search(r"/backup-\d+/", path)  # a repair may keep more than is needed
                # with a file of eight letters Python finds out whether TMPDIR can be written to
                kept = kept or re.fullmatch(r"tmp/[a-z0-9_]{8}", path)
                if not kept and name != ".lock" and "tensorboard" not in path:
                    found[re.sub(r"[0-9a-f]{32}|\d+-[0-9a-f]{8}", "*", path)] += 1
        return found


def _in_session(session: int) -> bool:
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                stat = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
                if int(stat[3]) == session and stat[0] != "Z":
                    return True
    return False


def _corpora(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.rglob("corpus.json")):
        parts = file.relative_to(folder).parts[:-1]
        if not any(p.startswith((".", "backup-")) or p in ("tmp", "home", "meta") for p in parts):
            yield file.parent


def _state(work: Path, unseen: Sequence[str]) -> Iterator[tuple[str, str]]:
    from lawm_data import open_corpus

    corpora = list(_corpora(work))
    for path in corpora:
        where = path.relative_to(work).as_posix()
        try:
            manifest = open_corpus(path, verify=True).manifest
        except Exception as error:
            yield where, f"damaged: {error}"
            continue
        content = manifest.model_dump(mode="json", exclude={"shards"})
        yield where, hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    for path in sorted(work.rglob("*")):
        inside = path.relative_to(work)
        hidden = any(part.startswith(".") or part.startswith("backup-") for part in inside.parts)
        native = any(path == c / "corpus.json" or path.parent == c / "shards" for c in corpora)
        if not path.is_file() or hidden or native or inside.parts[0] in ("tmp", "home", "cache"):
            continue
        if any(
            inside.match(pattern) or inside.is_relative_to(pattern.rstrip("/*"))
            for pattern in unseen
        ):
            continue
        data = path.read_bytes()
        if path.suffix in (".json", ".jsonl", ".html", ".md"):
            data = VOLATILE.sub("", data.decode()).encode()
        yield inside.as_posix(), hashlib.sha256(data).hexdigest()


def _unsound(work: Path, before: Path, stays: Sequence[str]) -> Iterator[str]:
    from lawm_schemas import LawmError

    from lawm_data import open_corpus
    from lawm_data.corpus.integrity.validate import validate

    for path in {*_corpora(work), *(work / p.relative_to(before) for p in _corpora(before))}:
        where = path.relative_to(work)
        if str(where) in stays:
            continue
        if not (path / "corpus.json").exists():
            yield f"{where} is gone"
            continue
        for finding in validate(path):
            if finding.severity == "error":
                yield f"{where}: {finding}"
        with contextlib.suppress(LawmError):  # what was damaged before
            old = set(open_corpus(before / where).table.id.tolist())
            if lost := old - set(open_corpus(path).table.id.tolist()):
                yield f"{where}: {len(lost)} trajectories are lost"


def _published(running: Any) -> str:
    """The repositories as a reader sees them; without lawm.json nothing is published."""
    seen = {
        name: {path: blob.sha256 for path, blob in repo.files.items()}
        for name, repo in running.repos.items()
        if repo.head and set(repo.files) - {".gitattributes"}
    }
    return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()


def trial(
    lab: Laboratory, operation: Operation, number: int, mode: int, known: dict[str, Any]
) -> dict[str, Any] | None:
    """Hit an operation at a call; what is wrong afterwards, or None when it was not hit."""
    lab.fresh()
    code, _ = lab.called(operation.words, number, mode)
    faults: dict[str, Any] = {}
    kills = mode in (KILL, KILL_IN_THE_MIDDLE)
    if kills and not lab.hit():
        return None
    if code not in (0, 1, 2, *([-signal.SIGKILL] if kills else [])) or "Traceback" in lab.summary():
        faults["ended"] = f"{code}: {lab.summary()}"
    visible, wrong = lab.look(operation, known["volatile"])
    done = visible == known["after"]
    allowed = code != 0 and (operation.between or visible == known["before"])
    if not done and not allowed:
        faults["third state"] = _difference(known["before"], visible)
    if wrong and not operation.damaged:
        faults["unsound"] = wrong
    code, _ = lab.called(operation.words, 0, COUNT)
    if code != 0 and not (code == 2 and done):
        faults["again"] = f"{code}: {lab.summary()}"
    visible, wrong = lab.look(operation, known["volatile"])
    if visible != known["after"] and not operation.adds:
        faults["result"] = _difference(known["after"], visible)
    if wrong:
        faults["unsound at the end"] = wrong
    left = lab.names() - known["names"]
    if operation.adds:
        left = Counter(name for name in left if ".tmp-" in name)
    if left:
        faults["left"] = sorted(left)
    return faults


def _difference(a: dict[str, str], b: dict[str, str]) -> list[str]:
    return sorted(name for name in {*a, *b} if a.get(name) != b.get(name))


def unbroken(lab: Laboratory, name: str, operation: Operation) -> dict[str, Any]:
    """What an operation does without a fault, twice, to know what differs by itself."""
    lab.fresh()
    before, _ = lab.look(operation)
    seen, calls = [], 0
    for _ in range(2):
        second = int(time.time())
        while int(time.time()) == second:  # else what tells the time would not differ
            time.sleep(0.05)
        lab.fresh()
        code, calls = lab.called(operation.words, 0, COUNT)
        state, wrong = lab.look(operation)
        if code or wrong:
            raise SystemExit(f"{name}: exit code {code}: {lab.summary()} {wrong}")
        seen.append((state, lab.names()))
        for module in lab.modules.read_text().split("\n"):  # imported once, here
            with contextlib.suppress(Exception):
                importlib.import_module(module)
    volatile = _difference(seen[0][0], seen[1][0])
    return {
        "calls": calls,
        "before": {k: v for k, v in before.items() if k not in volatile},
        "after": {k: v for k, v in seen[0][0].items() if k not in volatile},
        "names": seen[0][1] | seen[1][1],
        "volatile": volatile,
    }


def chosen(calls: int, most: int) -> list[int]:
    """Numbers of calls, all or evenly spread."""
    if calls <= most:
        return list(range(1, calls + 1))
    return sorted({1 + round(i * (calls - 1) / (most - 1)) for i in range(most)})


def measure(
    lab: Laboratory, name: str, operation: Operation, most: int, modes: Sequence[int]
) -> dict[str, Any]:
    """All trials of an operation."""
    began = time.perf_counter()
    lab.start(name, operation)
    hits, wrong, lab.published = 0, [], {}
    with tiny.hub(lab.work.parent) if operation.hub else contextlib.nullcontext() as lab.hub:
        if name == "pull":
            lab.fresh()
            lab.called("lawm-data push-to-hub c user/c --licence MIT", 0, COUNT)
            lab.published = copy.deepcopy(lab.hub.repos)
        known = unbroken(lab, name, operation)
        numbers = chosen(known["calls"], max(2, most // 3) if operation.slow else most)
        for turn, number in enumerate(numbers):
            mode = modes[turn % len(modes)]
            faults = trial(lab, operation, number, mode, known)
            hits += faults is not None
            if faults:
                wrong.append({"call": number, "mode": mode, **faults})
                print(f"  {name} {number} {mode}: {json.dumps(faults)}", flush=True)
    seconds = round(time.perf_counter() - began, 1)
    print(
        f"{name}: {known['calls']} calls, {hits} hit, {len(wrong)} wrong, {seconds} s", flush=True
    )
    return {"operation": name, "calls": known["calls"], "hit": hits, "wrong": wrong}


def main() -> None:
    """Parse arguments, hit all operations and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--most", type=int, default=40, help="calls of each operation that are hit")
    parser.add_argument("--only", nargs="*", help="operations; all by default")
    parser.add_argument("--fault", choices=FAULTS, default="kill", help="what happens at a call")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lawm-kill-") as folder:
        library = os.environ.get(SHIM)
        if library is None:
            library = f"{folder}/kill_calls.so"
            source = HERE / "kill_calls.c"
            subprocess.run(
                ["cc", "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True
            )
            variables = {**os.environ, SHIM: library, "LD_PRELOAD": library}
            variables[SHARED] = f"{folder}/calls"
            variables |= {"MUJOCO_GL": "disable", "OMP_NUM_THREADS": "1"}
            variables |= {"HF_HUB_DISABLE_XET": "1", "HF_HOME": f"{folder}/home"}
            raise SystemExit(subprocess.run([sys.executable, *sys.argv], env=variables).returncode)
        for module in IMPORTED:
            importlib.import_module(module)
        tiny.small_agents()
        gc.collect()
        gc.freeze()
        lab, rows = Laboratory(Path(folder).resolve(), library), []
        for name, operation in OPERATIONS.items():
            if not arguments.only or name in arguments.only:
                rows.append(measure(lab, name, operation, arguments.most, FAULTS[arguments.fault]))
    result = {
        "command": "python " + " ".join(sys.argv),
        "fault": arguments.fault,
        "operations": len(rows),
        "calls": sum(row["calls"] for row in rows),
        "hit": sum(row["hit"] for row in rows),
        "wrong": sum(len(row["wrong"]) for row in rows),
        "rows": rows,
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
    }
    print({key: result[key] for key in ("operations", "calls", "hit", "wrong")})
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
