"""Whether arrays of several corpora mean the same, and the edits that bring them together."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from lawm_schemas import ArraySpec, ConfigError, Drawing, EnvironmentInfo, Role
from lawm_schemas.arrays import DTYPES

from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.rate import one_rate, step_rates
from lawm_data.corpus.store import open_store
from lawm_data.corpus.table import OBSERVED
from lawm_data.corpus.writing.record import beyond_bounds

GENERIC = ("observation", "observations", "obs", "state")
"""Names of a state that say no more than that it is all there is."""

Edits = Mapping[Path, Sequence[str]]
"""Options of ``lawm-data edit``, by the folder of the corpus."""


class Difference(NamedTuple):
    """What keeps two corpora from going together."""

    what: str
    """As it is said of the later one, such as ``the action has bounds -2:2, not -1:1``."""
    edits: Edits = MappingProxyType({})
    """What removes it; nothing where no edit can."""


def records_actions(view: Corpus) -> bool:
    """Whether the corpus of a view has any recorded action, shown or hidden."""
    return bool((open_store(view.path).table.labels == OBSERVED).any())


def wider(one: ArraySpec, other: ArraySpec) -> ArraySpec | None:
    """The first spec in a type that holds the numbers of both; None where they mean different.

    Floats go with floats and whole numbers with whole numbers, and in a state, which is read as
    floats, each with the other. Pictures of 8 bits do not go with those of 16.
    """
    if one.dtype == other.dtype:
        return one
    kinds = {np.dtype(spec.dtype).kind.replace("u", "i") for spec in (one, other)}
    numbers = kinds in ({"f"}, {"i"}) or (kinds == {"f", "i"} and one.role is Role.state)
    dtype = np.promote_types(one.dtype, other.dtype).name
    if not numbers or one.role is Role.pixels or dtype not in DTYPES:
        return None
    return one.model_copy(update={"dtype": dtype})


def shared_action(views: Sequence[Corpus]) -> tuple[ArraySpec, dict[Path, list[Difference]]]:
    """The action of several corpora, and what keeps which of them from having it.

    It is that of the corpora in which actions were recorded: in one of videos, say, the shape is
    only what an action would have been. Its type holds the numbers of all; bounds that some know
    hold for the others too, where no action that these show lies outside.
    """
    # a stream has no folder to look into, and goes with nothing else
    recorded = [view for view in views if len(views) == 1 or records_actions(view)] or views[:1]
    first, odd = recorded[0], {}
    action = first.manifest.action
    bounded = next((view for view in recorded if _bounds(view.manifest.action)), None)
    for view in recorded:
        its = view.manifest.action
        found = odd.setdefault(view.path, [])
        if its.shape != action.shape:
            found.append(Difference(f"the action has shape {its.shape}, not {action.shape}"))
            continue
        if (both := wider(action, its)) is None:
            found.append(_other_type("action", its, action, view))
        else:
            action = both
        if bounded is not None and view is not bounded:
            found += _other_bounds(bounded, view)
    if bounded is not None:
        known = bounded.manifest.action
        action = action.model_copy(update={"low": known.low, "high": known.high})
    return action, {path: found for path, found in odd.items() if found}


def _other_bounds(bounded: Corpus, view: Corpus) -> list[Difference]:
    """What keeps a corpus from having the bounds of another one."""
    known, its = bounded.manifest.action, view.manifest.action
    ours, ends = _bounds(known), _bounds(its)
    if known.shape != its.shape or ours is None or ours == ends:
        return []
    if ends is None:
        worst = _outside(view, known)
        if worst is None:
            return []
        what = f"an action is {worst:g}, outside the bounds {show_bounds(known)} of {bounded.path}"
        return [Difference(what, {bounded.path: [f"--bounds {known.name}=none"]})]
    joint = its.model_copy(
        update={
            "low": tuple(np.minimum(ours[0], ends[0]).tolist()),
            "high": tuple(np.maximum(ours[1], ends[1]).tolist()),
        }
    )
    option = f"={show_bounds(joint)}"
    edits = {
        v.path: [f"--bounds {v.manifest.action.name}{option}"]
        for v in (bounded, view)
        if _bounds(v.manifest.action) != _bounds(joint)
    }
    what = f"the action has bounds {show_bounds(its)}, not {show_bounds(known)}"
    return [Difference(what, edits)]


def _bounds(spec: ArraySpec) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    return None if spec.low is None or spec.high is None else (spec.low, spec.high)


def _outside(view: Corpus, spec: ArraySpec) -> float | None:
    """An action that a view shows and that is outside of bounds, or None."""
    for i in np.flatnonzero(view.table.num_observed > 0).tolist():
        trajectory = view[i]
        assert trajectory.actions is not None
        seen = trajectory.actions[trajectory.action_observed]
        outside = beyond_bounds(seen, spec)
        if outside.any():
            return float(seen[outside][0])
    return None


def shared_state(views: Sequence[Corpus]) -> tuple[list[ArraySpec], dict[Path, list[Difference]]]:
    """The state fields of several corpora in one order, and what keeps which from having them.

    A state of one field that is only called ``observation`` or the like is the same under any of
    those names.
    """
    state, odd = list(views[0].manifest.state), {}
    for view in views[1:]:
        its, found = list(view.manifest.state), []
        if [s.name for s in its] != [s.name for s in state] and not same_under_another_name(
            state, its
        ):
            found.append(_other_fields(views[0], view))
        else:
            for place, (ours, other) in enumerate(zip(state, its, strict=True)):
                both = wider(ours, other)
                if ours.shape != other.shape:
                    what = f"{ours.name} has shape {other.shape}, not {ours.shape}"
                    found.append(Difference(what, _without(ours.name, views[0], view)))
                elif both is None:
                    found.append(_other_type(other.name, other, ours, view))
                else:
                    state[place] = both
        if found:
            odd[view.path] = found
    return state, odd


def require_joint(views: Sequence[Corpus]) -> tuple[tuple[ArraySpec, ...], ArraySpec]:
    """The state and the action that batches of several corpora have.

    See ``shared_state`` and ``shared_action``.

    Raises:
        ConfigError: says what differs, cameras too, and the edits that bring them together.
    """
    state, odd = shared_state(views)
    action, others = shared_action(views)
    for more in (others, _other_pixels(views)):
        for path, found in more.items():
            odd.setdefault(path, []).extend(found)
    if odd:
        what, where, mend = say(odd)
        hint = f"compared with {views[0].path}; {mend or 'train on corpora of one environment'}"
        raise ConfigError(what, where, hint)
    return tuple(state), action


def _other_pixels(views: Sequence[Corpus]) -> dict[Path, list[Difference]]:
    """What keeps corpora from having the same cameras."""
    cameras = [
        {s.name: s for s in view.manifest.observations if s.role is Role.pixels} for view in views
    ]
    odd = {}
    for view, its in zip(views[1:], cameras[1:], strict=True):
        ours, edits = cameras[0], {}
        same = {
            n
            for n in ours
            if n in its
            and ours[n] == its[n].model_copy(update=_ends(ours[n]))
            and drawn_otherwise(its[n], view, ours[n], views[0]) is None
        }
        for corpus, found in ((views[0], ours), (view, its)):
            if more := [name for name in found if name not in same]:
                edits[corpus.path] = [f"--drop {name}" for name in more]
        if edits:
            what = f"the pixels are {_fields(its.values())}, not {_fields(ours.values())}"
            state = same or all(corpus.manifest.state for corpus in (views[0], view))
            odd[view.path] = [Difference(what, edits if state else {})]
    return odd


def _ends(spec: ArraySpec) -> dict[str, object]:
    return {"low": spec.low, "high": spec.high, "drawing": spec.drawing}


def drawn_otherwise(its: ArraySpec, view: Corpus, ours: ArraySpec, first: Corpus) -> str | None:
    """In what pictures of a corpus look unlike those of the first; films go with any."""
    pairs = ((ours, first), (its, view))
    drawn = [s.drawing or Drawing(by="suite") for s, v in pairs if v.manifest.environment]
    if ours.role is not Role.pixels or len(drawn) < 2:
        return None
    # with another seed distractors do other things, and look the same
    one, other = (drawing.model_copy(update={"seed": 0}) for drawing in drawn)
    if one == other:
        return None
    return f"drawing {drawn[1]}, not {drawn[0]}"


def reads_alike(view: Corpus, state: Sequence[ArraySpec], action: ArraySpec) -> bool:
    """Whether what was trained on a state and an action can read a corpus."""
    its, other = view.manifest.state, view.manifest.action
    named = [s.name for s in its] == [s.name for s in state] or same_under_another_name(its, state)
    alike = named and all(
        ours.shape == theirs.shape and wider(ours, theirs)
        for ours, theirs in zip(state, its, strict=True)
    )
    bounds = {_bounds(action), _bounds(other)} - {None}
    return bool(alike and action.shape == other.shape and wider(action, other) and len(bounds) < 2)


def same_under_another_name(one: Sequence[ArraySpec], other: Sequence[ArraySpec]) -> bool:
    """Whether two states are one field of one shape each, under names that say nothing."""
    if len(one) != 1 or len(other) != 1 or one[0].shape != other[0].shape:
        return False
    return one[0].name in GENERIC and other[0].name in GENERIC


def _other_fields(first: Corpus, view: Corpus) -> Difference:
    """The states have other names or another order."""
    ours, its = first.manifest.state, view.manifest.state
    what = f"the state is {_fields(its)}, not {_fields(ours)}"
    names = {spec.name: rename for spec, rename in zip(its, renamed(ours, its), strict=True)}
    there = {names[spec.name]: spec for spec in its}
    alike = (s for s in ours if s.name in there and s.shape == there[s.name].shape)
    kept = [s.name for s in alike if wider(s, there[s.name])]
    if not kept:
        return Difference(what)
    options = [f"--rename {old}={new}" for old, new in names.items() if old != new]
    edits = {}
    for corpus, have in ((first, [s.name for s in ours]), (view, list(there))):
        own = options if corpus is view else []
        if have != kept:
            rest = [s.name for s in corpus.manifest.observations if s.role is not Role.state]
            own = [*own, f"--fields {','.join([*kept, *rest])}"]
        if own:
            edits[corpus.path] = own
    return Difference(what, edits)


def renamed(ours: Sequence[ArraySpec], its: Sequence[ArraySpec]) -> list[str]:
    """What other fields would be called here: those of one shape, taken in their order."""
    known, theirs = {s.name for s in ours}, {s.name for s in its}
    free = [s for s in ours if s.name not in theirs]
    found = []
    for spec in its:
        match = None
        if spec.name not in known:
            match = next((s for s in free if s.shape == spec.shape and wider(s, spec)), None)
        if match is not None:
            free.remove(match)
        found.append(spec.name if match is None else match.name)
    return found


def _other_type(name: str, its: ArraySpec, ours: ArraySpec, view: Corpus) -> Difference:
    what = f"{name} has type {its.dtype}, not {ours.dtype}"
    return Difference(what, {view.path: [f"--dtype {name}={ours.dtype}"]})


def _without(name: str, *views: Corpus) -> Edits:
    """What leaves an array out, where something else remains."""
    if any(len(view.manifest.state) < 2 for view in views):
        return {}
    return {view.path: [f"--drop {name}"] for view in views}


def require_one_repeat(views: Sequence[Corpus]) -> None:
    """Refuse corpora of one environment with different action repeats.

    A step means another time there, and no policy acts at both.

    Raises:
        ConfigError: says which, and the edit if one of them says something wrong of itself.
    """
    first: dict[tuple[str, str], Corpus] = {}
    for view in views:
        its = view.manifest.environment
        if its is None:
            continue
        other = first.setdefault((its.suite, its.task), view)
        ours = other.manifest.environment
        assert ours is not None  # it was put there by its environment
        different = other_repeat(its, ours, view)
        if different is not None:
            edit = say({view.path: [different]})[2]
            hint = f"compared with {other.path}; train on corpora of one action repeat; {edit}"
            what = f"{different.what}, and a step means another time there"
            raise ConfigError(what, str(view.path), hint)


def other_repeat(its: EnvironmentInfo, ours: EnvironmentInfo, view: Corpus) -> Difference | None:
    """The difference of a view's action repeat from that of another corpus, if there is one."""
    if its.action_repeat == ours.action_repeat:
        return None
    what = f"the action repeat is {its.action_repeat}, not {ours.action_repeat}"
    return Difference(what, {view.path: [f"--set action_repeat={ours.action_repeat}"]})


