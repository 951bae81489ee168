"""Corpora of random numbers, and damage to them."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest
from lawm_schemas import ArraySpec, FeatureSet, LatentSet, Provenance, Role

from lawm_data import Corpus, CorpusWriter, make_mask, open_corpus, save_mask, write_overlay
from lawm_data.corpus.features import FEATURES, save_features
from lawm_data.corpus.integrity.repair import repair
from lawm_data.corpus.integrity.validate import validate
from lawm_data.corpus.latents import LATENTS, LatentActions, save_latents

STATE = (ArraySpec(name="position", shape=(2,)), ArraySpec(name="height", shape=()))
ACTION = ArraySpec(name="action", shape=(3,), role=Role.action, low=(-1.0,) * 3, high=(1.0,) * 3)
LENGTHS = (9, 4, 12, 1, 6, 20, 7, 30)


@pytest.fixture
def random_corpus(tmp_path: Path) -> Callable[..., Corpus]:
    """Writes a corpus: the first two thirds of the actions of ``partial`` ones are not observed.

    ``shards`` commits it in that many parts and keeps them apart.
    """

    def write(
        name: str = "corpus",
        lengths: Sequence[int] = LENGTHS,
        *,
        observations: Sequence[ArraySpec] = STATE,
        action: ArraySpec = ACTION,
        seed: int = 0,
        unlabeled: Sequence[int] = (),
        partial: Sequence[int] = (),
        unrewarded: Sequence[int] = (),
        shards: int = 1,
    ) -> Corpus:
        rng = np.random.default_rng(seed)
        writer = CorpusWriter.create(tmp_path / name, observations=observations, action=action)
        for i, steps in enumerate(lengths):
            arrays = {
                spec.name: (rng.standard_normal((steps + 1, *spec.shape)) * 50).astype(spec.dtype)
                for spec in observations
            }
            actions = rng.uniform(-1, 1, (steps, *action.shape)).astype(action.dtype)
            writer.add(
                arrays,
                rng.standard_normal(steps).astype(np.float32) * (i not in unrewarded),
                None if i in unlabeled else actions,
                action_observed=np.arange(steps) >= 2 * steps // 3 if i in partial else None,
                terminated=i % 2 == 0,
                truncated=i % 2 == 1,
                provenance=Provenance(source="test"),
                metadata={"rewards": "none"} if i in unrewarded else {},
            )
            if (i + 1) % -(-len(lengths) // shards) == 0:
                writer.commit()
        writer.commit()
        writer.discard()  # closing would join the shards
        corpus = open_corpus(tmp_path / name)
        assert len(corpus.shards) == shards
        return corpus

    return write


FILMED = (
    ArraySpec(name="position", shape=(2,)),
    ArraySpec(name="camera", shape=(3, 3, 3), dtype="uint8", role=Role.pixels),
    ArraySpec(name="physics", shape=(2,), dtype="float64", role=Role.physics),
)
ACTION_OF_TWO = ArraySpec(name="action", shape=(2,), role=Role.action, low=(-1, -1), high=(1, 1))
LENGTHS_OF_SIX = (9, 4, 12, 6, 20, 7)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three shards of two trajectories, the second one without actions, a mask, an overlay."""
    path, rng = tmp_path_factory.mktemp("repair") / "corpus", np.random.default_rng(0)
    writer = CorpusWriter.create(path, observations=FILMED, action=ACTION_OF_TWO)
    for i, steps in enumerate(LENGTHS_OF_SIX):
        writer.add(
            {
                "position": rng.random((steps + 1, 2)),
                "camera": rng.integers(0, 256, (steps + 1, 3, 3, 3)),
                "physics": rng.random((steps + 1, 2)),
            },
            rng.random(steps),
            None if i == 1 else rng.uniform(-1, 1, (steps, 2)),
            action_observed=np.arange(steps) > 2 if i == 3 else None,
            terminated=i == 2,
            provenance=Provenance(source=f"source-{i % 2}"),
            seed=i if i % 3 else 2**63 + i,
            metadata={"i": i},
        )
        if i % 2:
            writer.commit()
    writer.discard()
    corpus = open_corpus(path)
    save_mask(corpus, make_mask(corpus, 0.5, 0, "half"))
    labels = [
        (t.info.id, np.full((len(t), 2), i / 10), np.ones((len(t), 2)))
        for i, t in enumerate(corpus)
    ]
    write_overlay(corpus, labels, name="idm", model="0" * 64, algorithm="lawm")
    (path / ".lock").unlink()
    assert validate(path) == []
    return path


@pytest.fixture
def copy(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "copy"))


