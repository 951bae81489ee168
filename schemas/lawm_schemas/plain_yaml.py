"""Plain YAML 1.2: what JSON could say, no key twice, no anchors, no tags."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import SafeRepresenter
from ruamel.yaml.resolver import VersionedResolver

from lawm_schemas.errors import ConfigError

_TAG = "tag:yaml.org,2002:"
_PLAIN = ("null", "bool", "int", "float", "str", "seq", "map")


def load_yaml(text: str, where: str) -> Any:
    """Read one YAML document.

    Args:
        text: the document.
        where: what it is called in messages.

    Raises:
        ConfigError: not YAML, a key stands twice, or there are anchors or tags; names the line.
    """
    try:
        return _yaml().load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{where}, line {mark.line + 1}" if mark and "\n" in text.strip() else where
        reason = error.problem or error.context or "cannot be read"
        if isinstance(error, DuplicateKeyError):
            raise ConfigError(reason, place, "keep one of them") from None
        if isinstance(error, _NotPlainError):
            raise ConfigError(reason, place, "write the value itself") from None
        raise ConfigError(f"not YAML: {reason}", place, "correct it") from None
    except (YAMLError, ValueError, RecursionError) as error:
        reason = (str(error).splitlines() or ["cannot be read"])[0]
        raise ConfigError(f"not YAML: {reason}", where, "correct it") from None


def read_yaml(path: Path) -> Any:
    """Read a YAML file; see ``load_yaml``."""
    try:
        regular = path.is_file() or path.is_dir() or not path.exists()
        if not regular and path.parent != Path("/dev/fd"):  # what a shell makes of <(command)
            raise ConfigError("is no regular file", str(path), "give a YAML file")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError("no such file", str(path), "check the path") from None
    except IsADirectoryError:
        raise ConfigError("is a folder, not a YAML file", str(path), "check the path") from None
    except UnicodeDecodeError:
        raise ConfigError("not YAML: it is not UTF-8", str(path), "correct it") from None
    except OSError as error:  # no permission, or a link to itself
        what = f"cannot be read ({error.strerror})"
        raise ConfigError(what, str(path), "check the path") from None
    return load_yaml(text, str(path))


def dump_yaml(data: Any) -> str:
    """Plain data as YAML, keys in the order in which they come.

    Readers of YAML 1.1, which are common, find the same values in it.
    """
    text = StringIO()
    _yaml().dump(data, text)
    return text.getvalue()


def load_setting(word: str) -> tuple[str, Any]:
    """``KEY=VALUE`` with the value in YAML, as command lines have it.

    Raises:
        ConfigError: no key, no ``=``, or a value that is not YAML.
    """
    key, equals, text = word.partition("=")
    if not equals or not key.strip():
        what = "no key before '='" if equals else "no '=' in it"
        raise ConfigError(what, f"--set {word!r}", "write key=value")
    return key.strip(), load_yaml(text, f"--set {word}")


def _yaml() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.Resolver, yaml.Composer, yaml.Representer = _Resolver, _Composer, _Representer
    yaml.default_flow_style = yaml.allow_unicode = False
    yaml.sort_base_mapping_type_on_output = False  # pyright: ignore[reportAttributeAccessIssue]
    return yaml


class _Resolver(VersionedResolver):
    """The rules of YAML 1.2 for plain data: dates, ``=`` and ``<<`` are text."""

    @property
    def processing_version(self) -> tuple[int, int]:
        return (1, 2)  # also where a document asks for older ones

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        tag = super().resolve(kind, value, implicit)
        return tag if str(tag).removeprefix(_TAG) in _PLAIN else self.DEFAULT_SCALAR_TAG


class _NotPlainError(MarkedYAMLError):
    """YAML, but more than JSON could say."""


class _Composer(Composer):
    """Refuses anchors, of which a few lines can be worth gigabytes, and tags."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.parser.peek_event()
        for name in ("anchor", "tag"):
            found = getattr(event, name, None)
            if found is not None:
                what = f"the {name} {str(found)!r} is not taken"
                raise _NotPlainError(problem=what, problem_mark=event.start_mark)
        return super().compose_node(parent, index)


class _Representer(SafeRepresenter):
    """Writes what YAML 1.1 and 1.2 read alike."""

    _old = VersionedResolver((1, 1))

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def _text(self, text: str) -> ScalarNode:
        plain = str(self._old.resolve(ScalarNode, text, (True, False))) == _TAG + "str"
        return self.represent_scalar(_TAG + "str", text, style=None if plain else "'")

    def _number(self, number: float) -> ScalarNode:
        node = self.represent_float(number)
        if "." not in node.value:  # 1e-05 would be text in YAML 1.1
            node.value = node.value.replace("e", ".0e")
        return node


_Representer.add_representer(str, _Representer._text)
_Representer.add_representer(float, _Representer._number)
