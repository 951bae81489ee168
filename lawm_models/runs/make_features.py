"""Features beside a corpus: a trained encoder reads every observation once, and never again.

Trajectories are encoded into parts, in this process or by workers, and the features are put
together when all are there: a command that was stopped goes on where it was, with the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from lawm_schemas import ConfigError, FeatureSet, Role

from lawm_data.corpus.corpus import Corpus, open_corpus
from lawm_data.corpus.features import PARTS, STORED, free_features, save_features
from lawm_data.inspection.statistics import moments
from lawm_data.system.atomic import own_folder, storage_errors, write_file
from lawm_data.system.output import claimed, folder_for
from lawm_data.system.progress import NoBar, ProgressBar
from lawm_data.system.workers import Executor, Prepare
from lawm_models.networks.encoders._protocol import Observation
from lawm_models.networks.frozen_encoder import FrozenEncoder, read
from lawm_models.runs.encoder_sources import EncoderSource, of_run
from lawm_models.runs.probe import probe_state
from lawm_models.training import seeding
from lawm_models.training.run_folder import RunFolder

FRAMES_AT_ONCE = 256
"""Observations that are encoded together."""
PART_STEPS = 1 << 14
"""About so many observations are a part: what a killed worker or command has to do again."""


class Made(TypedDict):
    """What came of making features."""

    name: str
    """What they are called."""
    path: str
    """Where they are."""
    width: int
    """Numbers for each observation."""
    trajectories: int
    """Trajectories that have features: all."""
    observations: int
    """Observations that were read."""
    bytes: int
    """Of all numbers, on disk."""
    encoder: str
    """Checksum of the encoder's weights."""
    probe: dict[str, float]
    """R² of each state field on held-out trajectories; see ``probe_state``."""


def make_features(
    encoder: EncoderSource | RunFolder | Path | str,
    corpus: Path | str,
    name: str,
    replace: bool = False,
    progress: ProgressBar | None = None,
    execute: Executor | None = None,
    workers: int | None = None,
) -> Made:
    """Encode every observation of a corpus, in half precision.

    The features stand beside the corpus, with the fingerprints of both and the weights of the
    encoder. A command that was killed goes on where it was.

    Args:
        encoder: see ``encoder_sources``; a run for the one that it has trained.
        corpus: folder of the corpus; any with the observations that the encoder reads.
        name: of the features.
        replace: features of this name give way.
        progress: hears of every part.
        execute: runs workers that encode; None encodes in this process.
        workers: how many.

    Raises:
        ConfigError: there is no encoder, or the corpus has other observations.
        CorpusError: the name is taken, or the corpus is damaged.
        StorageError: another process makes features of this name, or the file system refused.
    """
    whole = open_corpus(corpus, verify=True)
    fields = [spec.name for spec in whole.manifest.observations]
    folder = free_features(whole.path, name, fields, replace)
    source = encoder if isinstance(encoder, EncoderSource) else of_run(encoder)
    view, frozen = whole.observing(source.observe), source.frozen
    _require_same_observations(view, frozen)
    info = FeatureSet(
        name=name,
        corpus=whole.root_fingerprint,
        width=frozen.dim,
        observations=frozen.observations,
        encoder=frozen.facts(),
        encoder_sha256="",
        model=source.model,
        algorithm=source.algorithm,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        trajectories=0,
        sha256="",
        probe={},
    )
    weights = frozen.to_bytes()
    parts = _Parts(folder.with_name(f".{name}{PARTS}").absolute(), view, frozen.dim, weights)
    with parts.opened() as missing, seeding.thread_limit(source.threads):
        prepare = partial(_prepare, view, info, weights, source.threads, parts.folder)
        _encode_all(prepare, missing, len(view), execute, workers, progress or NoBar())
        found = parts.embeddings()
        if not source.scaled:
            mean, scale = _scale(parts.embeddings(), source.place)
            frozen.mean.copy_(torch.from_numpy(mean))
            frozen.scale.fill_(float(scale))
            found = ((rows - mean) / scale for rows in found)
        stored = [rows.astype(STORED) for rows in found]
        info = info.model_copy(update={"probe": probe_state(whole, stored)})
        by_id = dict(zip(view.table.id.tolist(), stored, strict=True))
        info = save_features(folder, info, by_id, frozen.to_bytes())
    return {
        "name": name,
        "path": str(folder),
        "width": info.width,
        "trajectories": info.trajectories,
        "observations": sum(map(len, stored)),
        "bytes": sum(rows.nbytes for rows in stored),
        "encoder": info.encoder_sha256,
        "probe": info.probe,
    }


def _encode_all(
    prepare: Prepare,
    missing: Sequence[range],
    total: int,
    execute: Executor | None,
    workers: int | None,
    progress: ProgressBar,
) -> None:
    """Write the parts that are missing."""
    done = total - sum(map(len, missing))
    progress.start("features", total)
    progress.reach(done)
    written = map(prepare(), missing) if execute is None else execute(prepare, missing, workers)
    for count in written:
        done += count
        progress.reach(done)


def _prepare(
    view: Corpus, info: FeatureSet, weights: bytes, threads: int, folder: Path
) -> Callable[[range], int]:
    """Make a worker ready."""
    torch.set_num_threads(threads)
    return partial(_write, view, read(info, weights, str(folder)), folder)


