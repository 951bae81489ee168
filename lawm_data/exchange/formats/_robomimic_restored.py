"""Reading robomimic files that we wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from lawm_schemas import ArraySpec, CorpusError, Mask, Role

from lawm_data.exchange.formats._own_hdf5 import Own, refuse_settings, require_shape
from lawm_data.exchange.formats._protocol import Carried, Incoming
from lawm_data.exchange.formats._robomimic_layout import GROUP, demonstrations
from lawm_data.exchange.untrusted.arrays import flags
from lawm_data.exchange.untrusted.hdf5 import ForeignFile, ForeignRows


def restored(file: ForeignFile, own: Own, settings: Mapping[str, Any]) -> Incoming:
    """A corpus that was exported."""
    refuse_settings(settings, str(file.path))
    complete = own.complete.tolist()
    places = [f"{'data' if whole else 'unlabeled'}/demo_{i}" for i, whole in enumerate(complete)]
    there = {f"{g}/{name}" for g in ("data", "unlabeled") for name in demonstrations(file, g)}
    odd = sorted(there ^ set(places))
    if odd:
        mend = f"remove the group {GROUP}, and the file is read like any other"
        raise CorpusError("was added or removed after the export", file.where(odd[0]), mend)
    return own.incoming(
        trajectories=_restore(file, own, places),
        name=file.path.name,
        files=(file.path,),
        masks=_kept_masks(file, own),
        said=_foreign_keys(file, own),
        close=file.close,
    )


def _kept_masks(file: ForeignFile, own: Own) -> tuple[Mask, ...]:
    """The masks whose filter keys still say the same."""
    return tuple(mask for mask in own.masks if not _changed(file, own, mask))


def _changed(file: ForeignFile, own: Own, mask: Mask) -> bool:
    key = f"mask/{mask.name}"
    if not file.has(key):
        return True
    place = {name: f"demo_{i}" for i, name in enumerate(own.id)}
    return file.labels(key, own.count) != [place.get(name) for name in mask.labeled]


def _foreign_keys(file: ForeignFile, own: Own) -> list[str]:
    ours = {mask.name for mask in _kept_masks(file, own)}
    known = {mask.name for mask in own.masks}
    said = [f"mask {name} was changed after the export and is left out" for name in known - ours]
    others = [name for name in file.names("mask") if name not in known]
    if others:
        said.append(f"filter keys that the export did not write are left out: {', '.join(others)}")
    return sorted(said)


def _restore(file: ForeignFile, own: Own, places: list[str]) -> Iterator[Carried]:
    for i, place in enumerate(places):
        steps, whole = int(own.length[i]), bool(own.complete[i])
        observations = {
            spec.name: _observed(file, place, spec, steps, whole)
            for spec in own.manifest.observations
        }
        rewards = _rows(file, f"{place}/rewards", (steps,))[:]
        actions, observed = _actions(file, place, own, i)
        yield own.carried(i, observations, rewards, actions, observed)


def _observed(
    file: ForeignFile, place: str, spec: ArraySpec, steps: int, whole: bool
) -> np.ndarray:
    """An array of observations, (T+1, *shape), from its two parts."""
    shape, name = spec.shape or (1,), f"obs/{spec.name}"  # single numbers are rows of one
    if spec.role is Role.physics:
        states = _rows(file, f"{place}/states", (steps, *spec.shape))[:]
        parts = states, _rows(file, f"{place}/final_state", spec.shape)[()][None]
    elif whole:
        last = _rows(file, f"{place}/next_{name}", (steps, *shape))
        parts = _rows(file, f"{place}/{name}", (steps, *shape))[:], last[steps - 1 :]
    else:
        parts = (_rows(file, f"{place}/{name}", (steps + 1, *shape))[:],)
    return np.concatenate(parts).reshape(-1, *spec.shape)


def _rows(file: ForeignFile, name: str, shape: tuple[int, ...]) -> ForeignRows:
    """An array of a known shape."""
    found = file.rows(name)
    require_shape(found.shape, shape, found.where)
    return found


def _actions(
    file: ForeignFile, place: str, own: Own, i: int
) -> tuple[np.ndarray | None, np.ndarray | None]:
    steps, count, shape = int(own.length[i]), int(own.num_observed[i]), own.manifest.action.shape
    if not count:
        return None, None
    found = _rows(file, f"{place}/actions", (count, *(shape or (1,))))[:].reshape(-1, *shape)
    if count == steps:
        return found, None
    name = f"{place}/action_observed"
    observed = flags(file.read_rows(name, steps), file.where(name))
    if observed.sum() != count:
        raise file.refuse(name, f"is true {observed.sum()} times where {count} are due")
    actions = np.zeros((steps, *shape), found.dtype)
    actions[observed] = found
    return actions, observed
