"""robomimic: one HDF5 file, a group for each demonstration, filter keys that name some of them.

``data/demo_i`` holds ``actions``, ``rewards``, ``dones``, ``states``, ``obs/NAME`` and
``next_obs/NAME``, T rows each. Its reader puts zeros, silently, in the place of an array that a
demonstration lacks, and takes NaN for a number. So what is written under ``data`` has all its
actions; the others stand under ``unlabeled``, where no robomimic reader looks, with T + 1 rows of
``obs``, and ``actions`` only for the steps that have them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from lawm_schemas import ArraySpec, LabelState, Manifest, Role

from lawm_data.corpus.encode import compression
from lawm_data.corpus.layout import is_chunked
from lawm_data.exchange.formats._hdf5_writing import new_hdf5
from lawm_data.exchange.formats._own_hdf5 import encoded, write_own
from lawm_data.exchange.formats._protocol import About, Carried, Incoming, Outgoing
from lawm_data.exchange.formats._robomimic_layout import ENV_ARGS, GROUP
from lawm_data.exchange.formats._robomimic_recorded import recorded
from lawm_data.exchange.formats._robomimic_restored import restored
from lawm_data.exchange.formats._settings import DECLARED
from lawm_data.exchange.formats._single_hdf5 import read_file

ABOUT = About(
    title="robomimic, one HDF5 file",
    place="FILE.hdf5",
    extra=None,
    reads=True,
    writes=True,
    label_states=(LabelState.observed, LabelState.missing, LabelState.withheld),
    partial=True,
    arrays="all",
    alignment="a_t leaves o_t",
    final_observation=True,
    ends="both",
    pixels="lossless",
    metadata=True,
    streaming=True,
    settings=DECLARED,
)
GYM = 2
"""robomimic's number for environments that are made by name."""


def read(place: str, settings: Mapping[str, Any]) -> Incoming:
    """Open a file of demonstrations; see ``FormatModule.read``."""
    return read_file(place, settings, GROUP, restored, recorded)


def write(outgoing: Outgoing, path: Path, place: str, settings: Mapping[str, Any]) -> Sequence[str]:
    """Write a view; see ``FormatModule.write``."""
    manifest, metadata = outgoing.view.manifest, []
    place_of, total = {}, 0
    with new_hdf5(path, place) as writing:
        file = writing.file
        data, unlabeled = file.create_group("data"), file.create_group("unlabeled")
        for i, carried in enumerate(outgoing):
            metadata.append(encoded(carried.metadata))
            steps, name = len(carried.rewards), f"demo_{i}"
            whole = _is_complete(carried)
            demo = (data if whole else unlabeled).create_group(name)
            demo.attrs["num_samples"] = steps
            demo.attrs["labels"] = "" if carried.labels is None else carried.labels.value
            _write_steps(demo, carried, manifest)
            (_write_complete if whole else _write_incomplete)(demo, carried, manifest)
            total += steps if whole else 0
            place_of[carried.trajectory_id] = name
            writing.require_space()
        data.attrs["total"] = total
        data.attrs["env_args"] = _env_args(manifest)
        for mask in outgoing.masks:
            names = [place_of[labeled] for labeled in mask.labeled]
            file[f"mask/{mask.name}"] = np.array(names, "S")
        write_own(file.create_group(GROUP), outgoing, metadata)
        return _said(outgoing, len(data), len(unlabeled))


def _is_complete(carried: Carried) -> bool:
    observed = carried.action_observed
    return carried.actions is not None and (observed is None or bool(observed.all()))


def _write_steps(demo: h5py.Group, carried: Carried, manifest: Manifest) -> None:
    steps = len(carried.rewards)
    demo["rewards"] = carried.rewards
    demo["dones"] = np.arange(1, steps + 1) // steps * int(carried.terminated)
    for spec in manifest.observations:
        if spec.role is Role.physics:
            demo["states"] = carried.observations[spec.name][:-1]
            demo["final_state"] = carried.observations[spec.name][-1]


def _write_complete(demo: h5py.Group, carried: Carried, manifest: Manifest) -> None:
    demo["actions"] = _wide(carried.actions)
    for spec in manifest.observations:
        if spec.role is not Role.physics:
            array = _wide(carried.observations[spec.name])
            _store(demo, f"obs/{spec.name}", array[:-1], spec)
            _store(demo, f"next_obs/{spec.name}", array[1:], spec)


def _write_incomplete(demo: h5py.Group, carried: Carried, manifest: Manifest) -> None:
    if carried.actions is not None:
        demo["actions"] = _wide(carried.actions[carried.action_observed])
        demo["action_observed"] = carried.action_observed
    for spec in manifest.observations:
        if spec.role is not Role.physics:
            _store(demo, f"obs/{spec.name}", _wide(carried.observations[spec.name]), spec)


def _store(demo: h5py.Group, name: str, array: np.ndarray, spec: ArraySpec) -> None:
    storage = compression(spec) if is_chunked(spec) else {}
    demo.create_dataset(name, data=array, **storage)


def _wide(array: np.ndarray | None) -> np.ndarray:
    """Single numbers as rows of one, which is what robomimic expects."""
    assert array is not None
    return array[:, None] if array.ndim == 1 else array


def _env_args(manifest: Manifest) -> str:
    """The environment as the file said that this came from, or in robomimic's words."""
    known = {json.dumps(entry.settings.get(ENV_ARGS)) for entry in manifest.provenance}
    if len(known) == 1 and (text := known.pop()) != "null":
        return text
    environment = manifest.environment
    name = "unknown" if environment is None else environment.task
    kwargs = {} if environment is None else environment.model_dump(mode="json")
    return json.dumps({"env_name": name, "type": GYM, "env_kwargs": kwargs})


def _said(outgoing: Outgoing, complete: int, rest: int) -> list[str]:
    said = []
    if rest:
        said.append(
            f"{rest} trajectories without all their actions stand under unlabeled/, not data/: "
            "robomimic would take what is missing for zeros"
        )
    if not complete:
        said.append("no trajectory has all its actions: robomimic will find no demonstration")
    if outgoing.view.overlay is not None:
        said.append(f"inferred actions of {outgoing.view.overlay.name} are left out")
    return said
