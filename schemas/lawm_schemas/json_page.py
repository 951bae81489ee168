"""``docs/json.md``, generated from what the commands print (``outputs.py``).

``python -m lawm_schemas.json_page`` rewrites it in a checkout.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

from lawm_schemas import outputs
from lawm_schemas.base import Schema

PAGE = Path(__file__).resolve().parents[2] / "docs" / "json.md"
"""The page in a checkout; it is not part of the wheel."""

HEAD = """\
# JSON output

<!-- Made by `python -m lawm_schemas.json_page` from schemas/lawm_schemas/outputs.py. -->

With `--json` a command prints one object on stdout; messages go to stderr. New keys may come, these
stay and keep their meaning.

`key[]` is a list, `key.NAME` an object whose keys are names, and `key?` may be `null`; NaN and
infinity never appear. A key without a meaning is the argument or option of that name. *Counts* are
an object of `observed`, `withheld`, `missing` and `inferred`; a *spread* is one of `mean`, `std`,
`min`, `p25`, `median`, `p75` and `max`. Objects of files have [schemas](../schemas/json).

Exit codes:

- 0: done
- 1: `lawm-data validate` found errors, `lawm audit` failed, or a run of `lawm benchmark` did
- 2: something to correct; stderr says what, where and how, one mistake a line
- 70: a defect of the program; `LAWM_TRACEBACK=1` shows where
- 130: interrupted
- 141: whoever read the output stopped, as `head` does
"""

NAMED: dict[type[Schema] | None, str] = {
    outputs.LabelCounts: "*counts*",
    outputs.Spread: "a *spread*",
}
"""Objects whose keys stand in the head of the page."""


AS_GIVEN = "As given"
"""What is said of the argument or option of that name; the head of the page says so once."""


class Listed(NamedTuple):
    """Where the keys of an object stand on the page already."""

    command: str
    extra: tuple[str, ...]
    """Keys that stand there and are not of the object."""

    def __str__(self) -> str:
        but = " and ".join(f"`{key}`" for key in self.extra)
        link = f"keys of [{self.command}](#{self.command.replace(' ', '-')})"
        return f"{link} but {but}" if but else link


def page() -> str:
    """The text of ``docs/json.md``: a list for each command."""
    listed: dict[type[Schema], Listed] = {}
    sections = [HEAD]
    for command, schema in outputs.OUTPUTS.items():
        sections.append("\n".join([f"## {command}", "", *_section(schema, listed)]) + "\n")
        for base in _schemas(schema):
            extra = tuple(key for key in schema.model_fields if key not in base.model_fields)
            listed.setdefault(base, Listed(command, extra))
    return "\n".join(sections)


def _section(schema: type[Schema], listed: Mapping[type[Schema], Listed]) -> list[str]:
    """The lines below the heading of a command."""
    notes = (inspect.getdoc(schema) or "").partition("\n\n")[2]
    lines = [f"{_text(notes)}.", ""] if notes else []
    own = set(schema.model_fields)
    base = next((base for base in _schemas(schema) if base in listed), None)
    if base is not None:
        own = {key for key in own if key not in base.model_fields or key in schema.__annotations__}
        lines += [f"The {listed[base]}{', and:' if own else '.'}", ""]
    rows: dict[str, list[str]] = {}  # keys that mean the same share a line
    for key, what in _rows(schema, listed, own):
        rows.setdefault(what, []).append(key)
    listing = [
        f"- {', '.join(keys)}{'' if what == AS_GIVEN else f': {what}'}"
        for what, keys in rows.items()
    ]
    return [*lines, *listing] if listing else lines[:-1]


def _rows(
    schema: type[Schema], listed: Mapping[type[Schema], Listed], own: set[str], prefix: str = ""
) -> Iterator[tuple[str, str]]:
    """Keys and what they mean; ``own`` are those of the fields that are asked for."""
    meaning, said = "", schema.descriptions()
    for name, field in schema.model_fields.items():
        if name not in own:
            continue
        suffix, inner, nullable = _value(field.annotation)
        key = f"{prefix}{field.alias or name}{suffix}"
        meaning = _text(said[name]) if name in said else meaning
        what = meaning
        rows: Iterable[tuple[str, str]] = ()
        if inner in NAMED:
            what = f"{what}, {NAMED[inner]}"
        elif inner is not None and inner in listed:
            what = f"{what}, with the {listed[inner]}"
        elif inner is not None and _has_rows(inner):
            rows = _rows(inner, listed, set(inner.model_fields), f"{key}.")
        elif inner is not None:
            what = f"{what}, with {_inline(inner)}"
        yield f"`{key}{'?' if nullable else ''}`", what
        yield from rows


def _has_rows(schema: type[Schema]) -> bool:
    """Whether the keys of an object have rows of their own, and not just notes or a file."""
    said = schema.descriptions()
    sentence = said.get(next(iter(schema.model_fields)), "").endswith(".")
    return sentence and schema.__module__ == outputs.__name__


def _inline(schema: type[Schema]) -> str:
    """The keys of a small object in one line, with what needs to be said of them."""
    words, said = [], schema.descriptions()
    here = schema.__module__ == outputs.__name__
    for name, field in schema.model_fields.items():
        suffix, inner, nullable = _value(field.annotation)
        notes = [_text(said[name])] if here and name in said else []
        notes += [_inline(inner)] if inner is not None and inner not in NAMED else []
        note = f" ({': '.join(notes)})" if notes else ""
        words.append(f"`{name}{suffix}{'?' if nullable else ''}`{note}")
    return ", ".join(words)


def _value(annotation: Any) -> tuple[str, type[Schema] | None, bool]:
    """What a type adds to its key, the object that is in it, and whether it may be null."""
    suffix, nullable = "", type(None) in get_args(annotation)
    if nullable:
        annotation, *others = (part for part in get_args(annotation) if part is not type(None))
        if others:
            return "", None, True
    while (origin := get_origin(annotation)) in (tuple, dict):
        suffix += "[]" if origin is tuple else ".NAME"
        annotation = get_args(annotation)[0 if origin is tuple else 1]
    if inspect.isclass(annotation) and issubclass(annotation, Schema):
        return suffix, annotation, nullable
    return suffix, None, nullable


def _schemas(schema: type[Schema]) -> list[type[Schema]]:
    """A schema and those that it extends, nearest first."""
    return [base for base in schema.__mro__ if issubclass(base, Schema) and base is not Schema]


def _text(docstring: str) -> str:
    """A docstring as Markdown in one line, without its full stop."""
    line = " ".join(docstring.split())
    return line.replace("``", "`").removesuffix(".")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
