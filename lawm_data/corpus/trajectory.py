"""One trajectory in memory: T actions and rewards between T+1 observations."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from lawm_schemas import ArraySpec, LabelState, Manifest, Role, TrajectoryInfo

from lawm_data.corpus.latents import LATENT, LatentActions
from lawm_data.corpus.layout import element_names
from lawm_data.corpus.table import (
    FINAL_MISSING,
    INFERRED,
    LABEL_STATES,
    MISSING,
    NO_REWARDS,
    OBSERVED,
)
from lawm_data.system.colors import STATE_COLORS
from lawm_data.system.dataframe import Column, to_arrow, to_pandas
from lawm_data.system.notebook import facts, grid, shares

if TYPE_CHECKING:
    import pandas
    import pyarrow
    from matplotlib.figure import Figure


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

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return grid(_ARRAY, [_array_row(name, array) for name, array in self.items()])


@dataclass(frozen=True, eq=False, repr=False)
class Trajectory:
    """One trajectory, as read from a corpus."""

    observations: Observations
    """(T+1, …): ``a_t`` is taken at ``o_t`` and leads to ``o_{t+1}``. The last one repeats the one
    before it where ``final_observed`` is False."""
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
    manifest: Manifest
    """Of the corpus that it was read from."""
    physics: np.ndarray | None = None
    """(T+1, P) float64 simulator state, when recorded."""
    action_std: np.ndarray | None = None
    """(T, A) uncertainty of inferred actions."""
    latents: LatentActions | None = None
    """Latent actions, where the view has some."""

    def __len__(self) -> int:
        return len(self.rewards)

    def label_runs(self) -> list[tuple[LabelState, int, int]]:
        """Label state, first step and end of the steps in a row whose actions share it."""
        codes = self.step_labels
        edges = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), len(codes)]
        return [(LABEL_STATES[codes[first]], first, end) for first, end in pairwise(edges)]

    def columns(self) -> dict[str, Column]:
        """Of each step, by name: what was observed, the action, and what came of it.

        The state's and the action's elements have a column each, such as ``position[0]``, inferred
        actions another one for their standard deviation, ``action_std[0]``, and latent ones stand
        beside them as ``latent_action[0]``. A field that is named
        like another column has ``observation.`` before it. The observation after the last step
        is not among them, nor are pixels and physics.
        """
        steps, spec = len(self), self.manifest.action
        labels = self.step_labels
        unknown = (labels != OBSERVED) & (labels != INFERRED)
        taken: dict[str, Column] = {}
        actions = np.zeros((steps, spec.size), spec.dtype) if self.actions is None else self.actions
        for name, values in _elements(spec, actions):
            taken[name] = Column(values, unknown)
        if self.action_std is not None:
            deviation = spec.model_copy(update={"name": f"{spec.name}_std"})
            for name, values in _elements(deviation, self.action_std):
                taken[name] = Column(values, unknown)
        if self.latents is not None:
            unknown = ~self.latents.known(steps)
            spec = ArraySpec(name=LATENT, shape=self.latents.values.shape[1:])
            for name, values in _elements(spec, self.latents.filled(steps)):
                taken[name] = Column(values, unknown)
        taken |= {
            "reward": Column(self.rewards, np.full(steps, not self.is_rewarded)),
            "terminated": Column(self.terminated),
            "truncated": Column(self.truncated),
            "label": Column(labels, categories=tuple(state.value for state in LABEL_STATES)),
        }
        observed = {
            f"observation.{name}" if name in taken else name: Column(values)
            for field in self.manifest.state
            for name, values in _elements(field, self.observations[field.name][:-1])
        }
        return observed | taken

    def to_pandas(self) -> pandas.DataFrame:
        """One row for each step; see ``columns``. ``label`` is a category.

        An action that is neither observed nor inferred is missing, and so is a reward that was
        not recorded.

        Raises:
            ConfigError: pandas is missing.
        """
        return to_pandas(self.columns(), "step")

    def to_arrow(self) -> pyarrow.Table:
        """The columns of ``to_pandas`` as an Arrow table.

        Raises:
            ConfigError: pyarrow is missing.
        """
        return to_arrow(self.columns())

    def plot(self, fields: Sequence[str] | None = None) -> Figure:
        """Draw rewards, actions and state fields over the steps.

        Actions have the color of their label state; where they are not known the place is shaded,
        and inferred ones have a band of one standard deviation. A figure of matplotlib, without
        pyplot: ``figure.savefig("trajectory.pdf")``.

        Args:
            fields: names of state fields; None draws the first few.

        Raises:
            ConfigError: there is no such state field.
        """
        from lawm_data.corpus.plots import plot_trajectory

        return plot_trajectory(self, fields)

    def arrays(self, specs: Iterable[ArraySpec]) -> dict[str, np.ndarray]:
        """Some of the arrays with T+1 rows by name, physics too."""
        return {spec.name: self._array(spec) for spec in specs}

    def _array(self, spec: ArraySpec) -> np.ndarray:
        if spec.role is not Role.physics:
            return self.observations[spec.name]
        assert self.physics is not None
        return self.physics

    def __repr__(self) -> str:
        earned = f"return {self.info.episode_return:.1f}" if self.is_rewarded else "no rewards"
        return (
            f"Trajectory({self.info.id}: {len(self)} steps, {earned}, "
            f"actions {self.labels.value}, {self.observations!r})"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        info = self.info
        ends = [name for name in ("terminated", "truncated") if getattr(info, name)]
        counts = np.bincount(self.step_labels, minlength=len(LABEL_STATES)).tolist()
        states = {state.value: n for state, n in zip(LABEL_STATES, counts, strict=True)}
        arrays = [_array_row(name, array) for name, array in self.observations.items()]
        if self.actions is not None:
            known = self.step_labels != MISSING
            arrays.append(_array_row(self.manifest.action.name, self.actions, known))
        if self.is_rewarded:
            arrays.append(_array_row("reward", self.rewards))
        if self.physics is not None:
            arrays.append(_array_row("physics", self.physics))
        rows = {
            "steps": f"{len(self):,}{f', {ends[0]}' if ends else ''}",
            "return": f"{info.episode_return:,.1f}" if self.is_rewarded else "no rewards recorded",
            "actions": shares(states, STATE_COLORS),
            "source": info.source,
            "seed": None if info.seed is None else str(info.seed),
            "metadata": json.dumps(info.metadata) if info.metadata else None,
        }
        return facts(f"Trajectory {info.id}", rows) + grid(_ARRAY, arrays)

    @property
    def step_labels(self) -> np.ndarray:
        """(T,) uint8: label state of each action, as a place in ``LABEL_STATES``.

        What a partially labeled trajectory lacks is missing, and so is what cannot be inferred: an
        action whose next observation was not recorded.
        """
        state = LABEL_STATES.index(self.labels)
        if self.labels is not LabelState.observed:
            codes = np.full(len(self), state, np.uint8)
            if self.labels is LabelState.inferred and not self.final_observed:
                codes[-1] = MISSING
            return codes
        return np.where(self.action_observed, state, MISSING).astype(np.uint8)

    @property
    def is_labeled(self) -> bool:
        """Eq. 10's m: every action is observed."""
        return self.labels is LabelState.observed and bool(self.action_observed.all())

    @property
    def is_rewarded(self) -> bool:
        """The rewards were recorded; else they are zero and mean nothing."""
        return not NO_REWARDS.items() <= self.info.metadata.items()

    @property
    def final_observed(self) -> bool:
        """The observation after the last step was recorded."""
        return not FINAL_MISSING.items() <= self.info.metadata.items()


def _elements(spec: ArraySpec, array: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Name and values (T,) of each element of an array (T, *shape)."""
    yield from zip(element_names(spec), array.reshape(len(array), -1).T, strict=True)


_ARRAY = ("array", "type", "shape", "least", "largest")
"""What a notebook shows of each array."""


def _array_row(name: str, array: np.ndarray, known: np.ndarray | slice = slice(None)) -> list[Any]:
    values = array[known]
    ends = [values.min().item(), values.max().item()] if values.size else [None, None]
    return [name, str(array.dtype), str(array.shape), *ends]
