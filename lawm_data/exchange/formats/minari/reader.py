"""Minari datasets of others: their spaces and episodes as arrays and trajectories of a corpus."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from lawm_schemas import ArraySpec, ConfigError, CorpusError, EnvironmentInfo, Provenance, Role

from lawm_data.corpus.writing.record import beyond_bounds
from lawm_data.envs.suites import named_environment
from lawm_data.envs.suites.gym import makes
from lawm_data.exchange.formats import _settings
from lawm_data.exchange.formats._protocol import Episode
from lawm_data.exchange.formats.minari.episodes import StoredEpisode
from lawm_data.exchange.formats.minari.metadata import HINT, DatasetMetadata
from lawm_data.exchange.formats.minari.sidecar import OBSERVED, ended, observed_flags
from lawm_data.exchange.formats.minari.spaces import Leaf, Unfit, as_image, image_axes, leaves
from lawm_data.exchange.untrusted.arrays import checked_spec

KNOWN = ("id", "seed", "total_steps")
"""Attributes of an episode that have a place of their own."""


class Conversion(NamedTuple):
    """How a dataset becomes a corpus."""

    observations: tuple[Leaf, ...]
    actions: tuple[Leaf, ...]
    action: ArraySpec
    provenance: Provenance
    unrecorded: bool
    """Whether NaN stands for an action that was not recorded."""
    notes: list[str]
    """Grows while episodes are read."""

    def note(self, sentence: str) -> None:
        """Add a note, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)


def plan_conversion(
    metadata: DatasetMetadata,
    unrecorded: bool,
    without: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
) -> Conversion:
    """Look at the spaces.

    Args:
        metadata: of the dataset.
        unrecorded: whether NaN stands for an action that was not recorded.
        without: names of observations that are not read.
        settings: of the format; they may declare other bounds of actions.

    Raises:
        ConfigError: there is no such observation, or none is left; bounds that make no sense.
        CorpusError: they are damaged, or hold what no corpus can.
    """
    notes: list[str] = []
    where = f"{metadata.where}: observation_space"
    found = list(leaves(metadata.observation, "observations", "observation", Role.state, where))
    left = _settings.kept(without, [leaf.name for leaf in found]) if found else []
    observations = []
    for leaf in (leaf for leaf in found if leaf.name in left):
        if isinstance(leaf, Leaf):
            observations.append(leaf)
            spec = leaf.spec
            if spec.role is Role.pixels and spec.shape != leaf.shape:
                notes.append(f"{leaf.place}{list(leaf.shape)} became images {list(spec.shape)}")
        elif leaf.fault is None:
            notes.append(f"{leaf.place} is a {leaf.kind}, not numbers, and was left out")
        else:
            with _settings.dispensable(leaf.name, left):
                raise leaf.fault
    names = [leaf.name for leaf in observations]
    if not names or len(set(names)) != len(names):
        what = "gives two arrays one name" if names else "holds no array of numbers"
        raise CorpusError(what, where, "rename its parts" if names else "check the dataset")
    notes += [f"left out: {', '.join(without)}"] if without else []
    actions, action = _action(metadata, notes, settings or {})
    source = _provenance(metadata)
    return Conversion(tuple(observations), actions, action, source, unrecorded, notes)


