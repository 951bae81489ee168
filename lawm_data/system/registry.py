"""What there is of a kind, by name: the members in a folder of ours, and those of other packages.

A kind is a folder, in which every module (or YAML file) is a member, and a group of entry points
by which installed packages add members of theirs. Names are listed without importing a member, and
a member of ours is found without looking at what is installed.

A name means one thing: ours goes before another package's of the same name, and where two packages
use one name it is refused. ``faults`` says both.
"""

from __future__ import annotations

import ast
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, distributions, entry_points
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Generic, NamedTuple, TypeVar, cast

from lawm_schemas import ConfigError
from lawm_schemas.errors import reason_of, several

T = TypeVar("T")
R = TypeVar("R")
PREFIX = "lawm."
"""How the names of all groups of entry points begin."""
YAML = ".yaml"
DESCRIPTION = re.compile(r"^description:.*\n(?:[ \t]+.*\n)*", re.MULTILINE)
"""The entry of a YAML file that says what it is, with the lines that belong to it."""


class Member(NamedTuple):
    """Where a member is."""

    place: Any
    """The name of its module, or its YAML file."""
    package: str | None
    """Name and version of the installed package that brings it; none for ours."""


class Registry(ABC, Generic[T]):
    """The members of one kind.

    Args:
        kind: what a member is called in messages, such as ``algorithm``.
        folder: the package that holds ours.
        group: the entry points of others, such as ``lawm.algorithms``.
    """

    otherwise = ""
    """What else can be given than a name, for messages."""

    def __init__(self, kind: str, folder: str, group: str) -> None:
        self.kind, self.folder, self.group = kind, folder, group

    def names(self) -> list[str]:
        """Every name, sorted."""
        return sorted({*self.ours(), *self._others()[0]})

    def ours(self) -> list[str]:
        """The names of ours, sorted."""
        return sorted(self._places(self.folder))

    def __contains__(self, name: str) -> bool:
        return name in self._places(self.folder) or name in self._others()[0]

    def load(self, name: str, where: str = "") -> T:
        """The member of this name.

        Args:
            name: one of ``names()``.
            where: what has chosen it, for messages.

        Raises:
            ConfigError: there is none, two packages have one, or the package that has it is broken.
        """
        member = self.find(name, where)
        return self._trying(name, member, self._open)

    def load_all(self) -> tuple[dict[str, T], list[ConfigError]]:
        """Every member that can be used, by name, and what is wrong with all others."""
        members: dict[str, T] = {}
        faults = self.faults()
        for name in self.names():
            try:
                members[name] = self.load(name)
            except ConfigError as error:
                faults.append(error)
        return members, faults

    def find(self, name: str, where: str = "") -> Member:
        """Where a member is; imports nothing.

        Raises:
            ConfigError: there is none, or two packages have one.
        """
        ours = self._places(self.folder)
        if name in ours:
            return Member(ours[name], None)
        others, faults = self._others()
        if name in others:
            return others[name]
        if name in faults:
            raise faults[name]
        import difflib  # a millisecond that only mistakes should take

        known = sorted({*ours, *others})
        near = "".join(f"nearest: {n}; " for n in difflib.get_close_matches(name, known, n=1))
        hint = f"{near}known ones: {', '.join(known)}{self.otherwise}"
        unknown = ConfigError(f"no {self.kind} {name!r}", where, hint)
        raise several([unknown, *faults.values()])

    def summary(self, name: str) -> str:
        """What a member is, in one line; read from its file, which is not run.

        Raises:
            ConfigError: see ``find``.
        """
        member = self.find(name)
        try:
            line = self._trying(name, member, self._summary)
        except ConfigError as error:
            line = error.what
        return line if member.package is None else f"{line} ({member.package})"

    def faults(self) -> list[ConfigError]:
        """Entry points that are not used, and why; members are not imported to find out."""
        return list(self._others()[1].values())

    @abstractmethod
    def _places(self, folder: str) -> dict[str, Any]:
        """Where the members in a package of this name are, by their names."""

    @abstractmethod
    def _brought(self, point: EntryPoint) -> dict[str, Any]:
        """Where the members of an entry point are, by their names."""

    @abstractmethod
    def _open(self, place: Any) -> T:
        """The member itself."""

    @abstractmethod
    def _summary(self, place: Any) -> str:
        """What the member says of itself in one line."""

    def _others(self) -> tuple[dict[str, Member], dict[str, ConfigError]]:
        """Other packages' members, and what is wrong with those that are not used, by name."""
        found: dict[str, list[Member]] = {}
        faults: dict[str, ConfigError] = {}
        for point in _entry_points(self.group, tuple(sys.path)):
            whole = Member(point, f"{point.dist.name} {point.dist.version}" if point.dist else "")
            try:
                places = self._trying(point.name, whole, self._brought)
            except ConfigError as error:
                faults[point.value] = error
                continue
            for name, place in places.items():
                found.setdefault(name, []).append(whole._replace(place=place))
        ours = self._places(self.folder)
        for name, members in found.items():
            packages = " and ".join(str(member.package) for member in members)
            if name in ours:
                what = f"that of {packages} is not used, lawm has one of this name"
                hint = "it needs another name"
            elif len(members) > 1:
                what, hint = f"{packages} have one of this name", "uninstall all but one"
            else:
                continue
            faults[name] = ConfigError(what, f"{self.kind} {name!r}", hint)
        usable = {name: members[0] for name, members in found.items() if name not in faults}
        return usable, faults

    def _trying(self, name: str, member: Member, act: Callable[[Any], R]) -> R:
        """Do something with a member; whatever another package raises becomes one line."""
        try:
            return act(member.place)
        except (Exception, SystemExit) as error:
            if member.package is None:
                raise
            what = f"cannot be used ({type(error).__name__}: {reason_of(error)})"
            where = f"{self.kind} {name!r} of {member.package}"
            raise ConfigError(what, where, "mend or uninstall that package") from error


