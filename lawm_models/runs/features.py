"""Features beside a corpus: a trained encoder reads every observation once, and never again."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, TypedDict, runtime_checkable

import numpy as np
import torch
from lawm_schemas import ConfigError, FeatureSet, Role
from torch import Tensor

from lawm_data.corpus.corpus import Corpus, open_corpus
from lawm_data.corpus.features import PARTS, STORED, free_features, save_features
from lawm_data.inspection.statistics import moments
from lawm_data.system.atomic import own_folder, storage_errors, write_file
from lawm_data.system.progress import NoBar, ProgressBar
from lawm_models.networks.encoders._protocol import Observation
from lawm_models.networks.frozen_encoder import FrozenEncoder
from lawm_models.runs.probe import probe_state
from lawm_models.training import seeding
from lawm_models.training.run_folder import RunFolder

FRAMES_AT_ONCE = 256
"""Observations that are encoded together."""
PART_STEPS = 1 << 14
"""About so many observations are encoded between two writes; a killed command goes on there."""


@runtime_checkable
class Encoding(Protocol):
    """An algorithm that learns an encoder for others."""

    def frozen(self) -> FrozenEncoder:
        """A copy of the encoder, which learns no more."""
        ...


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
    run: RunFolder | Path | str,
    corpus: Path | str,
    name: str,
    replace: bool = False,
    progress: ProgressBar | None = None,
) -> Made:
    """Encode every observation of a corpus with the encoder of a run, in half precision.

    The features stand beside the corpus, with the fingerprints of both and the weights of the
    encoder. A command that was killed goes on where it was.

    Args:
        run: a run of an algorithm that learns an encoder.
        corpus: folder of the corpus; it may be another than the run's, with the same observations.
        name: of the features.
        replace: features of this name give way.
        progress: hears of every part.

    Raises:
        ConfigError: the run has no encoder, or the corpus other observations.
        CorpusError: the name is taken, or the corpus is damaged.
    """
    run = run if isinstance(run, RunFolder) else RunFolder.open(run)
    whole = open_corpus(corpus, verify=True)
    fields = [spec.name for spec in whole.manifest.observations]
    folder = free_features(whole.path, name, fields, replace)
    algorithm, model = run.trained()
    if not isinstance(algorithm, Encoding):
        what = f"{run.config.algorithm.name} learns no encoder for others"
        raise ConfigError(what, str(run.path), "give a run of --algorithm autoencoder")
    view = whole.observing(run.config.observe)
    _require_same_observations(view, run)
    frozen = algorithm.frozen()
    parts = _Parts(folder.with_name(f".{name}{PARTS}"), view.root_fingerprint, model)
    with seeding.thread_limit(run.config.threads):
        embeddings = parts.all_of(view, frozen, progress or NoBar())
        mean, scale = _scale(embeddings)
        frozen.mean.copy_(mean)
        frozen.scale.copy_(scale)
        found = {
            trajectory: ((rows - mean.numpy()) / float(scale)).astype(STORED)
            for trajectory, rows in zip(view.table.id.tolist(), embeddings, strict=True)
        }
        probe = probe_state(whole, list(found.values()))
    info = FeatureSet(
        name=name,
        corpus=whole.root_fingerprint,
        width=frozen.dim,
        observations=frozen.observations,
        encoder=frozen.facts(),
        encoder_sha256="",
        model=model,
        algorithm=run.config.algorithm.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        trajectories=0,
        sha256="",
        probe=probe,
    )
    info = save_features(folder, info, found, frozen.to_bytes())
    parts.remove()
    return {
        "name": name,
        "path": str(folder),
        "width": info.width,
        "trajectories": info.trajectories,
        "observations": sum(map(len, found.values())),
        "bytes": sum(rows.nbytes for rows in found.values()),
        "encoder": info.encoder_sha256,
        "probe": probe,
    }


class _Parts:
    """Embeddings in the making, a file for each group of trajectories.

    Args:
        folder: of the files.
        corpus: fingerprint of the corpus.
        model: hash of the weights that make them.
    """

    def __init__(self, folder: Path, corpus: str, model: str) -> None:
        self._folder = folder
        self._about = json.dumps({"corpus": corpus, "model": model}).encode()

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


def _scale(embeddings: list[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Mean of each dimension, and the root mean square of all around them."""
    found = moments(embeddings)
    if found is None:
        raise ConfigError("holds no trajectories", "corpus", "collect some")
    spread = float(np.sqrt(np.square(found.std).mean())) or 1.0
    if not np.isfinite(spread):
        raise ConfigError("makes numbers that are not finite", "encoder", "train it again")
    return torch.from_numpy(found.mean).float(), torch.tensor(spread)


def _require_same_observations(view: Corpus, run: RunFolder) -> None:
    """Refuse a corpus that the encoder cannot read."""
    its = [s for s in view.manifest.observations if s.role is not Role.physics]
    ours = run.record.observations
    if [(s.name, s.shape, s.dtype) for s in its] != [(s.name, s.shape, s.dtype) for s in ours]:
        there, here = (", ".join(f"{s.name} {list(s.shape)}" for s in x) for x in (its, ours))
        what = f"its observations are {there}, and the encoder reads {here}"
        raise ConfigError(what, str(view.path), "train one on this corpus")
