"""From the words of ``lawm train`` to an experiment's configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from lawm_schemas import ConfigError, CorpusSource, ExperimentConfig


def from_options(
    corpora: Sequence[str],
    mask: str | None,
    algorithm: str,
    preset: str,
    settings: Sequence[str],
    options: Mapping[str, Any],
) -> ExperimentConfig:
    """A preset, the data, and what the command line changes.

    Args:
        corpora: ``PATH``, ``PATH@MASK`` or ``PATH@MASK*WEIGHT``.
        mask: of a single corpus that names none itself.
        algorithm: name of the algorithm.
        preset: name of the preset.
        settings: ``KEY=VALUE`` with dotted keys.
        options: top-level keys of the configuration; those that are None change nothing.

    Raises:
        ConfigError: something is unknown or contradicts itself.
    """
    from lawm_models import presets

    sources = [corpus_source(word) for word in corpora]
    if mask is not None:
        if len(sources) != 1 or sources[0].mask is not None:
            raise ConfigError("goes with one corpus", "--mask", "write --corpus PATH@MASK for each")
        sources = [sources[0].model_copy(update={"mask": mask})]
    data = {
        **presets.load(preset, algorithm),
        "corpora": [source.model_dump() for source in sources],
        "preset": preset,
    }
    return ExperimentConfig.parse(_changed(data, settings, options), "lawm train")


def from_file(path: Path, settings: Sequence[str], options: Mapping[str, Any]) -> ExperimentConfig:
    """A configuration file, such as the ``config.yaml`` of a run, and what is changed in it."""
    config = ExperimentConfig.read_yaml(path)
    data = _changed(config.model_dump(mode="json"), settings, options)
    return ExperimentConfig.parse(data, str(path))


def corpus_source(word: str) -> CorpusSource:
    """``PATH``, ``PATH@MASK``, ``PATH*WEIGHT`` or ``PATH@MASK*WEIGHT``.

    A folder whose name has such a character in it is taken as it is.
    """
    if Path(word).exists():
        return CorpusSource(path=word)
    rest, star, weight = word.rpartition("*")
    number = 1.0
    if star:
        try:
            number = float(weight)
        except ValueError:
            raise ConfigError(f"{weight!r} is not a weight", word, "write PATH@MASK*2.5") from None
    path, at, mask = (rest if star else word).rpartition("@")
    named = {"path": path, "mask": mask} if at else {"path": mask}
    return CorpusSource.parse({**named, "weight": number}, f"--corpus {word}")


def _changed(
    data: dict[str, Any], settings: Sequence[str], options: Mapping[str, Any]
) -> dict[str, Any]:
    data = {**data, **{key: value for key, value in options.items() if value is not None}}
    for word in settings:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise ConfigError("is not KEY=VALUE", f"--set {word}", "e.g. --set batch_size=32")
        try:
            plain = yaml.safe_load(value)
        except yaml.YAMLError:
            raise ConfigError("the value is not YAML", f"--set {word}", "put it in quotes") from None
        _put(data, key.split("."), plain, word)
    return data


def _put(data: dict[str, Any], keys: list[str], value: Any, word: str) -> None:
    at = data
    for key in keys[:-1]:
        # Copies on the way down: what a preset or a file holds stays as it is.
        below = at.get(key, {})
        if not isinstance(below, dict):
            raise ConfigError(f"{key} has nothing inside", f"--set {word}", "check the key")
        at[key] = dict(below)
        at = at[key]
    at[keys[-1]] = value
