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
    LatentSet,
    LineageStep,
    Mask,
    Overlay,
    Provenance,
)

from lawm_data.corpus.mask import NAME
from lawm_data.exchange.formats._protocol import Episode, Outgoing
from lawm_data.exchange.formats.lerobot import features as names
from lawm_data.exchange.formats.lerobot.features import Feature
from lawm_data.exchange.formats.lerobot.layout import inside, read_json
from lawm_data.exchange.formats.lerobot.parquet import (
    BATCH_BYTES,
    ParquetReader,
    ParquetWriter,
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
ROWS_AT_ONCE = 256
"""Rows that wait at most."""
HINT = "restore it, or remove meta/lawm to import the set as any other"
_COLUMNS = {
    "id": "string",
    "length": "int64",
    "terminated": "bool",
    "truncated": "bool",
    "provenance": "int64",
    "agent_step": "int64",
    "seed": "uint64",
    "metadata": "string",
    "labels": "string",
}
INFERRED = "inferred"
"""The column that says whether a trajectory has inferred actions; earlier sets have none."""


class SidecarWriter:
    """The sidecar of a set in the making."""

    def __init__(
        self, root: Path, outgoing: Outgoing, features: Sequence[Feature], videos: bool
    ) -> None:
        self._features, self._sources = features, outgoing.view.table.provenance
        self._rows: list[dict[str, Any]] = []
        self._count = self._bytes = 0
        folder = root / FOLDER
        folder.mkdir(parents=True)
        manifest, overlay = outgoing.view.manifest, outgoing.view.overlay
        latents = outgoing.view.latents
        about = {
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
            "latents": latents and latents.model_dump(mode="json"),
        }
        write_file(folder / ABOUT, (json.dumps(about, indent=2) + "\n").encode())
        for mask in outgoing.masks:
            (folder / MASKS).mkdir(exist_ok=True)
            write_file(folder / MASKS / f"{mask.name}.json", mask.to_json().encode())
        types = {name: {"dtype": kind, "_type": "Value"} for name, kind in _COLUMNS.items()}
        types[INFERRED] = {"dtype": "bool", "_type": "Value"}
        for feature in features:
            value: dict[str, Any] = {"dtype": feature.dtype, "_type": "Value"}
            if feature.storage != "numbers":
                value = {"_type": "Image"}
            elif feature.width > 1:
                value = {"feature": value, "length": feature.width, "_type": "List"}
            types[FINAL + feature.name] = value
        self._schema = frame_schema(types)
        self._file = ParquetWriter(folder / TRAJECTORIES, self._schema)

    def add(self, episode: Episode) -> None:
        """Write the row of a trajectory."""
        row: dict[str, Any] = {
            "id": episode.trajectory_id,
            "length": len(episode.rewards),
            "terminated": episode.terminated,
            "truncated": episode.truncated,
            "provenance": int(self._sources[self._count]),
            "agent_step": episode.agent_step,
            "seed": episode.seed,
            "metadata": json.dumps(dict(episode.metadata), allow_nan=False),
            "labels": episode.labels.value if episode.labels else "",
            INFERRED: episode.inferred is not None,
        }
        for feature in self._features:
            last = {spec.name: episode.observations[spec.name][-1:] for spec in feature.arrays}
            if feature.storage == "numbers":
                final = names.joined(feature, last).astype(feature.dtype)
                self._bytes += final.nbytes
            else:
                final = encode_png(last[feature.arrays[0].name][0])
                self._bytes += len(final)
            row[FINAL + feature.name] = final
        self._rows.append(row)
        self._count += 1
        if len(self._rows) == ROWS_AT_ONCE or self._bytes >= BATCH_BYTES:
            self._flush()

    def close(self) -> None:
        """End the file."""
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        if not self._rows:
            return
        pa, columns = pyarrow(), {}
        for name in self._schema.names:
            columns[name] = [row[name] for row in self._rows]
        for feature in self._features:
            name = FINAL + feature.name
            whole = feature.storage == "numbers"
            found = columns[name]
            columns[name] = to_column(np.concatenate(found)) if whole else pictures(found)
        arrays = [
            pa.array(column, self._schema.field(name).type) if isinstance(column, list) else column
            for name, column in columns.items()
        ]
        self._file.add(pa.Table.from_arrays(arrays, schema=self._schema))
        self._rows, self._bytes = [], 0


class Ending(NamedTuple):
    """What the sidecar knows of a trajectory."""

    row: dict[str, Any]
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
    latents: LatentSet | None
    table: ParquetReader

    def endings(self) -> Iterator[Ending]:
        """The rows, one for each trajectory."""
        row_bytes = sum(f.width * np.dtype(f.dtype).itemsize for f in self.features) + 1000
        for batch in self.table.batches(row_bytes):
            for name, kind in _COLUMNS.items():
                # seeds had a sign before they had 64 bits
                kinds = (kind, "int64") if name == "seed" else (kind,)
                if str(batch.schema.field(name).type) not in kinds:
                    raise CorpusError(f"{name} is not {kind}", str(self.table.path), HINT)
            known = [*_COLUMNS, *([INFERRED] if INFERRED in batch.schema.names else [])]
            finals: dict[str, np.ndarray] = {}
            for feature in self.features:
                finals |= self._last_observations(feature, batch)
            for i, row in enumerate(batch.select(known).to_pylist()):
                self._check(row)
                yield Ending(row, {name: array[i : i + 1] for name, array in finals.items()})

    def _last_observations(self, feature: Feature, batch: Any) -> dict[str, np.ndarray]:
        """The arrays of a feature in the last frame, (n, *shape) for n trajectories."""
        where = f"{self.table.path}: {FINAL}{feature.name}"
        column = batch.column(FINAL + feature.name)
        if feature.storage == "numbers":
            rows, there = from_column(column, feature.width, where)
            if not there.all() or rows.dtype != np.dtype(feature.dtype):
                raise CorpusError(f"is not all {feature.dtype}", where, HINT)
            return names.parted(feature, rows)
        spec, found = feature.arrays[0], []
        for picture in column.to_pylist():
            data = picture.get("bytes") if isinstance(picture, dict) else None
            if not isinstance(data, bytes):
                raise CorpusError("has no picture", where, HINT)
            found.append(decode(data, spec.shape[2], where))
        if any(picture.shape != spec.shape for picture in found):
            raise CorpusError(f"has pictures that are not {spec.shape}", where, HINT)
        return {spec.name: np.stack(found)}

    def _check(self, row: dict[str, Any]) -> None:
        """Refuse a row that is not what was written; parse its metadata."""
        where = f"{self.table.path}: {row['id']}"
        needed = ("id", "length", "terminated", "truncated", "provenance", "metadata")
        if any(row[name] is None for name in needed):
            raise CorpusError("is incomplete", where, HINT)
        if not 0 <= row["provenance"] < len(self.provenance):
            raise CorpusError(f"has no source {row['provenance']}", where, HINT)
        inferred = row.setdefault(INFERRED, row["labels"] == "inferred")
        if not isinstance(inferred, bool):
            raise CorpusError(f"does not say whether it is {INFERRED}", where, HINT)
        row["metadata"] = strict_json(row["metadata"], f"{where}: metadata")
        if not isinstance(row["metadata"], dict):
            raise CorpusError("has metadata that are not a JSON object", where, HINT)


def read_sidecar(root: Path) -> Sidecar | None:
    """The sidecar of a set, none when it has none.

    Raises:
        CorpusError: it is damaged.
    """
    folder = root / FOLDER
    if not folder.exists():
        return None
    where, about = str(folder / ABOUT), read_json(root, f"{FOLDER}/{ABOUT}")
    version = about.get("version") if isinstance(about, dict) else None
    if version != 1:
        raise CorpusError(f"has version {version!r}, not 1", where, HINT)
    try:
        observations = tuple(ArraySpec.parse(spec, where) for spec in about["observations"])
        features = names.features_of(observations, bool(about["videos"]))
        environment, overlay = about["environment"], about["overlay"]
        latents = about.get("latents")  # earlier sets have none
        return Sidecar(
            folder=folder,
            observations=observations,
            action=ArraySpec.parse(about["action"], where),
            features=features,
            provenance=tuple(Provenance.parse(entry, where) for entry in about["provenance"]),
            environment=None if environment is None else EnvironmentInfo.parse(environment, where),
            licence=about["licence"],
            lineage=tuple(LineageStep.parse(step, where) for step in about["lineage"]),
            masks=tuple(_mask(root, name) for name in about["masks"]),
            overlay=None if overlay is None else Overlay.parse(overlay, where),
            latents=None if latents is None else LatentSet.parse(latents, where),
            table=ParquetReader(
                inside(root, f"{FOLDER}/{TRAJECTORIES}"),
                [*_COLUMNS, *(FINAL + f.name for f in features)],
                [INFERRED],
            ),
        )
    except ConfigError as error:
        raise CorpusError(error.what, error.where, HINT) from None
    except (KeyError, TypeError, IndexError) as error:
        what = f"is not what was written ({type(error).__name__}: {error})"
        raise CorpusError(what, where, HINT) from None


def _mask(root: Path, name: Any) -> Mask:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise CorpusError(f"has a mask {name!r}", str(root / FOLDER), HINT)
    path = f"{FOLDER}/{MASKS}/{name}.json"
    mask = Mask.parse(read_json(root, path), str(root / path))
    if mask.name != name:
        raise CorpusError(f"is named {mask.name!r} inside", str(root / path), HINT)
    return mask
