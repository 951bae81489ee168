"""The leak laboratory: what is hidden is in nothing that a command publishes or trains.

Two corpora differ in nothing but the actions that their mask hides. Every command that publishes or
trains is run on both. What it leaves must be equal, and is searched for the hidden actions, for
functions of them and for hashes.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pytest
from lawm_schemas import ArraySpec, EnvironmentInfo, LineageStep, Provenance, Role

from lawm_data import CorpusWriter, make_mask, open_corpus, save_mask
from lawm_data.curation.action_clues import CLUES
from lawm_models.algorithms import ALGORITHMS

# The server of the tests in tests/data/exchange/hub.
sys.path.append(str(Path(__file__).resolve().parents[1] / "data" / "exchange" / "hub"))

from hub_fixture import hub as hub
from hub_server import Hub
from small_runs import SETTINGS

parquet = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("gymnasium")
pytest.importorskip("minari")

STEPS, COUNT = 30, 6
MASK, FRACTION = "some", 0.34
SEED, RESET = 471_181_516, 918_273_640
OWNERS = ("page.html", "info.json")
"""What is for the owner of a corpus, and names it by its fingerprint."""
TIMES = re.compile(
    r'"(created|started|elapsed|checksum)": ?("[^"]*"|[0-9.e+-]+)|\d{4}-\d\d-\d\dT[\d:.+]+'
)
"""Dates and seconds, and the checksum of a document that has some."""


def write_corpus(path: Path, hidden_seed: int, shown: Collection[int]) -> Path:
    """A corpus with everything that gives actions away, but for the hidden actions always the same.

    What depends on actions beside them (physics, a cost in the rewards) depends on those of seed 0.
    """
    provenance = Provenance(
        source="walker",
        agent="random",
        seed=SEED,
        versions={"mujoco": "3.0.0"},
        settings={"noise": True, "num_envs": 1, "agent_seed": SEED},
    )
    step = LineageStep(operation="collect", settings={"agent": "random", "seed": SEED})
    with CorpusWriter.create(
        path,
        observations=(
            ArraySpec(name="position", shape=(3,)),
            ArraySpec(name="physics", shape=(2,), dtype="float64", role=Role.physics),
        ),
        action=ArraySpec(name="action", shape=(2,), role=Role.action, low=(-1, -1), high=(1, 1)),
        environment=EnvironmentInfo(suite="gym", task="HalfCheetah-v5"),
        lineage=(step,),
    ) as writer:
        for number in range(COUNT):
            first, draws = draw_actions(number, 0), np.random.default_rng(number)
            writer.add(
                {
                    "position": draws.normal(size=(STEPS + 1, 3)),
                    "physics": np.concatenate([first, first[:1]]),
                },
                draws.normal(size=STEPS) - 0.1 * np.square(first).sum(1),
                first if number in shown else draw_actions(number, hidden_seed),
                provenance=provenance,
                seed=RESET + number,
                metadata={"instruction": "run", "options": {"start": [0.25, number]}},
                truncated=True,
            )
    return path


def draw_actions(number: int, seed: int) -> np.ndarray:
    return np.random.default_rng([number, seed]).uniform(-1, 1, (STEPS, 2)).astype(np.float32)


class Twin(NamedTuple):
    """One of two corpora under one name in two folders."""

    path: Path
    hidden: tuple[int, ...]


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> tuple[Twin, Twin]:
    # what a mask shows depends on no action, so that any corpus tells what this one will show
    first = open_corpus(write_corpus(tmp_path_factory.mktemp("any") / "corpus", 0, ()))
    labeled = make_mask(first, FRACTION, 0, MASK).labeled
    shown = np.flatnonzero(np.isin(first.table.id, labeled)).tolist()
    hidden = tuple(sorted(set(range(COUNT)) - set(shown)))
    made = []
    for seed in (0, 1):
        path = write_corpus(tmp_path_factory.mktemp("twin") / "corpus", seed, shown)
        whole = open_corpus(path)
        save_mask(whole, make_mask(whole, FRACTION, 0, MASK))
        made.append(Twin(path, hidden))
    views = [open_corpus(twin.path).with_mask(MASK) for twin in made]
    assert all(view.label_counts()["withheld"] == len(hidden) for view in views)
    assert len({view.fingerprint for view in views}) == 2
    assert len({view.visible_fingerprint for view in views}) == 1
    return made[0], made[1]


def needles(twin: Twin) -> Iterator[bytes]:
    """What must not be found: hidden actions, simple functions of them, and hashes."""
    corpus = open_corpus(twin.path)
    hashes = [corpus.fingerprint, *(shard.sha256 for shard in corpus.manifest.shards)]
    for trajectory in (corpus[i] for i in twin.hidden):
        actions = trajectory.actions.astype(np.float64)
        rows = [actions, np.diff(actions, axis=0), np.square(actions), np.abs(actions)]
        for kind in (np.float32, np.float64):
            for array in rows:
                yield from (row.tobytes() for row in array.astype(kind))
        columns = [f(actions, axis=0) for f in (np.mean, np.std, np.sum, np.min, np.max)]
        sizes = np.linalg.norm(actions, axis=1)
        yield from (pair.tobytes() for pair in sizes.astype(np.float32).reshape(-1, 2))
        for value in np.concatenate([*columns, sizes, actions.ravel()]):
            yield np.float64(value).tobytes()
            # as JSON and tables print doubles and floats; fewer digits would be found by chance
            for text in (f"{value:.10f}"[:-1], str(np.float32(value))):
                if len(text.lstrip("-")) > 8:
                    yield text.lstrip("-").encode()
        stored = trajectory.actions.tobytes()
        hashes += [hashlib.sha256(stored).hexdigest(), hashlib.md5(stored).hexdigest()]
    hashes += [bytes(digest).hex() for digest in corpus._store.digest[[*twin.hidden]]]
    for text in hashes:
        yield from (text.encode(), text[:12].encode(), bytes.fromhex(text))
    for seed in (SEED, RESET + twin.hidden[0]):
        yield from (str(seed).encode(), np.int64(seed).tobytes())


def haystack(path: Path) -> bytes:
    """The bytes of a file, and what is in it uncompressed."""
    content = path.read_bytes()
    parts = [content]
    if path.suffix in (".h5", ".hdf5"):
        with h5py.File(path) as file:

            def look(name: str, item: Any) -> None:
                parts.append(json.dumps({k: str(v) for k, v in item.attrs.items()}).encode())
                if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiubS":
                    parts.append(np.ascontiguousarray(item[()]).tobytes())

            file.visititems(look)
    if path.suffix == ".parquet":
        table = parquet.read_table(io.BytesIO(content))
        for column in table.columns:
            values = column.combine_chunks()
            parts.append(json.dumps(values.to_pylist(), default=str).encode())
            while hasattr(values, "flatten") and values.type.num_fields:
                values = values.flatten()
                values = values[0] if isinstance(values, list) else values
            parts += [memoryview(b).tobytes() for b in values.buffers() if b is not None]
    return b"\0".join(parts)


def found_in(folder: Path, twin: Twin) -> list[str]:
    """Files in which something is found, and what."""
    sought = Sought(needles(twin))
    contents = {path: haystack(path) for path in folder.rglob("*") if path.is_file()}
    assert contents
    return [
        f"{path.relative_to(folder)}: {needle!r}"
        for path, content in contents.items()
        for needle in sought.within(content)
    ]


class Sought:
    """Many needles that are looked for at once, by their first eight bytes."""

    def __init__(self, needles: Iterable[bytes]) -> None:
        self._short, self._long = set[bytes](), dict[bytes, set[bytes]]()
        for needle in needles:
            if len(needle) < 8:
                self._short.add(needle)
            else:
                self._long.setdefault(needle[:8], set()).add(needle)
        self._begin = np.sort(np.frombuffer(b"".join(self._long), "<u8"))

    def within(self, content: bytes) -> set[bytes]:
        """Those that are in some bytes."""
        found = {needle for needle in self._short if needle in content}
        for shift in range(min(8, len(content) - 7)):
            words = np.frombuffer(content, "<u8", (len(content) - shift) // 8, shift)
            place = np.searchsorted(self._begin, words).clip(0, len(self._begin) - 1)
            for at in np.flatnonzero(self._begin[place] == words).tolist():
                here = content[8 * at + shift : 8 * at + shift + 100]
                found |= {needle for needle in self._long[here[:8]] if here.startswith(needle)}
        return found


def artefacts(folder: Path, corpus: Path) -> dict[str, bytes]:
    """The files of a folder by name; times, and where they lie, are made alike."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if not path.is_file() or path.name in (".lock", "MUJOCO_LOG.TXT") or "tensorboard" in name:
            continue  # TensorBoard's files repeat the metrics, with times and the machine's name
        content = path.read_bytes()
        if path.suffix in (".json", ".jsonl", ".yaml", ".txt", ".md", ".html"):
            text = content.decode().replace(str(corpus.parent), "PLACE")
            text = TIMES.sub("TIME", text.replace(str(folder), "OUT"))
            if path.name == "state.json":  # its position ends with seconds and the log's length
                text = re.sub(r'("position": \{"tuple": \["\w+", \d+, \d+), [^]]*', r"\1", text)
            if name in OWNERS:
                fingerprint = open_corpus(corpus).fingerprint
                text = re.sub(f"{fingerprint[:12]}[0-9a-f]*", "FINGERPRINT", text)
            content = text.encode()
        found[name] = content
    return found


