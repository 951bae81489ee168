"""Transitions of a corpus, with the true actions of all of them: read to judge, never to train.

The one exception is the anchor that is told all actions; it says what could be known.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from lawm_schemas import ArraySpec, CorpusError, Role
from torch import Tensor

from lawm_data.corpus.corpus import Corpus
from lawm_models.networks.latent_dynamics import LatentDynamics, side_by_side
from lawm_models.networks.scaling import ActionScale
from lawm_models.probes.evidence import Seen, Transitions

AT_ONCE = 64
"""Trajectories that a model sees side by side."""


class Recorded(NamedTuple):
    """Some trajectories of a corpus, K of them."""

    places: np.ndarray
    """(K,) where they are in the corpus."""
    observations: list[Float[Tensor, "_ O"]]
    """Of each, what was recorded."""
    transitions: Transitions
    """All of them over k steps, from whole states."""


def read(
    whole: Corpus,
    places: np.ndarray,
    shown: Collection[str],
    horizon: int,
    context: int,
    everything: Corpus | None = None,
) -> Recorded:
    """Read trajectories.

    Args:
        whole: the corpus without a mask, showing what the runs observe.
        places: which trajectories.
        shown: names of those whose actions the mask shows.
        horizon: k.
        context: C.
        everything: the corpus with its exogenous arrays, which a choice of observations leaves out.

    Raises:
        CorpusError: not one is long enough.
    """
    parts, observations = [], []
    for number, place in enumerate(places.tolist()):
        trajectory = whole[place]
        rows = len(trajectory) + trajectory.final_observed
        state = torch.from_numpy(np.array(trajectory.observations.state[:rows], np.float32))
        observations.append(state)
        step = torch.arange((context - 1) * horizon, rows - horizon)
        actions, known = _actions(trajectory.actions, trajectory.action_observed, whole)
        change = _exogenous(everything or whole, place)[:rows]
        all_known = known.unfold(0, horizon, 1).all(-1)[step] if len(step) else known[:0]
        parts.append(
            Transitions(
                trajectory=torch.full_like(step, number),
                step=step,
                before=state[step],
                after=state[step + horizon],
                action=actions.unfold(0, horizon, 1).mT.flatten(1)[step]
                if len(step)
                else actions.new_zeros(0, horizon * actions.shape[1]),
                known=all_known,
                shown=all_known & (trajectory.info.id in shown),
                exogenous=change[step + horizon] - change[step],
            )
        )
    joined = Transitions(*(torch.cat(part) for part in zip(*parts, strict=True)))
    if not len(joined.step):
        what = f"no trajectory is as long as {context} observations and a step of {horizon}"
        raise CorpusError(what, str(whole.path), "give longer ones")
    return Recorded(places, observations, joined)


def see(
    dynamics: LatentDynamics,
    observations: Sequence[Float[Tensor, "_ O"]],
    transitions: Transitions,
) -> Seen:
    """Transitions as a model sees them."""
    needed = transitions.trajectory.unique().tolist()
    needed.sort(key=lambda number: len(observations[number]))
    parts = {}
    with torch.no_grad():
        for first in range(0, len(needed), AT_ONCE):
            group = needed[first : first + AT_ONCE]
            states = dynamics.states(side_by_side([observations[number] for number in group]))
            for number, state in zip(group, states, strict=True):
                parts[number] = state[transitions.step[transitions.trajectory == number]]
        state = torch.empty(len(transitions.step), next(iter(parts.values())).shape[1])
        for number, part in parts.items():
            state[transitions.trajectory == number] = part
        if not dynamics.infers:
            return Seen(state, transitions.action)
        return Seen(state, dynamics.infer(state, transitions.after))


def action_scale(action: ArraySpec) -> ActionScale | None:
    """To [-1, 1]; none for actions without bounds, which are taken as they are."""
    bounded = action.low is not None and action.high is not None
    return ActionScale.of(action) if bounded else None


def _actions(
    actions: np.ndarray | None, observed: np.ndarray, whole: Corpus
) -> tuple[Float[Tensor, "T A"], Tensor]:
    """Normalised actions, 0 where none was recorded, and where they were."""
    spec, known = whole.manifest.action, torch.from_numpy(observed.copy())
    if actions is None:
        return torch.zeros(len(observed), spec.size), torch.zeros_like(known)
    raw = torch.from_numpy(np.array(actions, np.float32).reshape(len(observed), -1))
    scale = action_scale(spec)
    scaled = raw if scale is None else scale.to_model(raw)
    return torch.where(known[:, None], scaled, 0.0), known


def _exogenous(everything: Corpus, place: int) -> Float[Tensor, "T1 X"]:
    """Exogenous arrays side by side; no column where there are none."""
    names = [s.name for s in everything.manifest.observations if s.role is Role.exogenous]
    trajectory = everything[place]
    rows = len(trajectory) + 1
    arrays = [
        np.asarray(trajectory.observations[name], np.float32).reshape(rows, -1) for name in names
    ]
    return torch.from_numpy(np.concatenate([np.zeros((rows, 0), np.float32), *arrays], 1))
