"""The arrays of several corpora: whether they agree, and which of them all corpora share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from lawm_schemas import ArraySpec, ConfigError, CorpusError, EnvironmentInfo, Role

from lawm_data.corpus.agreement import (
    Difference,
    Edits,
    drawn_otherwise,
    other_repeat,
    renamed,
    same_under_another_name,
    say,
    shared_action,
    wider,
)
from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.trajectory import Trajectory
from lawm_data.envs.suites import named_environment
from lawm_data.system.images import is_picture, pillow, resize

SAME = ("shape", "role")
"""What arrays of one name must agree in to be shared, beside a type that holds the numbers of both;
their bounds may differ."""
LIKE = "import videos with --set like=CORPUS; bring cameras of one name to one size with --size"
LARGEST = 4096
"""Edge of a picture; a larger one is not made."""


class Arrays(NamedTuple):
    """The arrays of a corpus that is made of others."""

    observations: tuple[ArraySpec, ...]
    action: ArraySpec
    left: tuple[str, ...] = ()
    """What some of the others have beyond these, and why it is left out."""
    sources: tuple[Mapping[str, str], ...] = ()
    """What arrays are called in each of the others, where that is another name."""

    def source(self, number: int) -> Mapping[str, str]:
        """Names of arrays in one of the others, by their names here."""
        return self.sources[number] if self.sources else {}


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
            keys = [key for key in ArraySpec.model_fields if key != "drawing"]
            for mine, found in zip(ours, its, strict=True):
                odd = _difference(found, mine, keys)
                odd = odd or drawn_otherwise(found, view, mine, views[0])
                difference = difference or (f"{mine.name} has {odd}" if odd else None)
        if difference:
            hint = f"{hint} (compared with {views[0].path})"
            raise CorpusError(difference, str(view.path), hint)
    require_same_environment(views)


def require_same_environment(views: Sequence[Corpus]) -> None:
    """Refuse corpora of different environments; one that names none goes with any.

    Raises:
        CorpusError: says what differs, and the edit that brings them together.
    """
    _require_none(_other_environments(views), views[0])


def _other_environments(views: Sequence[Corpus]) -> dict[Path, list[Difference]]:
    """What the environments differ in; one that names none goes with any."""
    named = [(view, view.manifest.environment) for view in views if view.manifest.environment]
    odd = {}
    for view, its in named[1:]:
        ours, found = named[0][1], []
        if (its.suite, its.task) != (ours.suite, ours.task):
            what = f"the environment is {_task(its)}, not {_task(ours)}"
            found.append(Difference(what, {view.path: [_declaring(ours)]}))
        if different := other_repeat(its, ours, view):
            found.append(different)
        if found:
            odd[view.path] = found
    return odd


def _task(environment: EnvironmentInfo) -> str:
    """An environment as ``--env`` takes it."""
    suite = "" if environment.suite == "dm_control" else f"{environment.suite}:"
    return f"{suite}{environment.task}"


def _declaring(environment: EnvironmentInfo) -> str:
    """The option that names an environment, or none where it cannot be made here."""
    try:
        named_environment(_task(environment))
    except ConfigError:
        return "--set env=null"
    return f"--set env={_task(environment)}"


def _require_none(
    differences: Mapping[Path, Sequence[Difference]], first: Corpus, hint: str = "give others"
) -> None:
    if differences:
        what, where, mend = say(differences)
        raise CorpusError(what, where, f"compared with {first.path}; {mend or hint}")


def shared_arrays(views: Sequence[Corpus], size: int | None = None) -> Arrays:
    """The arrays that all corpora have, in the order of the first.

    Their types hold the numbers of all; see ``shared_action`` and ``same_under_another_name``.

    Args:
        views: of the corpora.
        size: edge of the squares that pictures are brought to; None takes them as they are.

    Raises:
        ConfigError: no such size, or the package that resizes is missing.
        CorpusError: they share no state and no pixels, or their actions or environments differ;
            says in what, and the edit that brings them together.
    """
    if size is not None and not 1 <= size <= LARGEST:
        raise ConfigError(f"is {size}", "--size", f"give a whole number from 1 to {LARGEST}")
    sources = tuple(_other_names(views[0], view) for view in views)
    specs = [
        _sized(view.manifest.observations, size, source)
        for view, source in zip(views, sources, strict=True)
    ]
    kept, left = [], []
    for name in dict.fromkeys(name for found in specs for name in found):
        odd = _why_not_shared(name, specs, views)
        if odd is None:
            kept.append(_joint([found[name] for found in specs]))
        else:
            left.append(f"array {name}: {odd}")
    action, odd = shared_action(views)
    for path, found in _other_environments(views).items():
        odd.setdefault(path, []).extend(found)
    hint = "give corpora of one kind"
    if not any(spec.role in (Role.state, Role.pixels) for spec in kept):
        what = f"shares no observation with the others ({'; '.join(left)})"
        renaming = Difference(what, _renaming(views[0], views[-1]))
        odd[views[-1].path] = [renaming, *odd.get(views[-1].path, [])]
        hint = LIKE
    _require_none(odd, views[0], hint)
    others = [
        f"action of {view.path}: none was recorded there"
        for view in views
        if view.manifest.action.shape != action.shape
    ]
    left += others
    return Arrays(tuple(kept), action, tuple(left), sources if any(sources) else ())


def _joint(specs: Sequence[ArraySpec]) -> ArraySpec:
    """One array that holds those of all; bounds that differ bind none of them."""
    joint = specs[0]
    for spec in specs[1:]:
        joint = wider(joint, spec) or joint
        joint = joint.model_copy(update={"drawing": joint.drawing or spec.drawing})
        if (spec.low, spec.high) != (joint.low, joint.high):
            joint = joint.model_copy(update={"low": None, "high": None})
    return joint


def _other_names(first: Corpus, view: Corpus) -> dict[str, str]:
    """What the arrays of the first corpus are called in another one, where that differs."""
    ours, its = first.manifest.state, view.manifest.state
    if not same_under_another_name(ours, its) or ours[0].name == its[0].name:
        return {}
    return {ours[0].name: its[0].name}


def _renaming(first: Corpus, view: Corpus) -> Edits:
    """The edit that would give the state of a corpus the names of the first one's, if any."""
    names = renamed(first.manifest.state, view.manifest.state)
    pairs = zip(view.manifest.state, names, strict=True)
    options = [f"--rename {spec.name}={name}" for spec, name in pairs if spec.name != name]
    return {view.path: options} if options else {}