class Lab(NamedTuple):
    """Runs commands."""

    run: Callable
    hub: Hub

    def lawm_data(self, *words: object) -> None:
        """Run ``lawm-data``."""
        told = self.run("lawm-data", *words)
        assert told.code == 0, told.err

    def lawm(self, *words: object) -> None:
        """Run ``lawm``."""
        told = self.run("lawm", *words)
        assert told.code == 0, told.err


@pytest.fixture
def lab(run: Callable, hub: Hub) -> Lab:
    return Lab(run, hub)


def withhold(lab: Lab, corpus: Path, out: Path, *words: object) -> None:
    mask = ("--fraction", FRACTION, "--name", MASK, "--withhold", out / "public")
    lab.lawm_data("mask", corpus, *mask, *words)


def filtered(lab: Lab, corpus: Path, out: Path, *words: object) -> None:
    where = ("length > 1", "--mask", MASK, "--out", out / "filtered")
    lab.lawm_data("filter", corpus, *where, *words)


def export(place: str, lab: Lab, corpus: Path, out: Path, *words: object) -> None:
    lab.lawm_data("export", corpus, place.format(out=out), "--mask", MASK, *words)


def push(lab: Lab, corpus: Path, out: Path, *words: object) -> None:
    lab.hub.repos.clear()
    lab.lawm_data("push-to-hub", corpus, "user/some", "--mask", MASK, *words)
    for name, blob in lab.hub.repos["user/some"].files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(blob.data)


