"""Writing a Minari dataset through Minari's own client, chunk by chunk."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
from lawm_schemas import Manifest, Role

from lawm_data.corpus.latents import CODE, LATENT
from lawm_data.exchange.formats._hdf5_sidecar import Sink
from lawm_data.exchange.formats._protocol import Episode, Outgoing
from lawm_data.exchange.formats.minari.metadata import ROOT, SIDECAR
from lawm_data.exchange.formats.minari.sidecar import (
    DEVIATION,
    INFERRED,
    OBSERVED,
    PHYSICS,
    episode_attributes,
    sidecar_of,
)
from lawm_data.exchange.formats.minari.spaces import space_of, stored, unknown
from lawm_data.system.atomic import require_space, storage_errors, write_file
from lawm_data.system.optional import optional

CHUNK_BYTES, CHUNK_EPISODES = 1 << 25, 512
"""What is handed to Minari at once."""
ARRAY_BYTES = 1 << 14
"""More than what HDF5 adds to an array of an episode: its header, its index, a chunk's rest."""
NAMESPACE = "namespace_metadata.json"


def write_dataset(outgoing: Outgoing, path: Path, place: str) -> None:
    """Write the dataset ``place`` into the folder ``path``.

    Raises:
        ConfigError: Minari is missing.
        StorageError: the file system refused.
    """
    minari = minari_package(place)
    manifest = outgoing.view.manifest
    sources = {entry.to_json(): i for i, entry in enumerate(manifest.provenance)}
    dataset, count = None, 0
    root = path / ".root"
    with storage_errors(path), _writing_to(root), _hdf5_through_sinks():
        for chunk in _chunks(outgoing):
            buffers = [_buffer(one, count + i, outgoing) for i, one in enumerate(chunk)]
            require_space(path, sum(map(_most_bytes, buffers)))
            if dataset is None:
                dataset = _create(minari, place, buffers, outgoing)
            else:
                dataset.update_dataset_from_buffer(buffers)
            attributes = [episode_attributes(one, sources) for one in chunk]
            dataset.storage.update_episode_metadata(attributes, range(count, count + len(chunk)))
            count += len(chunk)
        assert dataset is not None
        metadata: dict[str, Any] = {SIDECAR: sidecar_of(outgoing)}
        if manifest.environment is not None and manifest.environment.suite == "gym":
            gymnasium: Any = import_module("gymnasium")
            spec = gymnasium.registry.get(manifest.environment.task)
            if spec is not None:
                metadata["env_spec"] = spec.to_json()
        dataset.storage.update_metadata(metadata)
        (root / place / "data").rename(path / "data")
        shutil.rmtree(root)


def minari_package(place: str) -> Any:
    """The package.

    Raises:
        ConfigError: it, or what it needs to write HDF5, is missing.
    """
    optional("PIL.Image", "minari", f"minari:{place}")  # minari imports it and does not declare it
    return optional("minari", "minari", f"minari:{place}")


class _File(h5py.File):
    """A file that Minari opens, of which HDF5 never learns that the disk is full.

    Raises:
        OSError: when it is closed, what a write met.
    """

    def __init__(self, path: Path, mode: str = "r", **options: Any) -> None:
        self._sink = Sink(path, "r+b" if mode == "a" else "rb")
        # Minari makes an empty file and appends to it
        if mode == "a":
            mode = "r+" if path.stat().st_size else "w"
        super().__init__(self._sink, mode, **options)

    def close(self) -> None:
        super().close()
        self._sink.close()
        if self._sink.error is not None:
            raise self._sink.error


@contextmanager
def _hdf5_through_sinks() -> Iterator[None]:
    """Let Minari's storage open its files as ``_File``."""
    storage: Any = import_module("minari.dataset._storages.hdf5_storage")
    before = storage.h5py
    storage.h5py = SimpleNamespace(**{**vars(before), "File": _File})
    try:
        yield
    finally:
        storage.h5py = before


@contextmanager
def _writing_to(root: Path) -> Iterator[None]:
    """Let Minari take a folder for that of all datasets, and keep its advice to itself."""
    before = os.environ.get(ROOT)
    root.mkdir(parents=True)
    os.environ[ROOT] = str(root)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if before is None:
            del os.environ[ROOT]
        else:
            os.environ[ROOT] = before


