"""OGBench: one flat npz file; ``terminals`` marks the last row of each trajectory.

The last row of a trajectory is its final observation; its action leads nowhere. A mark is the end
of a recording, not a terminal state. There are no rewards: a goal gives them later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from lawm_schemas import ConfigError, CorpusError, LabelState, Provenance, Role

from lawm_data.corpus.table import NO_REWARDS
from lawm_data.exchange.formats._flat import blocks, marked, next_finite, same_length, segments
from lawm_data.exchange.formats._protocol import REWARDS_NOTE, About, Episode, Incoming
from lawm_data.exchange.formats._settings import (
    DECLARED,
    UNRECORDED,
    UNRECORDED_NOTE,
    WITHOUT,
    declared_action,
    declared_environment,
    dispensable,
    require_none,
    unrecorded_action,
    wanted,
)
from lawm_data.exchange.untrusted.arrays import checked_spec, column, observation_spec
from lawm_data.exchange.untrusted.npz import NpzFile

ABOUT = About(
    title="OGBench, one flat npz file",
    place="FILE.npz",
    extra=None,
    reads=True,
    writes=False,
    label_states=(LabelState.observed, LabelState.missing),
    partial=False,
    arrays="all",
    alignment="a_t leaves o_t",
    final_observation=True,
    ends="none",
    pixels="lossless",
    metadata=False,
    streaming=True,
    settings={**DECLARED, **UNRECORDED, **WITHOUT},
)
_PHYSICS = ("qpos", "qvel")
"""Arrays that are the simulator's state when both are there."""
_NEEDED = ("observations", "terminals")


def read(place: str, settings: Mapping[str, Any]) -> Incoming:
    """Open a flat file; see ``FormatModule.read``."""
    file = NpzFile(Path(place))
    try:
        return _incoming(file, settings)
    except BaseException:
        file.close()
        raise


def _incoming(file: NpzFile, settings: Mapping[str, Any]) -> Incoming:
    names = file.names()
    for name in _NEEDED:
        if name not in names:
            raise CorpusError("is missing", file.where(name), "check that the file is of OGBench")
    fields = {"observation": "observations"}
    if set(_PHYSICS) <= set(names):
        fields["physics"] = _PHYSICS[0]
    chosen = wanted(settings, fields)
    if "observation" not in chosen:
        raise ConfigError("leaves no observation", "without", "keep one of them")
    kept = ["observations", *(name for name in ("actions", "rewards") if name in names)]
    rows = same_length({name: file.rows(name) for name in [*kept, "terminals"]})
    cuts = segments(marked(file.rows("terminals")), rows)
    shape, dtype = file.header("observations")
    observations = [observation_spec("observation", shape[1:], dtype, file.where("observations"))]
    if "physics" in chosen:
        with dispensable("physics", fields):
            same_length({name: file.rows(name) for name in ("observations", *_PHYSICS)})
            size = sum(int(np.prod(file.header(name)[0][1:])) for name in _PHYSICS)
            kind, where = np.dtype(np.float64), file.where(_PHYSICS[0])
            observations.append(checked_spec("physics", (size,), kind, Role.physics, where))
        kept += _PHYSICS
    if "actions" in kept:
        require_none(settings, UNRECORDED, "files without actions")
        shape, dtype = file.header("actions")
        recorded, where = blocks(file.rows("actions")), file.where("actions")
        action = declared_action(settings, shape[1:], dtype, where, recorded)
    else:
        action = unrecorded_action(settings)
    return Incoming(
        observations=tuple(observations),
        action=action,
        trajectories=_trajectories(file, kept, cuts),
        count=int((cuts[:, 1] - cuts[:, 0] > 1).sum()),
        name=file.path.name,
        files=(file.path,),
        environment=declared_environment(settings),
        notes=_notes(names, kept, cuts),
        close=file.close,
    )


def _notes(names: list[str], kept: list[str], cuts: np.ndarray) -> list[str]:
    actions = "its action leads nowhere and was dropped" if "actions" in kept else UNRECORDED_NOTE
    notes = [
        f"the last row of each trajectory is its final observation; {actions}",
        "terminals marks ends of recordings: all trajectories count as truncated",
    ]
    if "rewards" not in kept:
        notes.append(REWARDS_NOTE)
    if _PHYSICS[0] in kept:
        notes.append("qpos and qvel became the physics state")
    left = [name for name in names if name not in (*kept, "terminals")]
    if left:
        notes.append(f"not kept: {', '.join(left)}")
    alone = int((cuts[:, 1] - cuts[:, 0] == 1).sum())
    if alone:
        notes.append(f"{alone} trajectories of a single row have no step and were left out")
    return notes


def _trajectories(file: NpzFile, kept: list[str], cuts: np.ndarray) -> Iterator[Episode]:
    arrays = {name: file.rows(name) for name in kept}
    source = Provenance(source=f"ogbench:{file.path.name}", origin="import")
    for first, end in cuts.tolist():
        rows = {}
        for name, array in arrays.items():
            with dispensable("physics", _PHYSICS) if name in _PHYSICS else nullcontext():
                rows[name] = next_finite(array, first, end - first)
        steps = end - first - 1
        if not steps:
            continue
        observations = {"observation": rows["observations"]}
        if _PHYSICS[0] in rows:
            parts = [rows[name].reshape(steps + 1, -1).astype(np.float64) for name in _PHYSICS]
            observations["physics"] = np.concatenate(parts, 1)
        rewards = np.zeros(steps, np.float32)
        if "rewards" in rows:
            rewards = column(rows["rewards"], arrays["rewards"].where)[:-1]
        yield Episode(
            observations=observations,
            rewards=rewards,
            provenance=source,
            actions=rows["actions"][:-1] if "actions" in rows else None,
            truncated=True,
            metadata={} if "rewards" in rows else NO_REWARDS,
        )