def rate_notes(views: Sequence[Corpus]) -> list[str]:
    """A line for each corpus whose steps last another time than those of the first that says so.

    Or of which some last longer than others: it was merged from several.
    """
    found = [
        (view, step_rates(view.manifest, set(view.table.provenance.tolist()))) for view in views
    ]
    known = [(view, rates) for view, rates in found if rates]
    notes = []
    for view, rates in known:
        first, (ours, *_) = known[0]
        if all(one_rate(rate, ours) for rate in rates):
            continue
        mend = command(view.path, [f"--set fps={ours:g}"])
        what = f"{view.path}: has {' and '.join(f'{rate:g}' for rate in rates)} steps a second"
        what += "" if view is first else f", and {first.path} {ours:g}"
        notes.append(f"{what}; a step means another time there; if that is wrong: {mend}")
    return notes


def show_bounds(spec: ArraySpec) -> str:
    """Bounds as ``edit --bounds`` takes them; one number stands for equal ones."""
    found = _bounds(spec)
    if found is None:
        return "none"
    return ":".join(",".join(repr(x).removesuffix(".0") for x in _one(ends)) for ends in found)


def _one(numbers: Sequence[float]) -> Sequence[float]:
    return numbers[:1] if len(set(numbers)) == 1 else numbers


def _fields(specs: Collection[ArraySpec]) -> str:
    drawn = {s.name: f" drawn by {s.drawing}" if s.drawing else "" for s in specs}
    return ", ".join(f"{s.name} {s.dtype}{list(s.shape)}{drawn[s.name]}" for s in specs) or "none"


