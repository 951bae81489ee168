"""Reading D4RL files that we wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from lawm_schemas import CorpusError

from lawm_data.exchange.formats._d4rl_layout import FINAL, UNLABELED, columns_of, is_image
from lawm_data.exchange.formats._own_hdf5 import Own, refuse_settings, require_shape
from lawm_data.exchange.formats._protocol import Carried, Incoming
from lawm_data.exchange.untrusted.archive import MEND
from lawm_data.exchange.untrusted.arrays import flags
from lawm_data.exchange.untrusted.hdf5 import ForeignFile, ForeignRows

_Parts = tuple[dict[str, np.ndarray], np.ndarray, np.ndarray | None, np.ndarray | None]
"""Observations, rewards, actions and which of them are observed."""


def restored(file: ForeignFile, own: Own, settings: Mapping[str, Any]) -> Incoming:
    """A corpus that was exported."""
    refuse_settings(settings, str(file.path))
    return own.incoming(
        trajectories=_restore(file, own),
        name=file.path.name,
        files=(file.path,),
        masks=own.masks,
        close=file.close,
    )


def _restore(file: ForeignFile, own: Own) -> Iterator[Carried]:
    whole, rest = _Complete(file, own), _Incomplete(file, own)
    for i, complete in enumerate(own.complete.tolist()):
        yield own.carried(i, *(whole if complete else rest).next(i))


def _opened(file: ForeignFile, name: str, rows: int, shape: tuple[int, ...] = ()) -> ForeignRows:
    """An array of a known shape, (rows, *shape)."""
    found = file.rows(name)
    require_shape(found.shape, (rows, *shape), found.where)
    return found


class _Complete:
    """The trajectories with all their actions, in their order."""

    def __init__(self, file: ForeignFile, own: Own) -> None:
        self._own, self._at = own, 0
        steps, count = int(own.length[own.complete].sum()), int(own.complete.sum())
        self._columns = columns_of(own.manifest)
        shape, action = self._columns.shape, own.manifest.action.shape or (1,)
        self._rows = {
            "observations": _opened(file, "observations", steps, shape),
            "next_observations": _opened(file, "next_observations", steps, shape),
            "actions": _opened(file, "actions", steps, action),
            "rewards": _opened(file, "rewards", steps),
        }
        infos = self._columns.infos
        self._infos = {s.name: _opened(file, f"infos/{s.name}", steps, s.shape) for s in infos}
        self._final = {s.name: _opened(file, f"{FINAL}/{s.name}", count, s.shape) for s in infos}

    def next(self, i: int) -> _Parts:
        """The arrays of the next trajectory, the i-th of all."""
        steps, start = int(self._own.length[i]), self._at
        self._at = end = start + steps
        last = self._rows["next_observations"][end - 1 : end]
        packed = np.concatenate([self._rows["observations"][start:end], last])
        observations = self._apart(packed)
        for spec in self._columns.infos:
            parts = self._infos[spec.name][start:end], self._final[spec.name].next(1)
            observations[spec.name] = np.concatenate(parts)
        actions = self._rows["actions"][start:end].reshape(steps, *self._own.manifest.action.shape)
        return observations, self._rows["rewards"][start:end], actions, None

    def _apart(self, packed: np.ndarray) -> dict[str, np.ndarray]:
        first = self._columns.observed[0]
        if is_image(first):
            return {first.name: packed}
        ends = np.cumsum([spec.size for spec in self._columns.observed])
        parts = np.split(packed, ends[:-1], axis=1)
        fields = zip(self._columns.observed, parts, strict=True)
        return {spec.name: part.reshape(-1, *spec.shape) for spec, part in fields}


class _Incomplete:
    """The trajectories that lack actions, in their order."""

    def __init__(self, file: ForeignFile, own: Own) -> None:
        self._own = own
        lacks = ~own.complete
        steps, known = int(own.length[lacks].sum()), int(own.num_observed[lacks].sum())
        action = own.manifest.action.shape or (1,)
        self._actions = _opened(file, f"{UNLABELED}/actions", known, action)
        self._rewards = _opened(file, f"{UNLABELED}/rewards", steps)
        self._observed = _opened(file, f"{UNLABELED}/action_observed", steps)
        rows, specs = steps + int(lacks.sum()), own.manifest.observations
        self._rows = {
            spec.name: _opened(file, f"{UNLABELED}/observations/{spec.name}", rows, spec.shape)
            for spec in specs
        }

    def next(self, i: int) -> _Parts:
        """The arrays of the next trajectory, the i-th of all."""
        own, steps, known = self._own, int(self._own.length[i]), int(self._own.num_observed[i])
        observations = {name: rows.next(steps + 1) for name, rows in self._rows.items()}
        rewards = self._rewards.next(steps)
        observed = flags(self._observed.next(steps), self._observed.where)
        if observed.sum() != known:
            what = f"is true {observed.sum()} times where {known} are due"
            raise CorpusError(what, self._observed.where, MEND)
        if not known:
            return observations, rewards, None, None
        found = self._actions.next(known).reshape(known, *own.manifest.action.shape)
        actions = np.zeros((steps, *found.shape[1:]), found.dtype)
        actions[observed] = found
        return observations, rewards, actions, observed
