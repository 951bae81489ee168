"""YAML files in the package that go by their names: recipes, studies."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from lawm_schemas import ConfigError, load_yaml, read_yaml


def names(folder: str) -> list[str]:
    """Names of the files in a folder of the package."""
    found = (entry.name for entry in (files(__name__) / folder).iterdir())
    return sorted(name.removesuffix(".yaml") for name in found if name.endswith(".yaml"))


def read(folder: str, word: str, kind: str) -> Any:
    """Plain data of a YAML file, or of one in the package by its name.

    Args:
        folder: folder of the package.
        word: a path or a name.
        kind: what it is, for the message.

    Raises:
        ConfigError: there is none, or it is not YAML.
    """
    path = Path(word)
    if path.is_file():
        return read_yaml(path)
    if word not in names(folder):
        hint = f"give a YAML file, or one of {', '.join(names(folder))}"
        raise ConfigError(f"no such {kind}", word, hint)
    text = (files(__name__) / folder / f"{word}.yaml").read_text(encoding="utf-8")
    return load_yaml(text, word)
