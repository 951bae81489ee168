"""A corpus with other names, types, bounds or an environment, or without actions that are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from lawm_schemas import (
    ArraySpec,
    ConfigError,
    CorpusError,
    EnvironmentInfo,
    Manifest,
    Role,
)

from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.rate import FPS
from lawm_data.curation.common_arrays import Arrays
from lawm_data.curation.derive import Derived, derive, through
from lawm_data.curation.expression import matching
from lawm_data.envs.suites import named_environment

SETTINGS = {
    "env": "environment to evaluate in, such as walker-walk or gym:Pendulum-v1; null for none",
    "action_repeat": "its control steps per recorded step",
    "fps": "steps per second",
    "licence": "SPDX licence; null for none",
}
"""What ``--set`` can change of a corpus."""
Ends = tuple[tuple[float, ...], tuple[float, ...]] | None


def edit_corpus(
    corpus: Corpus,
    out: str | Path,
    *,
    rename: Mapping[str, str] | None = None,
    dtype: Mapping[str, str] | None = None,
    bounds: Mapping[str, Ends] | None = None,
    drop: Sequence[str] = (),
    fields: Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    missing_where: str | None = None,
    dry_run: bool = False,
) -> Derived:
    """Write a corpus of the same trajectories that is described in another way.

    Arrays are named as they are in the corpus, or by their new names.

    Args:
        corpus: the view.
        out: a folder that does not exist yet.
        rename: new names of arrays.
        dtype: new types of arrays. Floats may be rounded; any other number must fit.
        bounds: new bounds of arrays, each one number or one for each element; None for none. All
            recorded actions must lie between theirs.
        drop: arrays of observations to leave out.
        fields: observations to keep, in this order; None keeps all.
        settings: of ``SETTINGS``.
        missing_where: an expression; the actions of the trajectories that it is true of become
            missing: no number of them is in the new corpus.
        dry_run: only report what would be written.

    Raises:
        ConfigError: nothing is to be changed, or no such array, type, setting or environment.
        CorpusError: a number does not fit its new type, an action lies outside its new bounds, or
            no observation is left.
        StorageError: something is already there, or the file system refused; nothing is left.
    """
    asked: dict[str, Any] = {
        "rename": dict(rename or {}),
        "dtype": dict(dtype or {}),
        "bounds": dict(bounds or {}),
        "drop": list(drop),
        "fields": list(fields or ()),
        "set": dict(settings or {}),
        "missing_where": missing_where,
    }
    old = {new: name for name, new in asked["rename"].items()}
    there = {spec.name for spec in (*corpus.manifest.observations, corpus.manifest.action)}
    for key in ("dtype", "bounds"):
        named = asked[key].items()
        asked[key] = {n if n in there else old.get(n, n): value for n, value in named}
    asked["drop"] = [name if name in there else old.get(name, name) for name in drop]
    asked = {key: value for key, value in asked.items() if value}
    if not asked:
        raise ConfigError("nothing is to be changed", "edit", "give --rename, --set, …")
    arrays = _arrays(corpus.manifest, asked)
    described = _described(corpus.manifest, asked.get("set", {}))
    unlabeled: frozenset[str] = frozenset()
    if missing_where is not None:
        meant = matching(corpus, missing_where) & (corpus.table.num_observed > 0)
        if not meant.any():
            what = "is true of no trajectory with actions"
            raise CorpusError(what, f"{corpus.path}: --missing-where", "check the expression")
        unlabeled = frozenset(corpus.table.id[meant].tolist())
        asked["missing"] = len(unlabeled)
    return derive(
        [corpus],
        out,
        "edit",
        {**asked, **through(corpus)},
        arrays=arrays,
        described=lambda _: described,
        unlabeled=unlabeled,
        dry_run=dry_run,
    )


def _arrays(manifest: Manifest, asked: Mapping[str, Any]) -> Arrays:
    """The arrays of the new corpus."""
    known = [spec.name for spec in (*manifest.observations, manifest.action)]
    for kind in ("rename", "dtype", "bounds", "drop"):
        for name in asked.get(kind, ()):
            if name not in known:
                hint = f"there are {', '.join(known)}"
                raise ConfigError(f"there is no array {name!r}", f"--{kind}", hint)
    if manifest.action.name in asked.get("drop", ()):
        hint = "make them missing with --missing-where 'length > 0'"
        raise ConfigError("actions cannot be dropped", "--drop", hint)
    kept = [spec for spec in manifest.observations if spec.name not in asked.get("drop", ())]
    changed = {spec.name: _changed(spec, asked) for spec in kept}
    found = {spec.name: spec for spec in changed.values()}
    names = {new.name: old for old, new in changed.items()}
    if len(found) < len(changed):
        raise ConfigError("two arrays would have one name", "--rename", "choose another one")
    wanted = [
        changed[n].name if n not in found and n in changed else n
        for n in asked.get("fields", found)
    ]
    for name in wanted:
        if name not in found:
            hint = f"there are {', '.join(found)}"
            raise ConfigError(f"there is no observation {name!r}", "--fields", hint)
    if len(set(wanted)) < len(wanted):
        raise ConfigError("names an array twice", "--fields", "name each one once")
    observations = tuple(found[name] for name in wanted)
    if not any(spec.role in (Role.state, Role.pixels) for spec in observations):
        raise ConfigError("no observation would be left", "edit", "keep a state or a camera")
    names = {new: old for new, old in names.items() if new != old and new in wanted}
    left = [
        s.name for s in manifest.observations if s.name not in {names.get(n, n) for n in wanted}
    ]
    notes = tuple(f"array {name}: was not asked for" for name in left)
    return Arrays(observations, _changed(manifest.action, asked), notes, (names,))


def _changed(spec: ArraySpec, asked: Mapping[str, Any]) -> ArraySpec:
    """A spec with the name, type and bounds that are asked for."""
    data = spec.model_dump()
    data["name"] = asked.get("rename", {}).get(spec.name, spec.name)
    data["dtype"] = asked.get("dtype", {}).get(spec.name, spec.dtype)
    if spec.name in asked.get("bounds", {}):
        ends = asked["bounds"][spec.name]
        data["low"], data["high"] = (None, None) if ends is None else _of_size(ends, spec)
    return ArraySpec.parse(data, f"array {spec.name}")


def _of_size(ends: tuple[tuple[float, ...], tuple[float, ...]], spec: ArraySpec) -> Any:
    wide = [end * spec.size if len(end) == 1 else end for end in ends]
    if any(len(end) != spec.size for end in wide):
        hint = f"give one number, or {spec.size} with commas between them"
        raise ConfigError(f"has {spec.size} elements", f"--bounds {spec.name}", hint)
    if not all(low < high for low, high in zip(*wide, strict=True)):
        raise ConfigError("LOW is not below HIGH", f"--bounds {spec.name}", "exchange them")
    return wide


def _described(manifest: Manifest, settings: Mapping[str, Any]) -> Manifest:
    """The manifest with another environment, rate or licence."""
    for key in settings:
        if key not in SETTINGS:
            hint = f"settings: {', '.join(SETTINGS)}"
            raise ConfigError(f"no setting {key!r}", "--set", hint)
    environment = _environment(manifest.environment, settings)
    update: dict[str, Any] = {"environment": environment}
    if "fps" in settings:
        fps = settings["fps"]
        if type(fps) not in (int, float) or not isfinite(fps) or not 0 < fps <= 1000:
            hint = "give a number above 0, 1000 at most"
            raise ConfigError(f"is {fps!r}", "--set fps", hint)
        if environment is not None and environment.control_timestep:
            # where the environment tells how long a step lasts, it is what is asked
            seconds = {"control_timestep": 1 / (fps * environment.action_repeat)}
            update["environment"] = environment.model_copy(update=seconds)
        update["provenance"] = tuple(
            source.model_copy(update={"settings": {**source.settings, FPS: fps}})
            for source in manifest.provenance
        )
    if "licence" in settings:
        licence = settings["licence"]
        if licence is not None and (not isinstance(licence, str) or not licence):
            raise ConfigError(f"is {licence!r}", "--set licence", "give a name such as CC-BY-4.0")
        update["licence"] = licence
    return manifest.model_copy(update=update)


def _environment(
    before: EnvironmentInfo | None, settings: Mapping[str, Any]
) -> EnvironmentInfo | None:
    if "env" not in settings and "action_repeat" not in settings:
        return before
    if "env" in settings and settings["env"] is None:
        if "action_repeat" in settings:
            raise ConfigError("belongs to an environment", "--set action_repeat", "give env, too")
        return None
    repeat = settings.get("action_repeat", before.action_repeat if before else 1)
    if "env" not in settings:
        if before is None:
            raise ConfigError("belongs to an environment", "--set action_repeat", "give env, too")
        data = {**before.model_dump(), "action_repeat": repeat}
        return EnvironmentInfo.parse(data, "--set action_repeat")
    found = named_environment(settings["env"], repeat)
    if before is not None and (before.suite, before.task) == (found.suite, found.task):
        return before.model_copy(update={"action_repeat": found.action_repeat})
    return found


def parse_pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    """``["a=b"]`` as what stands behind ``=`` by what stands before.

    Raises:
        ConfigError: one that is not ``A=B``, or a name twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals or not value or name in found:
            what = "is there twice" if name in found else "is not NAME=VALUE"
            raise ConfigError(what, f"{option} {text}", "write observation=float32, for example")
        found[name] = value
    return found


def parse_bounds(texts: Sequence[str]) -> dict[str, Ends]:
    """``["action=-1:1"]`` as bounds by the name of the array.

    Raises:
        ConfigError: one that is not ``NAME=LOW:HIGH`` or ``NAME=none``.
    """
    found: dict[str, Ends] = {}
    for name, text in parse_pairs("--bounds", texts).items():
        if text == "none":
            found[name] = None
            continue
        try:
            low, high = (tuple(map(float, end.split(","))) for end in text.split(":"))
        except ValueError:
            low = high = (float("nan"),)
        if not all(map(isfinite, (*low, *high))):
            hint = "write action=-1:1, action=-1,-2:1,2 for each element, or action=none"
            raise ConfigError("is not NAME=LOW:HIGH", f"--bounds {name}={text}", hint)
        found[name] = low, high
    return found