class Modules(Registry[T]):
    """Members that are modules. An entry point names one of them, under the member's name.

    Modules of ours whose names begin with ``_`` are no members. The first line of a module's
    docstring is its summary.

    Args:
        kind: see ``Registry``.
        folder: see ``Registry``.
        group: see ``Registry``.
        needs: what a module has at least, by name, and of which class it is.
    """

    def __init__(self, kind: str, folder: str, group: str, needs: Mapping[str, Any]) -> None:
        super().__init__(kind, folder, group)
        self.needs = needs

    def _places(self, folder: str) -> dict[str, str]:
        return {name: f"{folder}.{name}" for name in modules_in(folder)}

    def _brought(self, point: EntryPoint) -> dict[str, str]:
        return {point.name: point.value}

    def _open(self, place: str) -> T:
        module = import_module(place)
        for name, kind in self.needs.items():
            if not isinstance(getattr(module, name, None), kind):
                raise TypeError(f"{place}.{name} is no {kind.__name__}")
        return cast(T, module)

    def _summary(self, place: str) -> str:
        spec = find_spec(place)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {place!r}")
        # from its source: an algorithm's module would import torch
        source = getattr(spec.loader, "get_source", lambda _: None)(place)
        text = ast.get_docstring(ast.parse(source or "")) or ""
        return text.partition("\n")[0].replace("``", "").rstrip(".")


class YamlFiles(Registry[Any]):
    """Members that are YAML files. An entry point names a package that holds some of them.

    That package is imported to find its files. ``description`` in a file is its summary. A path of
    a file is as good as a name.
    """

    otherwise = "; or give a YAML file"

    def find(self, name: str, where: str = "") -> Member:
        """See ``Registry.find``."""
        path = Path(name)
        return Member(path, None) if path.is_file() else super().find(name, where)

    def _places(self, folder: str) -> dict[str, Any]:
        inside = (entry for entry in files(folder).iterdir() if entry.name.endswith(YAML))
        return {entry.name.removesuffix(YAML): entry for entry in inside}

    def _brought(self, point: EntryPoint) -> dict[str, Any]:
        return self._places(point.value)

    def _open(self, place: Any) -> Any:
        from lawm_schemas import read_yaml

        return read_yaml(place)

    def _summary(self, place: Any) -> str:
        from lawm_schemas import load_yaml

        found = DESCRIPTION.search(place.read_text(encoding="utf-8"))  # all of it would take long
        return str(load_yaml(found[0], str(place))["description"]) if found else ""


def modules_in(folder: str) -> list[str]:
    """Names of the modules in a package, but for those that begin with ``_``."""
    names = (found.name for found in iter_modules(import_module(folder).__path__))
    return sorted(name for name in names if not name.startswith("_"))


def other_packages() -> dict[str, str]:
    """Versions of the installed packages that bring members of any kind."""
    return {
        found.name: found.version
        for found in distributions()
        if any(point.group.startswith(PREFIX) for point in found.entry_points)
    }


@cache
def _entry_points(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Those of all packages on a path; looking at all of them takes some milliseconds."""
    return tuple(entry_points(group=group))