def fitted(
    trajectory: Trajectory, specs: Sequence[ArraySpec], names: Mapping[str, str]
) -> dict[str, np.ndarray]:
    """Arrays of a trajectory, (T+1, *shape) by name.

    Args:
        trajectory: what has them.
        specs: what they become; pictures of another size are resized.
        names: what arrays are called in the trajectory, where that is another name.

    Raises:
        CorpusError: a number does not fit its new type.
    """
    known = {spec.name: spec for spec in trajectory.manifest.observations}
    old = [known[names.get(spec.name, spec.name)] for spec in specs]
    arrays, found = trajectory.arrays(old), {}
    for spec, source in zip(specs, old, strict=True):
        array = arrays[source.name]
        if array.shape[1:] != spec.shape:
            array = np.stack([resize(picture, *spec.shape[:2]) for picture in array])
        found[spec.name] = converted(array, spec)
    return found


def converted(array: np.ndarray, spec: ArraySpec) -> np.ndarray:
    """An array in the type of a spec, where that holds its numbers; floats may be rounded.

    Raises:
        CorpusError: names a number that does not fit.
    """
    wanted = np.dtype(spec.dtype)
    if array.dtype == wanted or (array.dtype.kind, wanted.kind) == ("f", "f"):
        return array.astype(wanted, copy=False)
    with np.errstate(invalid="ignore", over="ignore"):
        made = array.astype(wanted)
    lost = made.astype(array.dtype) != array
    if lost.any():
        what = f"{array[lost].flat[0]} is no {wanted.name}"
        raise CorpusError(what, spec.name, "give a type that holds all its numbers")
    return made


def _difference(its: object, ours: object, keys: Iterable[str]) -> str | None:
    """The first of some attributes in which two things differ."""
    for key in keys:
        if getattr(its, key) != getattr(ours, key):
            return f"{key} {getattr(its, key)}, not {getattr(ours, key)}"
    return None


def _sized(
    specs: Iterable[ArraySpec], size: int | None, source: Mapping[str, str]
) -> dict[str, ArraySpec]:
    """Arrays by the name that they will have, pictures in the size that they will have."""
    names = {old: new for new, old in source.items()}
    found = {}
    for spec in specs:
        if size is not None and spec.role is Role.pixels and is_picture(spec.shape, spec.dtype):
            pillow()
            spec = spec.model_copy(update={"shape": (size, size, spec.shape[2])})
        name = names.get(spec.name, spec.name)
        found[name] = spec.model_copy(update={"name": name})
    return found


def _why_not_shared(
    name: str, specs: Sequence[Mapping[str, ArraySpec]], views: Sequence[Corpus]
) -> str | None:
    """What keeps an array from being the same everywhere."""
    for found, view in zip(specs, views, strict=True):
        if name not in found:
            return f"is not in {view.path}"
    joint = specs[0][name]
    first = next((i for i, view in enumerate(views) if view.manifest.environment), 0)
    for found, view in zip(specs, views, strict=True):
        odd = _difference(found[name], specs[0][name], SAME)
        odd = odd or drawn_otherwise(found[name], view, specs[first][name], views[first])
        both = wider(joint, found[name])
        if odd is None and both is None:
            odd = _difference(found[name], joint, ("dtype",))
        if odd:
            return f"in {view.path} it has {odd}"
        joint = both or joint
    return None
