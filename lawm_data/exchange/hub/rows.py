"""Two Parquet tables of a view: one row per step, one row per trajectory.

Column names are those of the arrays, behind ``observation.``. An action that the view does not show
is a list of nulls, and never a number: a null in place of the list would keep ``datasets`` from
making arrays of a batch that begins with one. So is a latent action that is not known. Rewards that
were never recorded are null. Pixels are PNG files, lossless.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lawm_schemas import ArraySpec, LatentSet, Manifest, Role

from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.latents import CODE, LATENT
from lawm_data.corpus.trajectory import Trajectory
from lawm_data.system.atomic import storage_errors
from lawm_data.system.optional import optional
from lawm_data.system.parquet import parquet_writer

PIECE_BYTES = 256 << 20
"""Size, before compression, that one file holds."""
GROUP_BYTES = 16 << 20
"""Size of a row group, likewise: what is in memory at a time."""
CHANNELS = (1, 3, 4)
"""Channels that a PNG file can hold; images of other numbers become lists."""
SAME = (
    *("id", "length", "num_observed", "terminated", "truncated"),
    *("source", "agent_step", "seed"),
)
"""Columns of the table of trajectories that are fields of ``TrajectoryInfo``."""
Arrow = Mapping[str, Any]
"""Arrow types, or arrays, by name."""
Read = Callable[[Corpus, range], Arrow]


def require_packages(manifest: Manifest) -> None:
    """Refuse at once what could not be written later.

    Raises:
        ConfigError: names the package that is missing.
    """
    images = any(_is_image(spec) for spec in manifest.observations)
    for name in ("pyarrow", *(("PIL",) if images else ())):
        optional(name, "hub", "hub")


def pieces(view: Corpus, steps: bool) -> list[range]:
    """Divide a view between files: runs of trajectories of about equal size.

    Args:
        view: the trajectories.
        steps: divide the table of steps, or else that of trajectories.
    """
    row = sum(spec.size * np.dtype(spec.dtype).itemsize for spec in view.manifest.observations)
    row += view.manifest.action.size * np.dtype(view.manifest.action.dtype).itemsize + 16
    rows = view.table.length if steps else np.ones(len(view), np.int64)
    return list(_runs(rows * row, PIECE_BYTES))


def write_steps(view: Corpus, which: range, path: Path) -> None:
    """Write the steps of some trajectories: row t holds o_t, the action a_t and its reward."""
    _write(view, which, path, _step_columns(view), _steps)


def write_trajectories(view: Corpus, which: range, path: Path) -> None:
    """Write a row for each of some trajectories, with its final observation."""
    _write(view, which, path, _trajectory_columns(view.manifest), _trajectories)


def _runs(sizes: np.ndarray, most: int, start: int = 0) -> Iterator[range]:
    """Runs of neighbours that are together about as large as ``most``, or larger alone."""
    first, total = start, 0
    for i, size in enumerate(sizes.tolist(), start):
        if total and total + size > most:
            yield range(first, i)
            first, total = i, 0
        total += size
    yield range(first, start + len(sizes))


def _write(view: Corpus, which: range, path: Path, columns: Arrow, read: Read) -> None:
    import pyarrow as pa

    specs = view.manifest.observations
    pictures = {spec.name for spec in specs if _is_image(spec)}
    # this metadata tells ``datasets`` which columns hold pictures
    kinds = {c: {"_type": "Image"} for c in columns if c.partition(".")[2] in pictures}
    metadata = {"huggingface": json.dumps({"info": {"features": kinds}})} if kinds else None
    schema = pa.schema(list(columns.items()), metadata=metadata)
    width = sum(spec.size * np.dtype(spec.dtype).itemsize for spec in specs) + 1
    sizes = view.table.length[which.start : which.stop] * width
    with storage_errors(path), parquet_writer()(path, schema, compression="zstd") as writer:
        for some in _runs(sizes, GROUP_BYTES, which.start):
            arrays = read(view, some)
            typed = [pa.array(arrays[name], kind) for name, kind in columns.items()]
            writer.write_table(pa.Table.from_arrays(typed, schema=schema))


def _step_columns(view: Corpus) -> dict[str, Any]:
    import pyarrow as pa

    manifest, latents = view.manifest, {}
    if view.latents is not None:
        latents[LATENT] = _type(_latent(view.latents))
        if view.latents.codes is not None:
            latents[CODE] = pa.int32()
    return {
        "trajectory_id": pa.string(),
        "step": pa.int64(),
        **{f"observation.{spec.name}": _type(spec) for spec in manifest.observations},
        "action": _type(manifest.action),
        "action_observed": pa.bool_(),
        "action_state": pa.string(),
        **latents,
        "reward": pa.float32(),
        "terminated": pa.bool_(),
        "truncated": pa.bool_(),
    }


def _steps(view: Corpus, which: range) -> dict[str, Any]:
    import pyarrow as pa

    some, manifest = [view[i] for i in which], view.manifest
    unrewarded = np.repeat([not one.is_rewarded for one in some], [len(one) for one in some])
    observed = np.concatenate([one.action_observed for one in some])
    action, states = manifest.action, []
    actions = np.zeros((len(observed), *action.shape), action.dtype)
    end = 0
    for one in some:
        begin, end = end, end + len(one)
        if one.actions is not None and one.action_observed.any():
            actions[begin:end] = one.actions
        state = one.labels.value
        if state == "observed":  # what a partially labeled trajectory lacks is missing
            states += ["observed" if seen else "missing" for seen in one.action_observed]
        else:
            states += [state] * len(one)
    columns: dict[str, Any] = {
        "trajectory_id": [one.info.id for one in some for _ in range(len(one))],
        "step": np.concatenate([np.arange(len(one)) for one in some]),
        "action": _arrow(actions, action, observed),
        "action_observed": observed,
        "action_state": states,
        "reward": pa.array(np.concatenate([one.rewards for one in some]), mask=unrewarded),
        "terminated": np.concatenate([one.terminated for one in some]),
        "truncated": np.concatenate([one.truncated for one in some]),
    }
    if view.latents is not None:
        columns |= _latent_columns(some, view.latents)
    arrays = [one.arrays(manifest.observations) for one in some]
    for spec in manifest.observations:
        rows = np.concatenate([found[spec.name][:-1] for found in arrays])
        columns[f"observation.{spec.name}"] = _arrow(rows, spec)
    return columns


def _latent(latents: LatentSet) -> ArraySpec:
    return ArraySpec(name=LATENT, shape=(latents.width,))


def _latent_columns(some: Sequence[Trajectory], latents: LatentSet) -> dict[str, Any]:
    import pyarrow as pa

    each = [(one.latents, len(one)) for one in some if one.latents is not None]
    known = np.concatenate([found.known(length) for found, length in each])
    values = np.concatenate([found.filled(length) for found, length in each])
    columns = {LATENT: _arrow(values, _latent(latents), known)}
    if latents.codes is not None:
        codes = np.concatenate([found.filled_codes(length) for found, length in each])
        columns[CODE] = pa.array(codes, mask=~known)
    return columns


def _trajectory_columns(manifest: Manifest) -> dict[str, Any]:
    import pyarrow as pa

    text, whole = pa.string(), pa.int64()
    return {
        "id": text,
        "length": whole,
        "return": pa.float64(),
        "labels": text,
        "num_observed": whole,
        "terminated": pa.bool_(),
        "truncated": pa.bool_(),
        "source": text,
        "agent_step": whole,
        "seed": pa.uint64(),
        "provenance": text,
        "metadata": text,
        **{f"final_observation.{spec.name}": _type(spec) for spec in manifest.observations},
    }


def _trajectories(view: Corpus, which: range) -> dict[str, Any]:
    some, manifest = [view[i] for i in which], view.manifest
    infos, sources = [one.info for one in some], view.table.provenance[which.start : which.stop]
    columns: dict[str, Any] = {
        "return": [one.info.episode_return if one.is_rewarded else None for one in some],
        "labels": [info.labels.value for info in infos],
        "provenance": [manifest.provenance[entry].model_dump_json() for entry in sources],
        "metadata": [json.dumps(info.metadata, ensure_ascii=False) for info in infos],
    }
    for name in SAME:
        columns[name] = [getattr(info, name) for info in infos]
    arrays = [one.arrays(manifest.observations) for one in some]
    seen = np.array([one.final_observed for one in some])
    for spec in manifest.observations:
        rows = np.stack([found[spec.name][-1] for found in arrays])
        columns[f"final_observation.{spec.name}"] = _arrow(rows, spec, seen)
    return columns


def _type(spec: ArraySpec) -> Any:
    """The Arrow type of one row of an array: fixed lists inside each other, or an image."""
    import pyarrow as pa

    if _is_image(spec):
        return pa.struct({"bytes": pa.binary(), "path": pa.string()})
    kind = pa.from_numpy_dtype(np.dtype(spec.dtype))
    for size in reversed(spec.shape):
        kind = pa.list_(kind, size)
    return kind


def _arrow(rows: np.ndarray, spec: ArraySpec, shown: np.ndarray | None = None) -> Any:
    """(R, *shape) as an Arrow array; the elements of rows that are not shown are null."""
    import pyarrow as pa

    if _is_image(spec):
        kept = np.ones(len(rows), bool) if shown is None else shown
        pictures = [
            {"bytes": _png(row), "path": None} if it else None
            for row, it in zip(rows, kept, strict=True)
        ]
        return pa.array(pictures, _type(spec))
    hidden = None if shown is None else np.repeat(~shown, spec.size)
    values: Any = pa.array(np.ascontiguousarray(rows).reshape(-1), mask=hidden)
    for size in reversed(spec.shape):
        values = pa.FixedSizeListArray.from_arrays(values, size)
    return values


def _is_image(spec: ArraySpec) -> bool:
    # PNG has 16 bits for grey alone, as Pillow writes it
    channels = CHANNELS if spec.dtype == "uint8" else (1,)
    return spec.role is Role.pixels and spec.shape[-1] in channels


def _png(image: np.ndarray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file, "png")
    return file.getvalue()
