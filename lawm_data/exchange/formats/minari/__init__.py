"""Minari datasets: everything a corpus knows, in files that Minari's own client reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lawm_schemas import CorpusError, LabelState, StorageError

from lawm_data.exchange.formats import _settings
from lawm_data.exchange.formats._protocol import About, Episode, Incoming, Outgoing
from lawm_data.exchange.formats.minari.episodes import files_of, open_episodes
from lawm_data.exchange.formats.minari.metadata import (
    HINT,
    DatasetMetadata,
    dataset_folder,
    read_metadata,
)
from lawm_data.exchange.formats.minari.reader import (
    convert,
    environment_of,
    nan_is_missing,
    plan_conversion,
)
from lawm_data.exchange.formats.minari.sidecar import read_sidecar, restore
from lawm_data.exchange.formats.minari.writer import (
    declare_namespaces,
    minari_package,
    write_dataset,
)

ABOUT = About(
    title="Minari 0.5, HDF5 storage; Arrow and Parquet are read, too",
    place="namespace/name-v0",
    extra="minari",
    reads=True,
    writes=True,
    label_states=tuple(LabelState),
    partial=True,
    arrays="all",
    alignment="a_t leaves o_t",
    final_observation=True,
    ends="both",
    pixels="lossless",
    metadata=True,
    streaming=True,
    latents=True,
    settings={
        "without": "import: arrays that are left out, such as a camera that cannot be read",
        "nan": "import: missing, where NaN in the place of actions means not recorded",
        **_settings.DECLARED,
    },
)


def read(place: str, settings: Mapping[str, Any]) -> Incoming:
    """Open a dataset below ``MINARI_DATASETS_PATH``; our own exports come back as they were."""
    unrecorded, without = nan_is_missing(settings), _settings.listed(settings, "without")
    metadata = read_metadata(place)
    sidecar, episodes = read_sidecar(metadata), open_episodes(metadata)
    if sidecar is not None:
        others = "other people's datasets, and this one is an export"
        _settings.require_none(settings, _settings.DECLARED, others)
        specs = sidecar.manifest.observations
        kept = _settings.kept(without, [spec.name for spec in specs])
        return Incoming(
            observations=tuple(spec for spec in specs if spec.name in kept),
            action=sidecar.manifest.action,
            trajectories=_counted(metadata, lambda i: restore(episodes.open(i), sidecar, without)),
            count=metadata.episodes,
            name=place,
            files=files_of(metadata),
            environment=sidecar.manifest.environment,
            licence=sidecar.manifest.licence,
            masks=sidecar.masks,
            overlay=sidecar.overlay,
            latents=sidecar.latents,
            lineage=sidecar.manifest.lineage,
            notes=[f"left out: {', '.join(without)}"] if without else [],
        )
    conversion = plan_conversion(metadata, unrecorded, without, settings)
    return Incoming(
        observations=tuple(leaf.spec for leaf in conversion.observations),
        action=conversion.action,
        trajectories=_counted(metadata, lambda i: convert(episodes.open(i), conversion)),
        count=metadata.episodes,
        name=place,
        files=files_of(metadata),
        environment=_settings.declared_environment(settings)
        or environment_of(metadata, conversion.note),
        notes=conversion.notes,
    )


def _counted(metadata: DatasetMetadata, read: Callable[[int], Episode]) -> Iterator[Episode]:
    """The trajectories by their number; their steps must be as many as the metadata says."""
    steps = 0
    for i in range(metadata.episodes):
        episode = read(i)
        steps += len(episode.rewards)
        yield episode
    if steps != metadata.steps:
        what = f"says {metadata.steps} steps, and there are {steps}"
        raise CorpusError(what, f"{metadata.where}: total_steps", HINT)


def locate(place: str) -> Path:
    """The folder of the dataset."""
    folder = dataset_folder(place)
    minari_package(place)
    for parent in folder.parents:
        if (parent / "data" / "metadata.json").exists():
            raise StorageError("lies inside a dataset", str(folder), "choose another name")
    return folder


def write(outgoing: Outgoing, path: Path, place: str, settings: Mapping[str, Any]) -> Sequence[str]:
    """Write a dataset with HDF5 storage, lossless, through Minari's own client."""
    _settings.require_none(settings, settings, "imports")
    path.mkdir()
    write_dataset(outgoing, path, place)
    declare_namespaces(place, path.parent)
    return ()
