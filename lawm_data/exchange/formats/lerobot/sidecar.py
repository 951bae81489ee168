"""``meta/lawm``: what a LeRobot set cannot say, so that the corpus comes back to the bit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lawm_schemas import (
    ArraySpec,
    ConfigError,
    CorpusError,
    EnvironmentInfo,
    LineageStep,
    Mask,
    Overlay,
    Provenance,
)

from lawm_data.corpus.mask import NAME
from lawm_data.exchange.formats._protocol import Episode, Outgoing
from lawm_data.exchange.formats.lerobot import features as names
from lawm_data.exchange.formats.lerobot.features import Feature
from lawm_data.exchange.formats.lerobot.info import inside, read_json
from lawm_data.exchange.formats.lerobot.parquet import (
    ParquetFile,
    Table,
    frame_schema,
    from_column,
    pictures,
    pyarrow,
    to_column,
)
from lawm_data.exchange.untrusted.strict_json import strict_json
from lawm_data.system.atomic import write_file
from lawm_data.system.images import decode, encode_png

FOLDER, ABOUT, TRAJECTORIES, MASKS = "meta/lawm", "corpus.json", "trajectories.parquet", "masks"
FINAL = "final/"
"""What the names of columns with the last observation begin with."""
HINT = "restore it, or remove meta/lawm to import the set as any other"
_TOLD = {
    "id": "string",
    "length": "int64",
    "terminated": "bool",
    "truncated": "bool",
    "provenance": "int64",
    "agent_step": "int64",
    "seed": "int64",
    "metadata": "string",
    "labels": "string",
}


class SidecarWriter:
    """The sidecar of a set in the making."""

    def __init__(
        self, root: Path, outgoing: Outgoing, features: Sequence[Feature], videos: bool
    ) -> None:
        self._features, self._sources = features, list(outgoing.view.manifest.provenance)
        folder = root / FOLDER
        folder.mkdir(parents=True)
        write_file(folder / ABOUT, _about(outgoing, videos).encode())
        for mask in outgoing.masks:
            (folder / MASKS).mkdir(exist_ok=True)
            write_file(folder / MASKS / f"{mask.name}.json", mask.to_json().encode())
        self._schema = frame_schema(_types(features))
        self._file = ParquetFile(folder / TRAJECTORIES, self._schema)

    def add(self, episode: Episode) -> None:
        """Write the row of a trajectory."""
        pa = pyarrow()
        row = {
            "id": episode.trajectory_id,
            "length": len(episode.rewards),
            "terminated": episode.terminated,
            "truncated": episode.truncated,
            "provenance": self._sources.index(episode.provenance),
            "agent_step": episode.agent_step,
            "seed": episode.seed,
            "metadata": json.dumps(dict(episode.metadata), allow_nan=False),
            "labels": episode.labels.value if episode.labels else "",
        }
        columns = {name: pa.array([row[name]], self._schema.field(name).type) for name in row}
        for feature in self._features:
            columns[FINAL + feature.name] = _final(feature, episode)
        arrays = [columns[name] for name in self._schema.names]
        self._file.add(pa.Table.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        """End the file."""
        self._file.close()


class Ending(NamedTuple):
    """What the sidecar knows of a trajectory."""

    told: dict[str, Any]
    """Its row, without the last observation."""
    observations: dict[str, np.ndarray]
    """The last observation by name, (1, *shape)."""


class Sidecar(NamedTuple):
    """A sidecar, opened; its rows are read one by one."""

    folder: Path
    observations: tuple[ArraySpec, ...]
    action: ArraySpec
    features: tuple[Feature, ...]
    """Which features hold which arrays."""
    provenance: tuple[Provenance, ...]
    environment: EnvironmentInfo | None
    licence: str | None
    lineage: tuple[LineageStep, ...]
    masks: tuple[Mask, ...]
    overlay: Overlay | None
    table: Table

    def endings(self) -> Iterator[Ending]:
        """The rows, one for each trajectory."""
        row_bytes = sum(f.width * np.dtype(f.dtype).itemsize for f in self.features) + 1000
        for batch in self.table.batches(row_bytes):
            for name, kind in _TOLD.items():
                if str(batch.schema.field(name).type) != kind:
                    raise CorpusError(f"{name} is not {kind}", str(self.table.path), HINT)
            told = batch.select(list(_TOLD)).to_pylist()
            finals = [self._finals(feature, batch) for feature in self.features]
            for i, row in enumerate(told):
                last: dict[str, np.ndarray] = {}
                for part in finals:
                    last |= {name: array[i : i + 1] for name, array in part.items()}
                yield Ending(self._checked(row), last)

    def _finals(self, feature: Feature, batch: Any) -> dict[str, np.ndarray]:
        where = f"{self.table.path}: {FINAL}{feature.name}"
        column = batch.column(FINAL + feature.name)
        if feature.storage == "numbers":
            rows, there = from_column(column, feature.width, where)
            if not there.all() or rows.dtype != np.dtype(feature.dtype):
                raise CorpusError(f"is not all {feature.dtype}", where, HINT)
            return names.parted(feature, rows)
        spec = feature.arrays[0]
        found = [decode(_bytes(p, where), spec.shape[2], where) for p in column.to_pylist()]
        if any(picture.shape != spec.shape for picture in found):
            raise CorpusError(f"has pictures that are not {spec.shape}", where, HINT)
        return {spec.name: np.stack(found)}

    def _checked(self, row: dict[str, Any]) -> dict[str, Any]:
        where = f"{self.table.path}: {row['id']}"
        needed = ("id", "length", "terminated", "truncated", "provenance", "metadata")
        if any(row[name] is None for name in needed):
            raise CorpusError("is incomplete", where, HINT)
        if not 0 <= row["provenance"] < len(self.provenance):
            raise CorpusError(f"has no source {row['provenance']}", where, HINT)
        row["metadata"] = strict_json(row["metadata"], f"{where}: metadata")
        if not isinstance(row["metadata"], dict):
            raise CorpusError("has metadata that are not a JSON object", where, HINT)
        return row


def read_sidecar(root: Path) -> Sidecar | None:
    """The sidecar of a set, none when it has none.

    Raises:
        CorpusError: it is damaged.
    """
    folder = root / FOLDER
    if not folder.exists():
        return None
    try:
        told = _object(root)
        observations = tuple(ArraySpec.parse(s, str(folder / ABOUT)) for s in told["observations"])
        features = names.features_of(observations, bool(told["videos"]))
        where = str(folder / ABOUT)
        environment, overlay = told["environment"], told["overlay"]
        return Sidecar(
            folder=folder,
            observations=observations,
            action=ArraySpec.parse(told["action"], where),
            features=features,
            provenance=tuple(Provenance.parse(entry, where) for entry in told["provenance"]),
            environment=None if environment is None else EnvironmentInfo.parse(environment, where),
            licence=told["licence"],
            lineage=tuple(LineageStep.parse(step, where) for step in told["lineage"]),
            masks=tuple(_mask(root, name) for name in told["masks"]),
            overlay=None if overlay is None else Overlay.parse(overlay, where),
            table=Table(
                inside(root, f"{FOLDER}/{TRAJECTORIES}"),
                [*_TOLD, *(FINAL + f.name for f in features)],
            ),
        )
    except ConfigError as error:
        raise CorpusError(error.what, error.where, HINT) from None
    except (KeyError, TypeError, IndexError) as error:
        what = f"is not what was written ({type(error).__name__}: {error})"
        raise CorpusError(what, str(folder / ABOUT), HINT) from None


def _about(outgoing: Outgoing, videos: bool) -> str:
    manifest, overlay = outgoing.view.manifest, outgoing.view.overlay
    told = {
        "version": 1,
        "observations": [spec.model_dump(mode="json") for spec in manifest.observations],
        "action": manifest.action.model_dump(mode="json"),
        "videos": videos,
        "environment": manifest.environment and manifest.environment.model_dump(mode="json"),
        "licence": manifest.licence,
        "provenance": [entry.model_dump(mode="json") for entry in manifest.provenance],
        "lineage": [step.model_dump(mode="json") for step in outgoing.lineage],
        "masks": [mask.name for mask in outgoing.masks],
        "overlay": overlay and overlay.model_dump(mode="json"),
    }
    return json.dumps(told, indent=2) + "\n"


def _types(features: Sequence[Feature]) -> dict[str, dict[str, Any]]:
    types = {name: {"dtype": kind, "_type": "Value"} for name, kind in _TOLD.items()}
    for feature in features:
        value: dict[str, Any] = {"dtype": feature.dtype, "_type": "Value"}
        if feature.storage != "numbers":
            value = {"_type": "Image"}
        elif feature.width > 1:
            value = {"feature": value, "length": feature.width, "_type": "List"}
        types[FINAL + feature.name] = value
    return types


def _final(feature: Feature, episode: Episode) -> Any:
    if feature.storage != "numbers":
        return pictures([encode_png(episode.observations[feature.arrays[0].name][-1])])
    last = {spec.name: episode.observations[spec.name][-1:] for spec in feature.arrays}
    return to_column(names.joined(feature, last).astype(feature.dtype))


def _bytes(picture: Any, where: str) -> bytes:
    data = picture.get("bytes") if isinstance(picture, dict) else None
    if not isinstance(data, bytes):
        raise CorpusError("has no picture", where, HINT)
    return data


def _object(root: Path) -> dict[str, Any]:
    told = read_json(root, f"{FOLDER}/{ABOUT}")
    if not isinstance(told, dict) or told.get("version") != 1:
        version = told.get("version") if isinstance(told, dict) else None
        raise CorpusError(f"has version {version!r}, not 1", str(root / FOLDER / ABOUT), HINT)
    return told


def _mask(root: Path, name: Any) -> Mask:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise CorpusError(f"has a mask {name!r}", str(root / FOLDER), HINT)
    path = f"{FOLDER}/{MASKS}/{name}.json"
    mask = Mask.parse(read_json(root, path), str(root / path))
    if mask.name != name:
        raise CorpusError(f"is named {mask.name!r} inside", str(root / path), HINT)
    return mask
