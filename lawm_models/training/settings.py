"""Every setting of a training: its dotted key, type, value in a preset, and meaning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

import annotated_types as limits
from lawm_schemas import CorpusSource, ExperimentConfig, Schema, StageBatches
from pydantic.fields import FieldInfo

from lawm_models.algorithms import ALGORITHMS
from lawm_models.training import presets
from lawm_models.training.run_folder import INFORMATION

TYPES = {int: "integer", float: "number", str: "text", bool: "true or false"}
LIMITS = {limits.Ge: "≥", limits.Gt: ">", limits.Le: "≤", limits.Lt: "<"}


class Setting(NamedTuple):
    """Something that ``configure(settings=…)`` and ``--set KEY=VALUE`` change."""

    key: str
    """Dotted key."""
    type: str
    """What it may be, in words."""
    value: Any
    """What the preset says, or else the default."""
    meaning: str
    """In a sentence or two."""


def list_settings(algorithm: str = "lawm", preset: str = "small") -> list[Setting]:
    """Every setting of an algorithm, with its value in a preset.

    Raises:
        ConfigError: no such algorithm or preset, or the preset says nothing about the algorithm.
    """
    module = ALGORITHMS.load(algorithm, "algorithm.name")
    data = presets.load(preset, algorithm)
    own = module.Config.parse(data.pop("algorithm")["settings"], f"preset {preset}")
    common = [
        setting
        for name, field in ExperimentConfig.model_fields.items()
        if name not in ("algorithm", *INFORMATION)
        for setting in _common(name, field, data, module.Algorithm.stages)
    ]
    return [*common, *_inside(own, "algorithm.settings.")]


def _common(
    name: str, field: FieldInfo, data: Mapping[str, Any], stages: Sequence[str]
) -> Iterator[Setting]:
    """A key of every experiment, or the keys below it: of the first corpus, of each stage."""
    said = ExperimentConfig.descriptions()
    inside = {part for part in _parts(field.annotation) if isinstance(part, type)}
    if CorpusSource in inside:
        first = _inside(CorpusSource(path="."), f"{name}.0.")
        yield from (setting for setting in first if not setting.key.endswith(".path"))
    elif StageBatches in inside:
        for stage in stages:
            batches = StageBatches.parse(data.get(name, {}).get(stage, {}), name)
            yield from _inside(batches, f"{name}.{stage}.")
    elif get_origin(field.annotation) is dict:
        for stage in stages:
            value = data.get(name, {}).get(stage)
            yield Setting(f"{name}.{stage}", "integer ≥ 0", value, _plain(said.get(name)))
    else:
        yield Setting(name, _type(field), data.get(name, field.default), _plain(said.get(name)))


def _inside(config: Schema, prefix: str) -> Iterator[Setting]:
    """The keys below a part of a configuration, which may be of a schema that a name chose."""
    data, said = config.model_dump(mode="json"), config.descriptions()
    for name, field in type(config).model_fields.items():
        part = getattr(config, name)
        if isinstance(part, Schema):
            yield from _inside(part, f"{prefix}{name}.")
        else:
            yield Setting(f"{prefix}{name}", _type(field), data[name], _plain(said.get(name)))


def _parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in get_args(annotation):
        yield from _parts(part)


def _type(field: FieldInfo) -> str:
    bounds = [
        f"{sign} {getattr(bound, kind.__name__.lower()):g}"
        for bound in field.metadata
        for kind, sign in LIMITS.items()
        if isinstance(bound, kind)
    ]
    annotation, optional = field.annotation, ""
    if get_origin(annotation) in (Union, UnionType):
        annotation = next(part for part in get_args(annotation) if part is not type(None))
        optional = " or null"
    if get_origin(annotation) is Literal:
        return " | ".join(map(str, get_args(annotation))) + optional
    # an algorithm of another package may have any other type
    known = TYPES.get(annotation, "YAML") if isinstance(annotation, type) else "YAML"
    return " ".join([known, " and ".join(bounds)]).strip() + optional


def _plain(text: str | None) -> str:
    return " ".join((text or "").replace("``", "").split())