PUBLISHING: dict[str, Callable] = {
    "withhold": withhold,
    "filter": filtered,
    "d4rl": partial(export, "d4rl:{out}/set.hdf5"),
    "robomimic": partial(export, "robomimic:{out}/set.hdf5"),
    "lerobot": partial(export, "lerobot:{out}/set"),
    "minari": partial(export, "minari:leak/set-v0"),
    "push": push,
}
"""Commands that write what may be published."""


def published(
    publish: Callable, lab: Lab, twin: Twin, out: Path, monkeypatch: Any, *words: object
) -> Path:
    """What a command publishes of a corpus."""
    out.mkdir()
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(out))
    publish(lab, twin.path, out, *words)
    return out


@pytest.mark.parametrize("name", PUBLISHING)
def test_what_is_published_does_not_depend_on_hidden_actions(
    lab: Lab, twins: tuple[Twin, Twin], tmp_path: Path, monkeypatch: Any, name: str
) -> None:
    outs = [
        published(PUBLISHING[name], lab, twin, tmp_path / f"out-{number}", monkeypatch)
        for number, twin in enumerate(twins)
    ]
    one, other = (artefacts(out, twin.path) for out, twin in zip(outs, twins, strict=True))
    assert one.keys() == other.keys()
    assert [file for file, content in one.items() if content != other[file]] == []
    for out, twin in zip(outs, twins, strict=True):
        assert found_in(out, twin) == []


