"""One trajectory in memory: T actions and rewards between T+1 observations."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from lawm_schemas import ArraySpec, LabelState, Role, TrajectoryInfo

from lawm_data.corpus.table import NO_REWARDS


class Observations:
    """The observations of a trajectory: an array of the state, with its fields by name.

    Indexing with a name gives one field, ``(T+1, *shape)``; indexing with anything else, ``len``,
    ``shape`` and ``numpy.asarray`` treat it as the concatenated state, ``(T+1, O)``.

    Args:
        state: the state fields flattened and concatenated, (T+1, O); O is 0 for pixels alone.
        fields: every field by name, (T+1, *shape), state and pixels.
    """

    def __init__(self, state: np.ndarray, fields: Mapping[str, np.ndarray]) -> None:
        self.state = state
        self._fields = dict(fields)

    def __getitem__(self, key: Any) -> np.ndarray:
        return self._fields[key] if isinstance(key, str) else self.state[key]

    def __len__(self) -> int:
        return len(self.state)

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter(self.state)

    def __contains__(self, name: object) -> bool:
        return name in self._fields

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.state, dtype=dtype, copy=copy)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the state, (T+1, O)."""
        return self.state.shape

    @property
    def dtype(self) -> np.dtype:
        """Type of the state."""
        return self.state.dtype

    def keys(self) -> KeysView[str]:
        """Names of the fields."""
        return self._fields.keys()

    def items(self) -> ItemsView[str, np.ndarray]:
        """Names and arrays of the fields."""
        return self._fields.items()

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
    def is_labeled(self) -> bool:
        """Eq. 10's m: every action is observed."""
        return self.labels is LabelState.observed and bool(self.action_observed.all())

    @property
    def is_rewarded(self) -> bool:
        """The rewards were recorded; else they are zero and mean nothing."""
        return not NO_REWARDS.items() <= self.info.metadata.items()
