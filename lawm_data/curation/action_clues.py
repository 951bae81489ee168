"""Clues: what else in a corpus gives hidden actions away, and views without it.

An action that is in no file may still be regenerated from a seed, solved from a recorded force or
read off a cost of control. So what goes out through a mask goes without these, unless somebody
asks for them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from lawm_schemas import ArraySpec, ConfigError, LineageStep, Manifest, Provenance, Role

from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.table import NO_REWARDS, MetadataColumn, Table
from lawm_data.envs.action_costs import costs_action

CLUES = {
    "seeds": "seeds of collections and resets",
    "agent": "the agent by name or hash of its weights, its settings and versions",
    "lineage": "parents by their fingerprints, and settings of earlier operations",
    "metadata": "metadata of trajectories",
    "physics": "states of the simulator",
    "rewards": "rewards, which contain a cost of the action",
    "bounds": "exact bounds of actions; they are rounded outward to one digit",
}
"""What is left out, by the names that ``--keep`` knows."""
REMAINS = (
    "what remains: observations, from which an inverse dynamics model infers actions, and the "
    "actions that are shown (docs/labels.md)"
)
HARMLESS = frozenset(
    (
        *NO_REWARDS,
        *("task", "tasks", "task_starts", "instruction", "language", "language_instruction"),
        *("split", "splits", "filter_keys"),
    )
)
"""Keys of metadata that say what was to be done, and what belongs where."""


class WithoutClues(NamedTuple):
    """A view that may be published."""

    view: Corpus
    """The same trajectories; never to be trained on, since not all that it hides is gone."""
    parents: tuple[str, ...]
    """Fingerprint of the corpus that it is of, where that may be named: whoever guesses hidden
    actions can check the guess by it."""
    left: tuple[str, ...]
    """What was left out, and what remains, one sentence each."""
    of_manifest: Callable[[Manifest], Manifest]
    """What is left of a manifest with the same sources, such as one that was edited."""


def without_clues(view: Corpus, keep: Collection[str] = ()) -> WithoutClues:
    """What a view shows, without what determines the actions that its mask hides.

    A view that hides none is left as it is. What is left out depends on what the view shows, and
    never on a hidden action.

    Args:
        view: usually ``with_mask(...)`` of a corpus.
        keep: names of ``CLUES`` that are kept.

    Raises:
        ConfigError: no such name.
    """
    for name in keep:
        if name not in CLUES:
            raise ConfigError(f"no {name!r} is left out", "--keep", f"known: {', '.join(CLUES)}")
    parents = (view.root_fingerprint,)
    if not view.withheld.any():
        return WithoutClues(view, parents, (), lambda manifest: manifest)
    gone = [name for name in CLUES if name not in keep]
    if "rewards" in gone and not costs_action(view.manifest.environment):
        gone.remove("rewards")
    # of the whole corpus: a view of it is a choice of rows
    manifest, table, hidden = view.everything()
    origin = np.unique(table.provenance[hidden])
    of_manifest = partial(_manifest, gone=gone, origin=origin.tolist())
    made = of_manifest(manifest)
    kept = _table(table, gone, hidden, np.isin(table.provenance, origin))
    left = [
        f"left out: {CLUES[name]} (--keep {name})"
        for name in gone
        if name in _there(manifest, table, made, kept, hidden)
    ]
    parents = () if "lineage" in gone else parents
    return WithoutClues(view.told_as(made, kept), parents, (*left, REMAINS), of_manifest)


def _manifest(manifest: Manifest, gone: Collection[str], origin: Collection[int]) -> Manifest:
    """A manifest without clues; ``origin`` are the sources of hidden trajectories."""
    update: dict[str, Any] = {
        "provenance": tuple(
            _provenance(entry, gone) if number in origin else entry
            for number, entry in enumerate(manifest.provenance)
        ),
        "lineage": tuple(_step(step, gone) for step in manifest.lineage),
    }
    if "physics" in gone:
        observations = (s for s in manifest.observations if s.role is not Role.physics)
        update["observations"] = tuple(observations)
    if "bounds" in gone:
        update["action"] = _rounded(manifest.action)
    return manifest.model_copy(update=update)


def _provenance(entry: Provenance, gone: Collection[str]) -> Provenance:
    update: dict[str, Any] = {}
    if "seeds" in gone:
        update |= {"seed": None, "settings": _without_seeds(entry.settings)}
    if "agent" in gone:
        update |= {"agent": None, "versions": {}}
        if entry.origin != "import":  # there they are what a format says of robot and environment
            update["settings"] = {}
    return entry.model_copy(update=update)


def _step(step: LineageStep, gone: Collection[str]) -> LineageStep:
    if "lineage" in gone:
        return LineageStep(operation=step.operation)
    settings = dict(step.settings)
    if "agent" in gone and step.operation == "collect":
        settings = {}
    if "seeds" in gone:
        settings = _without_seeds(settings)
    return step.model_copy(update={"settings": settings})


def _without_seeds(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_seeds(value) if isinstance(value, Mapping) else value
        for key, value in settings.items()
        if "seed" not in key.lower()
    }


def _rounded(action: ArraySpec) -> ArraySpec:
    """Bounds of one digit: whoever took them from the data wrote extremes of actions there.

    Round ones stay what they are; of whole numbers they are the space itself.
    """
    if action.low is None or action.high is None or np.dtype(action.dtype).kind != "f":
        return action
    low = tuple(-_outward(-bound) for bound in action.low)
    return action.model_copy(update={"low": low, "high": tuple(map(_outward, action.high))})


def _outward(bound: float) -> float:
    """The least number of one digit that is not below a bound."""
    if bound == 0 or not math.isfinite(bound):
        return bound
    exponent = math.floor(math.log10(abs(bound)))
    digit = bound / 10.0**exponent
    # a bound in float32 that means a round number is one
    near = round(digit)
    digit = near if math.isclose(digit, near, rel_tol=1e-6) else math.ceil(digit)
    return float(f"{digit}e{exponent}")


def _table(table: Table, gone: Collection[str], hidden: np.ndarray, origin: np.ndarray) -> Table:
    update: dict[str, Any] = {}
    if "seeds" in gone:
        update["seed"] = np.where(origin, np.uint64(0), table.seed)
        update["seeded"] = table.seeded & ~origin
    if "rewards" in gone:
        update["episode_return"] = np.where(hidden, 0.0, table.episode_return)
    if "metadata" in gone or "rewards" in gone:
        update["metadata"] = _metadata(table.metadata, gone, hidden)
    return replace(table, **update)


def _metadata(
    metadata: MetadataColumn, gone: Collection[str], hidden: np.ndarray
) -> MetadataColumn:
    texts, told = metadata.texts(), dict[bytes, bytes]()
    for i in np.flatnonzero(hidden).tolist():
        if texts[i] not in told:
            told[texts[i]] = _told(metadata[i], gone)
        texts[i] = told[texts[i]]
    return MetadataColumn.of(texts)


def _told(said: dict[str, Any], gone: Collection[str]) -> bytes:
    """What is left of the metadata of a hidden trajectory."""
    if "metadata" in gone:
        said = {key: value for key, value in said.items() if key in HARMLESS}
    if "rewards" in gone:
        said |= NO_REWARDS
    return json.dumps(said, separators=(",", ":")).encode() if said else b""


def _there(
    before: Manifest, table: Table, after: Manifest, kept: Table, hidden: np.ndarray
) -> set[str]:
    """Which clues there were."""
    pairs = zip(before.provenance, after.provenance, strict=True)
    sources = [old for old, new in pairs if old != new]
    texts = table.metadata.texts()
    speaking = {texts[i]: i for i in np.flatnonzero(hidden).tolist()}
    metadata = (table.metadata[i] for i in speaking.values())
    there = {
        "seeds": any(a.seed is not None for a in sources) or (table.seeded != kept.seeded).any(),
        "agent": any(a.agent or a.versions for a in sources),
        "lineage": True,  # the parent at least
        "metadata": any(said.keys() - HARMLESS for said in metadata),
        "physics": before.observations != after.observations,
        "rewards": True,
        "bounds": before.action != after.action,
    }
    return {name for name, is_there in there.items() if is_there}
