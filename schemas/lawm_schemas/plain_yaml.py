"""Strict YAML: plain data, and no key twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from lawm_schemas.errors import ConfigError


def load_yaml(text: str, where: str) -> Any:
    """Read one YAML document of plain data (no tags, no code).

    YAML's own loader lets the last of two equal keys win and says nothing.

    Args:
        text: the document.
        where: what it is called in messages.

    Raises:
        ConfigError: not YAML, or a key stands twice; names the line.
    """
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{where}, line {mark.line + 1}" if mark and "\n" in text.strip() else where
        if isinstance(error, _TwiceError):
            raise ConfigError(str(error.problem), place, "keep one of them") from None
        reason = error.problem or error.context or "cannot be read"
        raise ConfigError(f"not YAML: {reason}", place, "correct it") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = (str(error).splitlines() or ["cannot be read"])[0]
        raise ConfigError(f"not YAML: {reason}", where, "correct it") from None


def read_yaml(path: Path) -> Any:
    """Read a YAML file; see ``load_yaml``."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError("no such file", str(path), "check the path") from None
    except IsADirectoryError:
        raise ConfigError("is a folder, not a YAML file", str(path), "check the path") from None
    except UnicodeDecodeError:
        raise ConfigError("not YAML: it is not UTF-8", str(path), "correct it") from None
    return load_yaml(text, str(path))


def load_setting(word: str) -> tuple[str, Any]:
    """``KEY=VALUE`` with the value in YAML, as command lines have it.

    Raises:
        ConfigError: no key, no ``=``, or a value that is not YAML.
    """
    key, equals, text = word.partition("=")
    if not equals or not key.strip():
        what = "no key before '='" if equals else "no '=' in it"
        raise ConfigError(what, f"--set {word!r}", "write key=value")
    value = load_yaml(text, f"--set {word}")
    # what is in quotes is meant to be a word
    return key.strip(), number(value) if value == text.strip() else value


def number(value: Any) -> Any:
    """A value of YAML 1.1, which takes 1e-4 for a word, as it was meant."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


class _TwiceError(yaml.MarkedYAMLError):
    """A key stands twice."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which also refuses equal keys."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        # here, where each mapping comes by once: later `<<` adds keys that may stand there as well
        node = super().compose_mapping_node(anchor)
        first: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # no name of anything: the loader or the schema refuses it
            name = (key.tag, key.value)
            if name in first:
                what = f"the key {key.value!r} stands twice (first in line {first[name]})"
                raise _TwiceError(problem=what, problem_mark=key.start_mark)
            first[name] = key.start_mark.line + 1
        return node