def _chunks(outgoing: Outgoing) -> Iterator[list[Episode]]:
    chunk: list[Episode] = []
    size = 0
    for episode in outgoing:
        chunk.append(episode)
        size += sum(array.nbytes for array in episode.observations.values())
        if size >= CHUNK_BYTES or len(chunk) == CHUNK_EPISODES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _create(minari: Any, place: str, buffers: list[Any], outgoing: Outgoing) -> Any:
    manifest = outgoing.view.manifest
    specs = _observed(manifest)
    space = space_of(specs[0])
    if len(specs) > 1:
        spaces: Any = import_module("gymnasium.spaces")
        space = spaces.Dict({spec.name: space_of(spec) for spec in specs})
    counts = outgoing.view.label_counts()
    states = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    return minari.create_dataset_from_buffers(
        place,
        buffers,
        observation_space=space,
        action_space=space_of(manifest.action),
        algorithm_name=", ".join(dict.fromkeys(entry.source for entry in manifest.provenance)),
        description=(
            f"{len(outgoing)} trajectories, actions: {states}. Where infos/{OBSERVED} is false the "
            "action is not known and stands as NaN (integers: the end of their type)."
        ),
        data_format="hdf5",
        jpeg_encoding=False,
    )


def _observed(manifest: Manifest) -> list[Any]:
    return [spec for spec in manifest.observations if spec.role is not Role.physics]


def _buffer(episode: Episode, number: int, outgoing: Outgoing) -> Any:
    """One episode as Minari takes it."""
    manifest, length = outgoing.view.manifest, len(episode.rewards)
    specs = _observed(manifest)
    arrays = {spec.name: stored(episode.observations[spec.name], spec) for spec in specs}
    spec, last = manifest.action, np.arange(length) == length - 1
    like = stored(np.zeros((1, *spec.shape), spec.dtype), spec)[0]
    actions = np.full((length, *like.shape), unknown(spec), like.dtype)
    seen = _seen(episode)
    if episode.actions is not None:
        actions[seen] = stored(episode.actions[seen], spec)
    infos = {OBSERVED: np.append(seen, False)[:, None]}
    for other in manifest.observations:
        if other.role is Role.physics:
            infos[PHYSICS] = episode.observations[other.name]
    if outgoing.view.overlay is not None:
        for name, place in ((INFERRED, 0), (DEVIATION, 1)):
            infos[name] = np.full((length + 1, spec.size), np.nan, np.float32)
            if episode.inferred is not None:
                infos[name][:-1] = episode.inferred[place]
    if episode.latents is not None:  # with a row for the last observation, as all infos have
        infos[LATENT] = episode.latents.filled(length + 1, np.nan)
        if episode.latents.codes is not None:
            infos[CODE] = episode.latents.filled_codes(length + 1)[:, None]
    buffer: Any = import_module("minari.data_collector.episode_buffer")
    return buffer.EpisodeBuffer(
        id=number,
        seed=episode.seed,
        observations=arrays if len(specs) > 1 else arrays[specs[0].name],
        actions=actions,
        rewards=episode.rewards,
        terminations=last & episode.terminated,
        truncations=last & episode.truncated,
        infos=infos,
    )


def _most_bytes(buffer: Any) -> int:
    """Bytes of an episode in the file, at most."""
    observed = buffer.observations
    arrays = [
        *(observed.values() if isinstance(observed, dict) else [observed]),
        *(buffer.actions, buffer.rewards, buffer.terminations, buffer.truncations),
        *buffer.infos.values(),
    ]
    return sum(2 * array.nbytes + ARRAY_BYTES for array in arrays)


def _seen(episode: Episode) -> np.ndarray:
    """(T,) bool."""
    if episode.action_observed is not None:
        return episode.action_observed
    return np.full(len(episode.rewards), episode.actions is not None)


def declare_namespaces(place: str, folder: Path) -> None:
    """Give the namespaces of a dataset the files by which Minari knows them.

    Args:
        place: id of the dataset.
        folder: the folder that it is in.
    """
    for _ in place.split("/")[:-1]:
        if not (folder / NAMESPACE).exists():
            write_file(folder / NAMESPACE, b"{}")
        folder = folder.parent