class Disk:
    """What happens to the files of a corpus, and what must be there after a repair."""

    @staticmethod
    def content(folder: Path) -> dict[str, bytes]:
        files = [p for p in folder.rglob("*") if p.is_file() and p.name != ".lock"]
        return {str(p.relative_to(folder)): p.read_bytes() for p in files}

    @staticmethod
    def shard(path: Path, number: int) -> Path:
        listed = json.loads((path / "corpus.json").read_text())["shards"]
        return path / "shards" / listed[number]["file"]

    @staticmethod
    def flip(file: Path, at: int, bit: int = 0) -> None:
        data = bytearray(file.read_bytes())
        data[at] ^= 1 << bit
        file.write_bytes(data)

    @staticmethod
    def place(file: Path, name: str, row: int) -> int:
        with h5py.File(file, "r") as opened:
            data = opened[name]
            return data.id.get_offset() + row * data.dtype.itemsize * int(np.prod(data.shape[1:]))

    @staticmethod
    def arrays(corpus: Corpus, i: int) -> list:
        t, digest = corpus[i], corpus._store.digest[i]
        return [
            *(a.tobytes() for _, a in t.observations.items()),
            t.rewards.tobytes(),
            digest.tobytes(),
        ]

    @staticmethod
    def require_repaired(before: Path, after: Path, lost: set[int]) -> Corpus:
        """Everything but what was lost is there, with its content and what is known of it."""
        old, new = open_corpus(before), open_corpus(after, verify=True)
        left = [i for i in range(len(old)) if i not in lost]
        assert new.table.id.tolist() == old.table.id[left].tolist()
        for j, i in enumerate(left):
            assert Disk.arrays(new, j) == Disk.arrays(old, i)
            assert new.table.info(j) == old.table.info(i)
        assert validate(after) == []
        assert repair(after).changes == []
        return new


@pytest.fixture(scope="session")
def disk() -> type[Disk]:
    return Disk


NAMES = ("os.rename", "os.remove", "os.rmdir", "os.link")
"""What Python announces before a name comes, goes or means something else.

Between two of these nothing changes but what has a temporary name, or none yet.
"""
CHANGES = (*NAMES, "os.mkdir", "os.truncate")
"""What Python announces before it changes the file system, beside opening a file to write."""


def _die_before_change(number: int, names: bool) -> None:
    """From here on this process ends before its n-th change of the file system, as if killed."""
    left = number

    def count(event: str, arguments: tuple) -> None:
        nonlocal left
        writes = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        left -= event in NAMES if names else event in CHANGES or bool(writes)
        if left <= 0:
            os._exit(9)

    sys.addaudithook(count)


def _is_killed(function: Callable[[], object], number: int, names: bool = False) -> bool:
    """Run a function in a process that dies before its n-th change; False if it gets through.

    With ``names`` only changes of names are counted.
    """
    child = os.fork()
    if child == 0:
        try:
            _die_before_change(number, names)
            function()
            os._exit(0)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9)
    return code == 9


@pytest.fixture(scope="session")
def is_killed() -> Callable[..., bool]:
    return _is_killed


@pytest.fixture
def write_latents() -> Callable[..., None]:
    """Writes latent actions of random numbers beside a corpus, as if a run had inferred them.

    ``codes`` is the size of a codebook, and the last ``horizon`` - 1 steps have none.
    """

    def write(
        path: Path, name: str, seed: int = 0, codes: int | None = None, horizon: int = 1
    ) -> None:
        whole, draws = open_corpus(path), np.random.default_rng(seed)
        found = {}
        for t in whole:
            count = max(len(t) + t.final_observed - horizon, 0)
            code = None if codes is None else draws.integers(codes, size=count).astype("i4")
            values = draws.normal(size=(count, 3)).astype("f4")
            found[t.info.id] = len(t), LatentActions(values, code)
        about = LatentSet(
            name=name,
            corpus=whole.root_fingerprint,
            width=3,
            codes=codes,
            horizon=horizon,
            constraint={"name": "vq" if codes else "none"},
            run="lam",
            model="m",
            algorithm="lam",
            observe="everything",
            created="2026-01-01T00:00:00+00:00",
            trajectories=0,
            sha256="",
        )
        save_latents(path / LATENTS / name, about, found)

    return write


@pytest.fixture
def write_features() -> Callable[..., dict[str, np.ndarray]]:
    """Writes features of random numbers beside a corpus; returns them by the id of the trajectory.

    As if an encoder had made them of all observations, one that ``seed`` stands for.
    """

    def write(path: Path, name: str, seed: int = 0, width: int = 5) -> dict[str, np.ndarray]:
        whole, draws = open_corpus(path), np.random.default_rng(seed)
        found = {t.info.id: draws.normal(size=(len(t) + 1, width)).astype("f2") for t in whole}
        about = FeatureSet(
            name=name,
            corpus=whole.root_fingerprint,
            width=width,
            observations=tuple(
                s for s in whole.manifest.observations if s.role is not Role.physics
            ),
            encoder={},
            encoder_sha256="",
            model="m",
            algorithm="autoencoder",
            created="2026-01-01T00:00:00+00:00",
            trajectories=0,
            sha256="",
        )
        save_features(path / FEATURES / name, about, found, str(seed).encode())
        return found

    return write