@pytest.mark.parametrize("name", PUBLISHING)
def test_the_search_finds_clues_that_are_kept(
    lab: Lab, twins: tuple[Twin, Twin], tmp_path: Path, monkeypatch: Any, name: str
) -> None:
    """Or it would show nothing: with ``--keep`` seeds, fingerprints and physics are found."""
    words = [word for clue in CLUES for word in ("--keep", clue)]
    out = published(PUBLISHING[name], lab, twins[0], tmp_path / "out", monkeypatch, *words)
    found = "\n".join(found_in(out, twins[0]))
    actions = open_corpus(twins[0].path)[twins[0].hidden[0]].actions.astype(np.float64)
    for sought in (
        open_corpus(twins[0].path).fingerprint.encode(),
        str(SEED).encode(),
        actions[0].tobytes(),
    ):
        assert repr(sought) in found


def settings(*pairs: str) -> list[str]:
    return [word for pair in pairs for word in ("--set", pair)]


def tiny(algorithm: str) -> list[str]:
    """The smallest networks: on their sizes it does not depend what they know."""
    sizes = SETTINGS[algorithm].items()
    return settings(*(f"algorithm.settings.{name}={json.dumps(value)}" for name, value in sizes))


# the others differ from td3_bc, idm_td3_bc and lam in their networks alone, or are lam and then bc
OTHERS = {"idm_iql", "idm_rebrac", "iql", "rebrac", "dila", "flam", "rla", "bc_rla"}


@pytest.mark.parametrize("algorithm", sorted({*ALGORITHMS.names()} - OTHERS))
def test_what_a_training_writes_does_not_depend_on_hidden_actions(
    lab: Lab, twins: tuple[Twin, Twin], tmp_path: Path, algorithm: str
) -> None:
    stages = ALGORITHMS.load(algorithm).Algorithm.stages
    common = ("observe=state", "evaluation_episodes=0", "batch_size=4", "window=5", "log_every=1")
    words = settings(*common, *(f"steps.{stage}=2" for stage in stages)) + tiny(algorithm)
    if algorithm == "autoencoder":  # of pixels in presets
        words += settings("algorithm.settings.encoder={name: vectors}")
    found = []
    for number, twin in enumerate(twins):
        out = tmp_path / f"out-{number}"
        source = ("--corpus", f"{twin.path}@{MASK}", "--algorithm", algorithm)
        lab.lawm("train", *source, "--preset", "demo", *words, "--out", out / "run")
        found.append(artefacts(out, twin.path))
    one, other = found
    assert one.keys() == other.keys()
    assert [file for file, content in one.items() if content != other[file]] == []
    assert found_in(tmp_path / "out-0", twins[0]) == []


def test_inferred_actions_do_not_depend_on_hidden_ones(
    lab: Lab, twins: tuple[Twin, Twin], tmp_path: Path, monkeypatch: Any
) -> None:
    """Nor do exports that hold them, nor a page about the corpus."""
    found = []
    for number, twin in enumerate(twins):
        out = tmp_path / f"out-{number}"
        out.mkdir()
        monkeypatch.setenv("MINARI_DATASETS_PATH", str(out))
        corpus = Path(shutil.copytree(twin.path, tmp_path / f"copy-{number}" / "corpus"))
        words = settings("steps.idm=3", "steps.agent=0", "evaluation_episodes=0")
        source = ("--corpus", f"{corpus}@{MASK}", "--algorithm", "idm_td3_bc")
        lab.lawm("train", *source, "--preset", "demo", *words, "--out", out / "run")
        lab.lawm("relabel", out / "run", "--corpus", corpus, "--name", "inferred")
        (labels,) = (corpus / "labels").rglob("actions.h5")
        shutil.copy(labels, out / "actions.h5")
        for place in (f"lerobot:{out}/set", "minari:leak/set-v0"):
            mask = ("--mask", MASK, "--labels", "inferred")
            lab.lawm_data("export", corpus, place, *mask)
        page = ("--mask", MASK, "--labels", "inferred", "-o", out / "page.html")
        lab.lawm_data("report", corpus, *page)
        told = lab.run("lawm-data", "info", corpus, "--mask", MASK, "--stats", "--json")
        (out / "info.json").write_text(told.out)
        told = lab.run("lawm", "audit", out / "run", "--json")
        assert told.json["passed"]
        (out / "audit.json").write_text(told.out)
        found.append(artefacts(out, corpus))
        if not number:
            left = [line for line in found_in(out, twin) if line.partition(":")[0] not in OWNERS]
            assert left == []
    one, other = found
    assert one.keys() == other.keys()
    assert [file for file, content in one.items() if content != other[file]] == []