def _write(view: Corpus, frozen: FrozenEncoder, folder: Path, group: range) -> int:
    """Encode trajectories and write their part, which appears complete or not at all.

    Returns:
        How many they are.
    """
    data = io.BytesIO()
    np.save(data, np.concatenate([_encoded(view, place, frozen) for place in group]))
    write_file(_file(folder, group), data.getbuffer())
    return len(group)


def _file(folder: Path, group: range) -> Path:
    return folder / f"{group.start:08d}.npy"


class _Parts:
    """Embeddings in the making, a file for each group of neighbours among the trajectories.

    Args:
        folder: of the files.
        view: what is encoded.
        width: D, numbers for each observation.
        weights: of the encoder.
    """

    def __init__(self, folder: Path, view: Corpus, width: int, weights: bytes) -> None:
        self.folder = folder
        self._rows, self._width = view.table.length + 1, width
        self._groups = list(_groups(view.table.length))
        encoder = hashlib.sha256(weights).hexdigest()
        self._about = json.dumps({"corpus": view.root_fingerprint, "encoder": encoder}).encode()

    @contextmanager
    def opened(self) -> Iterator[list[range]]:
        """The right to make features of them; without an error they have become some at the end.

        Yields:
            The groups that are missing.

        Raises:
            StorageError: another process has the right, or the file system refused.
        """
        with folder_for(self.folder):
            own_folder(self.folder.parent)
            with claimed(self.folder):
                try:
                    yield self._begin()
                except BaseException:
                    if not any(self.folder.glob("*.npy")):
                        shutil.rmtree(self.folder, ignore_errors=True)
                    raise
                with storage_errors(self.folder):
                    shutil.rmtree(self.folder)

    def _begin(self) -> list[range]:
        """Make the folder, without parts of anything else; returns the groups that are missing."""
        about = self.folder / "about.json"
        with storage_errors(self.folder):
            if self.folder.exists() and not (about.exists() and about.read_bytes() == self._about):
                shutil.rmtree(self.folder)
            self.folder.mkdir(exist_ok=True)
        write_file(about, self._about)
        return [group for group in self._groups if not self._is_there(group)]

    def _is_there(self, group: range) -> bool:
        expected = int(self._rows[group.start : group.stop].sum()), self._width
        file = _file(self.folder, group)
        with storage_errors(file):
            try:
                return np.load(file, mmap_mode="r", allow_pickle=False).shape == expected
            except (FileNotFoundError, EOFError, ValueError):  # none, or somebody has damaged it
                return False

    def embeddings(self) -> Iterator[np.ndarray]:
        """Those of each trajectory, (T+1, D) float32; one part at a time is in memory."""
        for group in self._groups:
            file = _file(self.folder, group)
            with storage_errors(file):
                rows = np.load(file, allow_pickle=False)
            ends = np.cumsum(self._rows[group.start : group.stop])
            yield from np.split(rows, ends[:-1])


def _groups(lengths: np.ndarray) -> Iterator[range]:
    """Neighbours in groups of about ``PART_STEPS`` steps."""
    first, size = 0, 0
    for place, length in enumerate(lengths.tolist()):
        size += length + 1
        if size >= PART_STEPS or place == len(lengths) - 1:
            yield range(first, place + 1)
            first, size = place + 1, 0


def _encoded(view: Corpus, place: int, frozen: FrozenEncoder) -> np.ndarray:
    """(T+1, D) float32: the embeddings of one trajectory."""
    trajectory = view[place]
    cameras = [spec.name for spec in frozen.observations if spec.role is Role.pixels]
    whole = Observation(
        torch.from_numpy(trajectory.observations.state),
        {name: torch.from_numpy(trajectory.observations[name]) for name in cameras},
    )
    made = []
    for start in range(0, len(trajectory) + 1, FRAMES_AT_ONCE):
        stop = start + FRAMES_AT_ONCE
        made.append(frozen(whole.map(lambda x, a=start, b=stop: x[a:b])).numpy())
    return np.concatenate(made)


def _scale(embeddings: Iterable[np.ndarray], place: str) -> tuple[np.ndarray, np.float32]:
    """Mean of each dimension, and the root mean square of all around them."""
    found = moments(embeddings)
    if found is None:
        raise ConfigError("holds no trajectories", "corpus", "collect some")
    spread = np.float32(np.sqrt(np.square(found.std).mean()))
    if not np.isfinite(spread):
        what = "the encoder makes numbers that are not finite"
        raise ConfigError(what, place, "give other weights, or train it again")
    return found.mean.astype(np.float32), spread or np.float32(1)


def _require_same_observations(view: Corpus, frozen: FrozenEncoder) -> None:
    """Refuse a corpus that the encoder cannot read."""
    its = [s for s in view.manifest.observations if s.role is not Role.physics]
    ours = frozen.observations
    if [(s.name, s.shape, s.dtype) for s in its] != [(s.name, s.shape, s.dtype) for s in ours]:
        there, here = (", ".join(f"{s.name} {list(s.shape)}" for s in x) for x in (its, ours))
        what = f"its observations are {there}, and the encoder reads {here}"
        raise ConfigError(what, str(view.path), "train one on this corpus")
