"""One trajectory in memory: T actions and rewards between T+1 observations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from lawm_schemas import ArraySpec, LabelState, Role, TrajectoryInfo

from lawm_data.corpus.table import LABEL_STATES, MISSING, NO_REWARDS


class Observations(Mapping[str, np.ndarray]):
    """The observations of a trajectory: a mapping from names of fields to arrays (T+1, *shape).

    ``observations["position"]`` and ``observations.position`` are one field; a field whose name
    is that of a method, such as ``keys``, or ``state``, is reached by ``[]`` alone. ``state`` has
    the state fields in one array, which is also what ``numpy.asarray`` gives.

    Args:
        state: the state fields flattened and concatenated, (T+1, O); O is 0 for pixels alone.
        fields: every field by name, (T+1, *shape), state and pixels.
    """

    def __init__(self, state: np.ndarray, fields: Mapping[str, np.ndarray]) -> None:
        self.state = state
        self._fields = dict(fields)

    def __getitem__(self, name: str) -> np.ndarray:
        if not isinstance(name, str):
            raise TypeError("observations[…] takes the name of a field; rows are in .state")
        if name not in self._fields:
            raise KeyError(f"no field {name}; fields: {', '.join(self._fields)}")
        return self._fields[name]

    def __contains__(self, name: object) -> bool:
        return name in self._fields

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __getattr__(self, name: str) -> np.ndarray:
        if name.startswith("_") or name not in self._fields:
            raise AttributeError(f"Observations has no field {name!r}")
        return self._fields[name]

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._fields})

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.state, dtype=dtype, copy=copy)

    def __eq__(self, other: object) -> bool:
        return self is other  # arrays do not compare to one bool

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        fields = ", ".join(f"{k}: {v.dtype}{list(v.shape)}" for k, v in self.items())
        return f"Observations({fields})"


@dataclass(frozen=True, eq=False, repr=False)
class Trajectory:
    """One trajectory, as read from a corpus."""

    observations: Observations
    """(T+1, …): ``a_t`` is taken at ``o_t`` and leads to ``o_{t+1}``."""
    actions: np.ndarray | None
    """(T, A), or None when not a single action is observed or inferred. Partially labeled
    trajectories hold zeros where ``action_observed`` is False."""
    action_observed: np.ndarray
    """(T,) bool: which actions are real."""
    rewards: np.ndarray
    """(T,) float32: ``r_t`` is what the step from ``o_t`` paid."""
    terminated: np.ndarray
    """(T,) bool."""
    truncated: np.ndarray
    """(T,) bool."""
    labels: LabelState
    """State of the actions under the view it was read from."""
    info: TrajectoryInfo
    """Its row of the table."""
    physics: np.ndarray | None = None
    """(T+1, P) float64 simulator state, when recorded."""
    action_std: np.ndarray | None = None
    """(T, A) uncertainty of inferred actions."""

    def __len__(self) -> int:
        return len(self.rewards)

    def arrays(self, specs: Iterable[ArraySpec]) -> dict[str, np.ndarray]:
        """Some of the arrays with T+1 rows by name, physics too."""
        return {spec.name: self._array(spec) for spec in specs}

    def _array(self, spec: ArraySpec) -> np.ndarray:
        if spec.role is not Role.physics:
            return self.observations[spec.name]
        assert self.physics is not None
        return self.physics

    def __repr__(self) -> str:
        return (
            f"Trajectory({self.info.id}: {len(self)} steps, return {self.info.episode_return:.1f}, "
            f"actions {self.labels.value}, {self.observations!r})"
        )

    @property
    def step_labels(self) -> np.ndarray:
        """(T,) uint8: label state of each action, as a place in ``LABEL_STATES``.

        What a partially labeled trajectory lacks is missing.
        """
        state = LABEL_STATES.index(self.labels)
        if self.labels is not LabelState.observed:
            return np.full(len(self), state, np.uint8)
        return np.where(self.action_observed, state, MISSING).astype(np.uint8)

    @property
    def is_labeled(self) -> bool:
        """Eq. 10's m: every action is observed."""
        return self.labels is LabelState.observed and bool(self.action_observed.all())

    @property
    def is_rewarded(self) -> bool:
        """The rewards were recorded; else they are zero and mean nothing."""
        return not NO_REWARDS.items() <= self.info.metadata.items()