def _action(
    metadata: DatasetMetadata, notes: list[str], settings: Mapping[str, Any]
) -> tuple[tuple[Leaf, ...], ArraySpec]:
    """The parts of the action, and the one array that they make."""
    where = f"{metadata.where}: action_space"
    found = list(leaves(metadata.action, "actions", "action", Role.action, where))
    parts = [leaf for leaf in found if isinstance(leaf, Leaf)]
    if not parts or len(parts) != len(found):
        unfit = next((leaf for leaf in found if isinstance(leaf, Unfit)), None)
        kind, fault = (unfit.kind, unfit.fault) if unfit else ("empty space", None)
        raise fault or CorpusError(f"is a {kind}", where, "only numbers can be actions")
    declared = _settings.declared_bounds(settings, sum(leaf.spec.size for leaf in parts))
    if len(parts) == 1:
        spec = parts[0].spec
        if declared is None:
            return tuple(parts), spec.model_copy(update={"name": "action"})
        dtype, shape = np.dtype(spec.dtype), spec.shape
        return tuple(parts), checked_spec("action", shape, dtype, Role.action, where, **declared)
    dtype = np.result_type(*(np.dtype(leaf.spec.dtype) for leaf in parts))
    bounds: dict[str, Any] = {}
    if all(leaf.spec.bounds() is not None for leaf in parts):
        ends = ("low", "high")
        bounds = {k: sum((getattr(leaf.spec, k) for leaf in parts), ()) for k in ends}
    bounds = declared or bounds
    size = sum(leaf.spec.size for leaf in parts)
    names = ", ".join(leaf.place.removeprefix("actions/") for leaf in parts)
    notes.append(f"the action joins {names} as one vector of {size}")
    return tuple(parts), checked_spec("action", (size,), dtype, Role.action, where, **bounds)


def _provenance(metadata: DatasetMetadata) -> Provenance:
    rest = metadata.rest

    def text(key: str) -> str | None:
        value = rest.get(key)
        return value[:1000] if isinstance(value, str) and value else None

    keys = ("description", "code_permalink")
    settings: dict[str, Any] = {key: text(key) for key in keys if text(key)}
    for key in ("author", "requirements", "combined_datasets"):
        value = rest.get(key)
        if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
            settings[key] = sorted(value) if key == "author" else value
    return Provenance(
        source=f"minari:{metadata.id}",
        agent=text("algorithm_name"),
        origin="import",
        versions={"minari": str(rest["minari_version"])},
        settings=settings,
    )


def environment_of(
    metadata: DatasetMetadata, note: Callable[[str], None]
) -> EnvironmentInfo | None:
    """The environment, when its name alone makes it again."""
    text = metadata.rest.get("env_spec")
    try:
        spec = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        spec = None
    if not isinstance(spec, dict) or not isinstance(spec.get("id"), str):
        return None
    kwargs, wrappers = spec.get("kwargs") or {}, spec.get("additional_wrappers") or []
    try:
        same = makes(spec["id"], kwargs, spec.get("max_episode_steps"), wrappers)
        known = named_environment(f"gym:{spec['id']}")
    except ConfigError:  # nobody has registered it here
        same = not (kwargs or wrappers)
        known = EnvironmentInfo(suite="gym", task=spec["id"])
    if not same:
        note(f"the environment {spec['id']} has settings of its own, and was not taken along")
    return known if same else None


def convert(source: StoredEpisode, conversion: Conversion) -> Episode:
    """One episode as a trajectory.

    Raises:
        CorpusError: lengths, types or numbers are not what they should be.
    """
    rewards = source.array("rewards")
    if rewards.ndim == 2 and rewards.shape[1] == 1:
        rewards = rewards[:, 0]
    length = len(rewards) if rewards.ndim == 1 else 0
    if not length:
        raise CorpusError(f"has rewards of shape {rewards.shape}", source.where, HINT)
    attributes, left = source.described()
    for key in left:
        conversion.note(f"the attribute {key!r} of episodes is long or not plain: left out")
    steps, seed = attributes.get("total_steps", length), attributes.get("seed")
    if not isinstance(steps, int | np.integer) or int(steps) != length:
        raise CorpusError(f"has {length} rewards and says {steps} steps", source.where, HINT)
    if seed is not None and not _is_seed(seed):
        conversion.note("seeds that are no whole numbers of 64 bits stand in the metadata alone")
        attributes["reset_seed"], seed = seed, None
    observations = {}
    for leaf in conversion.observations:
        with _settings.dispensable(leaf.name, conversion.observations):
            observations[leaf.name] = _observed(source, leaf, length, conversion)
    actions, seen = _actions(source, conversion, length)
    for name in source.infos():
        if name != OBSERVED:
            conversion.note(f"infos/{name} was left out")
    return Episode(
        observations=observations,
        rewards=rewards,
        provenance=conversion.provenance,
        actions=actions,
        action_observed=seen,
        terminated=ended(source, "terminations", length),
        truncated=ended(source, "truncations", length),
        seed=None if seed is None else int(seed),
        metadata={key: value for key, value in attributes.items() if key not in KNOWN},
    )


