"""Minari datasets: everything a corpus knows, in files that Minari's own client reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lawm_schemas import CorpusError, LabelState, StorageError

from lawm_data.exchange.formats._protocol import About, Episode, Incoming, Outgoing
from lawm_data.exchange.formats.minari.episodes import (
    ArrowEpisodes,
    Hdf5Episodes,
    files_of,
    open_episodes,
)
from lawm_data.exchange.formats.minari.metadata import HINT, Metadata, dataset_folder, read_metadata
from lawm_data.exchange.formats.minari.reader import (
    Plan,
    convert,
    environment_of,
    plan_of,
    wants_unrecorded,
)
from lawm_data.exchange.formats.minari.sidecar import Own, read_own, restore
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
    settings={"nan": "import: missing, where NaN in the place of actions means not recorded"},
)


def read(place: str, settings: Mapping[str, Any]) -> Incoming:
    """Open a dataset below ``MINARI_DATASETS_PATH``; our own exports come back as they were."""
    unrecorded = wants_unrecorded(settings)
    metadata = read_metadata(place)
    own, episodes = read_own(metadata), open_episodes(metadata)
    if own is not None:
        return Incoming(
            observations=own.manifest.observations,
            action=own.manifest.action,
            trajectories=_restored(episodes, own, metadata),
            count=metadata.episodes,
            name=place,
            files=files_of(metadata),
            environment=own.manifest.environment,
            licence=own.manifest.licence,
            masks=own.masks,
            overlay=own.overlay,
            lineage=own.manifest.lineage,
        )
    plan = plan_of(metadata, unrecorded)
    return Incoming(
        observations=tuple(leaf.spec for leaf in plan.observations),
        action=plan.action,
        trajectories=_converted(episodes, plan, metadata),
        count=metadata.episodes,
        name=place,
        files=files_of(metadata),
        environment=environment_of(metadata, plan.say),
        said=plan.said,
    )


def _restored(
    episodes: Hdf5Episodes | ArrowEpisodes, own: Own, metadata: Metadata
) -> Iterator[Episode]:
    return _counted((restore(episodes.open(i), own) for i in range(metadata.episodes)), metadata)


def _converted(
    episodes: Hdf5Episodes | ArrowEpisodes, plan: Plan, metadata: Metadata
) -> Iterator[Episode]:
    return _counted((convert(episodes.open(i), plan) for i in range(metadata.episodes)), metadata)


def _counted(trajectories: Iterator[Episode], metadata: Metadata) -> Iterator[Episode]:
    """The trajectories, whose steps must be as many as the metadata says."""
    steps = 0
    for episode in trajectories:
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
    path.mkdir()
    write_dataset(outgoing, path, place)
    declare_namespaces(place, path.parent)
    return ()
