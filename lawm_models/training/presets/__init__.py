"""Presets: settings that belong together, by name; and changing some of them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any, get_args, get_origin

from lawm_schemas import ConfigError, ExperimentConfig, Schema
from lawm_schemas.plain_yaml import load_setting

from lawm_data.system.registry import YamlFiles
from lawm_models.algorithms import ALGORITHMS

PRESETS = YamlFiles("preset", __name__, "lawm.presets")
"""Every preset: a YAML file of this folder, or of another package."""


def load(preset: str, algorithm: str) -> dict[str, Any]:
    """A preset as the plain data of an ``ExperimentConfig`` that lacks its ``corpora``.

    ``like: OTHER`` in a preset takes over another one, but for the values that it says itself and
    the algorithms that it does not name. Of an algorithm that a preset does not name, the algorithm
    itself may say what it takes, as ``algorithms._protocol`` describes.

    Args:
        preset: its name, or the path of a YAML file.
        algorithm: its name.

    Raises:
        ConfigError: no such preset or algorithm, the preset says nothing about the algorithm, or it
            is not a preset.
    """
    return _load(preset, algorithm, ())


def _load(preset: str, algorithm: str, within: tuple[str, ...]) -> dict[str, Any]:
    if preset in within:
        raise ConfigError("is like itself", f"preset {preset}", "let one preset be like another")
    document = PRESETS.load(preset)
    if not isinstance(document, dict) or not isinstance(document.get("algorithms"), dict):
        hint = "name algorithms, with the steps of their stages and their settings"
        raise ConfigError("has no algorithms", f"preset {preset}", hint)
    document.pop("description", None)
    choices = document.pop("algorithms")
    if algorithm not in choices:
        choices = choices | _brought(algorithm, preset)
    if not isinstance(choices.get(algorithm), dict):
        known = ", ".join(sorted(choices))
        raise ConfigError(
            f"says nothing about algorithm {algorithm!r}", f"preset {preset}", f"it knows {known}"
        )
    own = dict(choices[algorithm])
    if "like" in document:  # what it does not say itself is another preset's
        base = _load(document.pop("like"), algorithm, (*within, preset))
        changed = {"settings": own.pop("settings", {})}
        return _merged(base, {"preset": preset, "algorithm": changed, **document, **own})
    if "like" in own:  # what it does not say itself is another algorithm's; settings go as a whole
        own = {**choices.get(own.pop("like"), {}), **own}
    choice = {"name": algorithm, "settings": own.pop("settings", {})}
    return {"preset": preset, "algorithm": choice, **document, **own}


def _brought(algorithm: str, preset: str) -> dict[str, Any]:
    """What an algorithm of another package says that it takes in a preset; nothing of ours."""
    if ALGORITHMS.find(algorithm).package is None:
        return {}
    own = getattr(ALGORITHMS.load(algorithm), "PRESETS", {})
    return {algorithm: own[preset]} if preset in own else {}


def _merged(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Plain data with some values replaced, in mappings within mappings too."""
    changes = {
        k: _merged(base[k], v) if isinstance(v, dict) and isinstance(base.get(k), dict) else v
        for k, v in own.items()
    }
    return base | changes


def override(config: dict[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """A copy of a configuration with some values replaced.

    Args:
        config: plain data of an ``ExperimentConfig``, maybe incomplete.
        assignments: ``dotted.key=value``, the value in YAML; a number in a key counts from 0.

    Raises:
        ConfigError: no such key, or a value that is not YAML.
    """
    return replace(config, dict(map(load_setting, assignments)))


def replace(config: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a configuration with the values of some dotted keys replaced.

    Args:
        config: plain data of an ``ExperimentConfig``, maybe incomplete.
        changes: values by dotted key; a number in a key counts from 0.

    Raises:
        ConfigError: no such key.
    """
    config = copy.deepcopy(config)
    for key, value in changes.items():
        path = key.split(".")
        _require_known(path, key, config)
        _assign(config, path, key, value)
    return config


def _assign(config: dict[str, Any], path: list[str], key: str, value: Any) -> None:
    node: Any = config
    for part in path[:-1]:
        if isinstance(node, list):
            node = node[_index(part, node, key)]
        else:
            node = node.setdefault(part, {})
    if isinstance(node, list):
        node[_index(path[-1], node, key)] = value
    else:
        node[path[-1]] = value


def _index(part: str, items: list[Any], key: str) -> int:
    if not part.isdecimal() or int(part) >= len(items):
        raise ConfigError(f"{part!r} is not one of {len(items)}", key, "count from 0")
    return int(part)


def _require_known(path: list[str], key: str, config: dict[str, Any]) -> None:
    """Walk down the schemas along a key, as far as they go."""
    algorithm = config.get("algorithm", {}).get("name")
    schema: type[Schema] | None = ExperimentConfig
    named = False  # the part is a name of the user's, such as a stage
    for depth, part in enumerate(path):
        if schema is None or part.isdecimal() or named:
            named = False
            continue
        if part not in schema.model_fields:
            known = ", ".join(schema.model_fields)
            raise ConfigError("no such setting", ".".join(path[: depth + 1]), f"known: {known}")
        if path[: depth + 1] == ["algorithm", "settings"] and algorithm:
            schema = ALGORITHMS.load(algorithm).Config
        else:
            annotation = schema.model_fields[part].annotation
            schema, named = _schema_in(annotation), get_origin(annotation) is dict


def _schema_in(annotation: Any) -> type[Schema] | None:
    """The schema that an annotation is made of, such as that in ``tuple[CorpusSource, ...]``.

    None for an encoder's or a constraint's, whose keys depend on its name: they are looked at when
    all are known.
    """
    from lawm_models.networks.constraints._protocol import ConstraintConfig
    from lawm_models.networks.encoders._protocol import EncoderConfig

    if isinstance(annotation, type) and issubclass(annotation, Schema):
        return None if annotation in (EncoderConfig, ConstraintConfig) else annotation
    return next((s for a in get_args(annotation) if (s := _schema_in(a))), None)
