"""Features beside a corpus: a trained encoder reads every observation once, and never again."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from lawm_schemas import ConfigError, FeatureSet, Role

from lawm_data.corpus.corpus import Corpus, open_corpus
from lawm_data.corpus.features import PARTS, STORED, free_features, save_features
from lawm_data.inspection.statistics import moments
from lawm_data.system.atomic import own_folder, storage_errors, write_file
from lawm_data.system.progress import NoBar, ProgressBar
from lawm_models.networks.encoders._protocol import Observation
from lawm_models.networks.frozen_encoder import FrozenEncoder
from lawm_models.runs.encoder_sources import EncoderSource, of_run
from lawm_models.runs.probe import probe_state
from lawm_models.training import seeding
from lawm_models.training.run_folder import RunFolder

FRAMES_AT_ONCE = 256
"""Observations that are encoded together."""
PART_STEPS = 1 << 14
"""About so many observations are encoded between two writes; a killed command goes on there."""


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

    Raises:
        ConfigError: there is no encoder, or the corpus has other observations.
        CorpusError: the name is taken, or the corpus is damaged.
    """
    whole = open_corpus(corpus, verify=True)
    fields = [spec.name for spec in whole.manifest.observations]
    folder = free_features(whole.path, name, fields, replace)
    source = encoder if isinstance(encoder, EncoderSource) else of_run(encoder)
    view, frozen = whole.observing(source.observe), source.frozen
    _require_same_observations(view, frozen)
    parts = _Parts(folder.with_name(f".{name}{PARTS}"), view.root_fingerprint, frozen)
    with seeding.thread_limit(source.threads or torch.get_num_threads()):
        found = parts.all_of(view, frozen, progress or NoBar())
        if not source.scaled:
            mean, scale = _scale(found, source.place)
            frozen.mean.copy_(torch.from_numpy(mean))
            frozen.scale.fill_(float(scale))
            found = [(rows - mean) / scale for rows in found]
        stored = [rows.astype(STORED) for rows in found]
        probe = probe_state(whole, stored)
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
        probe=probe,
    )
    by_id = dict(zip(view.table.id.tolist(), stored, strict=True))
    info = save_features(folder, info, by_id, frozen.to_bytes())
    parts.remove()
    return {
        "name": name,
        "path": str(folder),
        "width": info.width,
        "trajectories": info.trajectories,
        "observations": sum(map(len, stored)),
        "bytes": sum(rows.nbytes for rows in stored),
        "encoder": info.encoder_sha256,
        "probe": probe,
    }


class _Parts:
    """Embeddings in the making, a file for each group of trajectories.

    Args:
        folder: of the files.
        corpus: fingerprint of the corpus.
        frozen: what makes them.
    """

    def __init__(self, folder: Path, corpus: str, frozen: FrozenEncoder) -> None:
        self._folder = folder
        encoder = hashlib.sha256(frozen.to_bytes()).hexdigest()
        self._about = json.dumps({"corpus": corpus, "encoder": encoder}).encode()

    def all_of(
        self, view: Corpus, frozen: FrozenEncoder, progress: ProgressBar
    ) -> list[np.ndarray]:
        """The embeddings of each trajectory, (T+1, D) float32; what is there is not made again."""
        about = self._folder / "about.json"
        with storage_errors(self._folder):
            own_folder(self._folder.parent)
            if self._folder.exists() and not (about.exists() and about.read_bytes() == self._about):
                shutil.rmtree(self._folder)
            self._folder.mkdir(exist_ok=True)
        write_file(about, self._about)
        progress.start("features", len(view))
        made: list[np.ndarray] = []
        for group in _groups(view.table.length):
            rows = self._part(view, frozen, group)
            ends = np.cumsum(view.table.length[group.start : group.stop] + 1)
            made += np.split(rows, ends[:-1])
            progress.reach(group.stop)
        return made

    def _part(self, view: Corpus, frozen: FrozenEncoder, group: range) -> np.ndarray:
        file = self._folder / f"{group.start:08d}.npy"
        expected = (int((view.table.length[group.start : group.stop] + 1).sum()), frozen.dim)
        with storage_errors(file):
            if file.exists():
                rows = np.load(file, allow_pickle=False)
                if rows.shape == expected:
                    return rows
        rows = np.concatenate([_encoded(view, place, frozen) for place in group])
        data = io.BytesIO()
        np.save(data, rows)
        write_file(file, data.getbuffer())
        return rows

    def remove(self) -> None:
        """They have become features."""
        with storage_errors(self._folder):
            shutil.rmtree(self._folder)


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


def _scale(embeddings: list[np.ndarray], place: str) -> tuple[np.ndarray, np.float32]:
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
