"""The arrays of several corpora: whether they agree, and which of them all corpora share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from lawm_schemas import ArraySpec, ConfigError, CorpusError, Role

from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.store import open_store
from lawm_data.corpus.table import OBSERVED
from lawm_data.corpus.trajectory import Trajectory
from lawm_data.system.images import is_picture, pillow, resize

SAME = ("shape", "dtype", "role")
"""What arrays of one name must agree in to be shared; their bounds may differ."""
LIKE = "import videos with --set like=CORPUS; bring cameras of one name to one size with --size"
LARGEST = 4096
"""Edge of a picture; a larger one is not made."""


class Arrays(NamedTuple):
    """The arrays of a corpus that is made of others."""

    observations: tuple[ArraySpec, ...]
    action: ArraySpec
    left: tuple[str, ...] = ()
    """What some of the others have beyond these, and why it is left out."""


def require_same_arrays(views: Sequence[Corpus], hint: str = "give corpora of one kind") -> None:
    """Refuse corpora of different arrays or environments.

    Args:
        views: of the corpora.
        hint: what to do where arrays differ.

    Raises:
        CorpusError: names the first difference.
    """
    first = views[0].manifest
    names = ", ".join(spec.name for spec in first.observations)
    for view in views[1:]:
        other, difference = view.manifest, None
        others = ", ".join(spec.name for spec in other.observations)
        if others != names:
            difference = f"observes {others}, not {names}"
        else:
            ours, its = ((*m.observations, m.action) for m in (first, other))
            for mine, found in zip(ours, its, strict=True):
                odd = _difference(found, mine, ArraySpec.model_fields)
                difference = difference or (f"{mine.name} has {odd}" if odd else None)
        if difference:
            hint = f"{hint} (compared with {views[0].path})"
            raise CorpusError(difference, str(view.path), hint)
    require_same_environment(views)


def require_same_environment(views: Sequence[Corpus]) -> None:
    """Refuse corpora of different environments; one that names none goes with any.

    Raises:
        CorpusError: names the first difference.
    """
    named = [(view, view.manifest.environment) for view in views if view.manifest.environment]
    for view, environment in named[1:]:
        first = named[0][1]
        odd = _difference(environment, first, ("suite", "task", "action_repeat"))
        if odd:
            hint = f"give corpora of one environment (compared with {named[0][0].path})"
            raise CorpusError(f"the environment has {odd}", str(view.path), hint)


def shared_arrays(views: Sequence[Corpus], size: int | None = None) -> Arrays:
    """The arrays that all corpora have, in the order of the first.

    The action is that of the corpora in which actions were recorded. In one of videos, say, its
    shape is only what an action would have been.

    Args:
        views: of the corpora.
        size: edge of the squares that pictures are brought to; None takes them as they are.

    Raises:
        ConfigError: no such size, or the package that resizes is missing.
        CorpusError: they share no state and no pixels, or their actions differ.
    """
    if size is not None and not 1 <= size <= LARGEST:
        raise ConfigError(f"is {size}", "--size", f"give a whole number from 1 to {LARGEST}")
    specs = [_sized(view.manifest.observations, size) for view in views]
    kept, left = [], []
    for name in dict.fromkeys(name for found in specs for name in found):
        odd = _why_not_shared(name, specs, views)
        if odd is None:
            shared = [found[name] for found in specs]
            if any((spec.low, spec.high) != (shared[0].low, shared[0].high) for spec in shared):
                # bounds that differ bind none of them
                shared[0] = shared[0].model_copy(update={"low": None, "high": None})
            kept.append(shared[0])
        else:
            left.append(f"array {name}: {odd}")
    if not any(spec.role in (Role.state, Role.pixels) for spec in kept):
        where = ", ".join(dict.fromkeys(str(view.path) for view in views))
        raise CorpusError(f"share no observation ({'; '.join(left)})", where, LIKE)
    action, others = _action(views)
    return Arrays(tuple(kept), action, (*left, *others))


def fitted(trajectory: Trajectory, specs: Sequence[ArraySpec]) -> dict[str, np.ndarray]:
    """Arrays of a trajectory, (T+1, *shape) by name; pictures of another size are resized."""
    arrays = trajectory.arrays(specs)
    for spec in specs:
        array = arrays[spec.name]
        if array.shape[1:] != spec.shape:
            resized = [resize(picture, *spec.shape[:2]) for picture in array]
            arrays[spec.name] = np.stack(resized)
    return {spec.name: arrays[spec.name] for spec in specs}


def records_actions(view: Corpus) -> bool:
    """Whether the corpus of a view has any recorded action, shown or hidden."""
    return bool((open_store(view.path).table.labels == OBSERVED).any())


def _difference(its: object, ours: object, keys: Iterable[str]) -> str | None:
    """The first of some attributes in which two things differ."""
    for key in keys:
        if getattr(its, key) != getattr(ours, key):
            return f"{key} {getattr(its, key)}, not {getattr(ours, key)}"
    return None


def _sized(specs: Iterable[ArraySpec], size: int | None) -> dict[str, ArraySpec]:
    """Arrays by name, pictures in the size that they will have."""
    found = {spec.name: spec for spec in specs}
    for name, spec in found.items():
        if size is not None and spec.role is Role.pixels and is_picture(spec.shape, spec.dtype):
            pillow()
            found[name] = spec.model_copy(update={"shape": (size, size, spec.shape[2])})
    return found


def _why_not_shared(
    name: str, specs: Sequence[Mapping[str, ArraySpec]], views: Sequence[Corpus]
) -> str | None:
    """What keeps an array from being the same everywhere."""
    for found, view in zip(specs, views, strict=True):
        if name not in found:
            return f"is not in {view.path}"
    for found, view in zip(specs, views, strict=True):
        odd = _difference(found[name], specs[0][name], SAME)
        if odd:
            return f"in {view.path} it has {odd}"
    return None


def _action(views: Sequence[Corpus]) -> tuple[ArraySpec, list[str]]:
    """The action that was recorded, and a line for each corpus that says another."""
    recorded = [view for view in views if records_actions(view)] or views[:1]
    action = recorded[0].manifest.action
    for view in recorded:
        odd = _difference(view.manifest.action, action, ArraySpec.model_fields)
        if odd:
            hint = f"give corpora of one action (compared with {recorded[0].path})"
            raise CorpusError(f"the action has {odd}", str(view.path), hint)
    others = [view for view in views if view.manifest.action != action]
    return action, [f"action of {view.path}: none was recorded there" for view in others]
