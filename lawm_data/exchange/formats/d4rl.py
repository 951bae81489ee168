"""D4RL: one flat HDF5 file; ``terminals`` and ``timeouts`` mark the last row of each trajectory.

Row t holds ``o_t``, ``a_t``, ``r_t`` and, in newer files, ``o_{t+1}`` in ``next_observations``. The
format knows no step without an action, so what it shows are the trajectories that have all of
theirs; the others stand under ``metadata/lawm/unlabeled``, which its readers step over: every
array of observations with T + 1 rows a trajectory, ``actions`` only for the steps that have them,
and ``action_observed``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from lawm_schemas import ArraySpec, LabelState

from lawm_data.corpus.encode import compression
from lawm_data.corpus.layout import stored_dtype
from lawm_data.exchange.formats._d4rl_layout import (
    FINAL,
    GROUP,
    UNLABELED,
    Columns,
    columns_of,
    is_image,
)
from lawm_data.exchange.formats._d4rl_recorded import HORIZON, recorded
from lawm_data.exchange.formats._d4rl_restored import restored
from lawm_data.exchange.formats._hdf5_writing import new_hdf5
from lawm_data.exchange.formats._own_hdf5 import encoded, write_own
from lawm_data.exchange.formats._protocol import About, Carried, Incoming, Outgoing
from lawm_data.exchange.formats._settings import DECLARED
from lawm_data.exchange.formats._single_hdf5 import read_file

ABOUT = About(
    title="D4RL, one flat HDF5 file",
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
    settings={**DECLARED, **HORIZON},
)


def read(place: str, settings: Mapping[str, Any]) -> Incoming:
    """Open a flat file; see ``FormatModule.read``."""
    return read_file(place, settings, GROUP, restored, recorded)


def write(outgoing: Outgoing, path: Path, place: str, settings: Mapping[str, Any]) -> Sequence[str]:
    """Write a view; see ``FormatModule.write``."""
    columns, metadata = columns_of(outgoing.view.manifest), []
    with new_hdf5(path, place) as writing:
        file = writing.file
        flat = _Flat(file, outgoing, columns)
        for carried in outgoing:
            metadata.append(encoded(carried.metadata))
            observed = carried.action_observed
            if carried.actions is not None and (observed is None or observed.all()):
                flat.add(carried)
            else:
                flat.add_unlabeled(carried)
            writing.require_space()
        write_own(file.require_group(GROUP), outgoing, metadata)
    return _said(outgoing, columns)


class _Flat:
    """The datasets of a file, sized beforehand, and how far each is filled.

    Args:
        file: where they are made.
        outgoing: the view.
        columns: which array stands where.
    """

    def __init__(self, file: h5py.File, outgoing: Outgoing, columns: Columns) -> None:
        self._file, self._columns = file, columns
        self._datasets: dict[str, h5py.Dataset] = {}
        self._filled: dict[str, int] = {}
        manifest, table = outgoing.view.manifest, outgoing.view.table
        whole = table.num_observed == table.length
        steps, rest = int(table.length[whole].sum()), int(table.length[~whole].sum())
        first, action = columns.observed[0], manifest.action
        for name in ("observations", "next_observations"):
            self._make(name, steps, columns.shape, first)
        self._make("actions", steps, action.shape or (1,), action)
        self._reserve("rewards", (steps,), "<f4")
        for name in ("terminals", "timeouts"):
            self._reserve(name, (steps,), bool)
        for spec in columns.infos:
            self._make(f"infos/{spec.name}", steps, spec.shape, spec)
            self._make(f"{FINAL}/{spec.name}", int(whole.sum()), spec.shape, spec)
        known = int(table.num_observed[~whole].sum())
        self._make(f"{UNLABELED}/actions", known, action.shape or (1,), action)
        self._reserve(f"{UNLABELED}/rewards", (rest,), "<f4")
        self._reserve(f"{UNLABELED}/action_observed", (rest,), bool)
        rows = rest + int((~whole).sum())
        for spec in manifest.observations:
            self._make(f"{UNLABELED}/observations/{spec.name}", rows, spec.shape, spec)

    def add(self, carried: Carried) -> None:
        """Append a trajectory that has all its actions."""
        arrays, last = carried.observations, np.arange(len(carried.rewards))
        last = last == len(last) - 1
        observations = self._side_by_side(arrays)
        self._append("observations", observations[:-1])
        self._append("next_observations", observations[1:])
        self._append("actions", carried.actions)
        self._append("rewards", carried.rewards)
        self._append("terminals", last & carried.terminated)
        self._append("timeouts", last & (carried.truncated or not carried.terminated))
        for spec in self._columns.infos:
            self._append(f"infos/{spec.name}", arrays[spec.name][:-1])
            self._append(f"{FINAL}/{spec.name}", arrays[spec.name][-1:])

    def add_unlabeled(self, carried: Carried) -> None:
        """Append a trajectory that lacks actions."""
        observed = np.zeros(len(carried.rewards), bool)
        if carried.actions is not None and carried.action_observed is not None:
            observed = carried.action_observed
            self._append(f"{UNLABELED}/actions", carried.actions[observed])
        self._append(f"{UNLABELED}/action_observed", observed)
        self._append(f"{UNLABELED}/rewards", carried.rewards)
        for name, array in carried.observations.items():
            self._append(f"{UNLABELED}/observations/{name}", array)

    def _make(self, name: str, rows: int, shape: tuple[int, ...], spec: ArraySpec) -> None:
        kind = bool if spec.dtype == "bool" else stored_dtype(spec)
        storage = compression(spec) if is_image(spec) and rows else {}
        self._reserve(name, (rows, *shape), kind, **storage)

    def _reserve(self, name: str, shape: tuple[int, ...], kind: Any, **storage: Any) -> None:
        self._datasets[name] = self._file.create_dataset(name, shape, kind, **storage)

    def _append(self, name: str, array: np.ndarray | None) -> None:
        if array is None or not len(array):
            return
        start = self._filled.get(name, 0)
        self._filled[name] = end = start + len(array)
        dataset = self._datasets[name]
        dataset[start:end] = array.reshape(len(array), *dataset.shape[1:])

    def _side_by_side(self, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        parts = [arrays[spec.name] for spec in self._columns.observed]
        if is_image(self._columns.observed[0]):
            return parts[0]
        return np.concatenate([part.reshape(len(part), -1) for part in parts], 1)


def _said(outgoing: Outgoing, columns: Columns) -> list[str]:
    table, said = outgoing.view.table, []
    rest = int((table.num_observed < table.length).sum())
    if rest:
        said.append(
            f"{rest} trajectories without all their actions stand under {UNLABELED}: "
            "a reader of D4RL would take every number for an action"
        )
    if rest == len(table):
        said.append("no trajectory has all its actions: a reader of D4RL will find no step")
    if columns.infos:
        names = ", ".join(spec.name for spec in columns.infos)
        said.append(f"not in observations, but under infos/: {names}")
    if outgoing.view.overlay is not None:
        said.append(f"inferred actions of {outgoing.view.overlay.name} are left out")
    return said