def say(differences: Mapping[Path, Sequence[Difference]]) -> tuple[str, str, str]:
    """All differences as the parts of an error: what is wrong, where, and the edits to do.

    An edit is only offered where edits remove every difference of a corpus.
    """
    path, found = next(iter(differences.items()))
    what = "; ".join(difference.what for difference in found)
    if not all(difference.edits for difference in found):
        return what, str(path), ""
    options: dict[Path, list[str]] = {}
    for difference in found:
        for where, some in difference.edits.items():
            options.setdefault(where, []).extend(o for o in some if o not in options[where])
    lines = " && ".join(command(where, some) for where, some in options.items())
    return what, str(path), f"if they mean the same: {lines}"


def command(path: Path, options: Sequence[str], *more: str) -> str:
    """The line that edits a corpus, into a folder that is not there yet.

    Args:
        path: the corpus.
        options: options of ``lawm-data edit``, each with its value behind a space.
        more: words that may have spaces in them.
    """
    out, number = path.with_name(f"{path.name}-edited"), 2
    while out.exists():
        out, number = path.with_name(f"{path.name}-edited-{number}"), number + 1
    words = [word for option in options for word in option.split(" ")]
    return shlex.join(["lawm-data", "edit", str(path), *words, *more, "--out", str(out)])