def _observed(source: StoredEpisode, leaf: Leaf, length: int, conversion: Conversion) -> np.ndarray:
    if leaf.jpeg:
        array, lossy = source.images(leaf.place, leaf.shape)
        if lossy:
            conversion.note(f"{leaf.place} was stored as JPEG: its pixels are not the camera's")
    else:
        array = source.array(leaf.place)
    array = _fitting(array, leaf, length + 1, source.where)
    if leaf.spec.role is Role.pixels:
        if image_axes(leaf.shape) == "chw":
            array = np.moveaxis(array, 1, -1)
        array = array.reshape(len(array), *as_image(leaf.shape))
    return array


def _fitting(array: np.ndarray, leaf: Leaf, rows: int, where: str) -> np.ndarray:
    """The array, when it has the rows and the shape that its space says, up to axes of length 1."""
    place = f"{where}: {leaf.place}"
    if not array.ndim or len(array) != rows:
        found = len(array) if array.ndim else "no"
        hint = "an episode of T steps has T actions and T+1 observations, the final one too"
        raise CorpusError(f"has {found} rows where {rows} are due", place, hint)
    stored, said = ([n for n in shape if n != 1] for shape in (array.shape[1:], leaf.shape))
    if stored != said:
        # as many numbers in another order of axes would be a scrambled picture
        what = f"has shape {array.shape[1:]} where the space says {leaf.shape}"
        raise CorpusError(what, place, "write the dataset again with the space of its arrays")
    return array.reshape(rows, *leaf.shape)


def _actions(
    source: StoredEpisode, conversion: Conversion, length: int
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Actions, and which of them are observed."""
    parts = [
        _fitting(source.array(leaf.place), leaf, length, source.where)
        for leaf in conversion.actions
    ]
    actions = parts[0]
    if len(parts) > 1:
        actions = np.concatenate([part.reshape(length, -1) for part in parts], axis=1)
    seen = observed_flags(source, length)
    if conversion.unrecorded and actions.dtype.kind == "f":
        unrecorded = np.isnan(actions.reshape(length, -1)).any(axis=1)
        seen = np.array(~unrecorded if seen is None else seen & ~unrecorded)
    _require_within(actions, seen, conversion.action, f"{source.where}: actions")
    if seen is None:
        return actions, None
    return (actions, seen) if seen.any() else (None, None)


def _require_within(
    actions: np.ndarray, seen: np.ndarray | None, spec: ArraySpec, where: str
) -> None:
    """Refuse an observed action outside the bounds of its space: Minari does not look."""
    outside, bounds = beyond_bounds(actions, spec), spec.bounds()
    if seen is not None:
        outside[~seen] = False
    if bounds is None or not outside.any():
        return
    at = tuple(int(i) for i in np.argwhere(outside)[0])
    low, high = (float(bound[at[1:]]) for bound in bounds)
    what = f"{actions[at]:g} at step {at[0]} is outside [{low:g}, {high:g}]"
    hint = "clip it, or declare the bounds of the environment: --set low=… --set high=…"
    raise CorpusError(what, where, hint)


def _is_seed(seed: Any) -> bool:
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    return whole and 0 <= int(seed) < 1 << 64


def nan_is_missing(settings: Mapping[str, Any]) -> bool:
    """Whether NaN actions are missing ones.

    Raises:
        ConfigError: the setting has another value.
    """
    meaning = settings.get("nan")
    if meaning not in (None, "missing"):
        raise ConfigError(f"is {meaning!r}", "nan", "write nan=missing, or leave it out")
    return meaning == "missing"
