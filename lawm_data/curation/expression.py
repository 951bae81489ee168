"""Queries about trajectories, such as ``return >= 750 and source == 'dreamer'``.

The language is a small part of Python's: names of the table's columns and of keys of the metadata,
numbers, texts, ``None``, comparisons (chains too), ``in``, ``and``, ``or`` and ``not``. It is read
by ``ast`` and answered for all trajectories at once with arrays; nothing is ever executed.
"""

from __future__ import annotations

import ast
import contextlib
import operator
import re
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, NamedTuple, NoReturn

import numpy as np
from lawm_schemas import ConfigError, LabelState, Provenance

from lawm_data.corpus.constant_actions import KINDS, action_kinds
from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.table import LABEL_STATES, Table

LONGEST = 4096
"""Characters of an expression."""
LEAST, LARGEST = -(2**63), 2**64 - 1
"""Numbers beyond these are refused: no column holds one."""
MOST_KEYS = 20
"""Keys of the metadata that a message names."""

_RETURN = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|\b[rR]eturn\b""")
"""Texts, which stay as they are, and the one column whose name is a keyword of Python."""
_ONLY = "only columns, keys of metadata, numbers, texts, comparisons, in, and, or, not"
_ORDER = {ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge}
_SAME = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot)


class _Values(NamedTuple):
    """A column, or one value that stands for a column of equal ones."""

    kind: str
    """``number``, ``text``, ``flag``, ``list``, or ``none`` for the literal ``None``."""
    array: np.ndarray
    known: np.ndarray
    """False where there is no value."""


class _Later(Exception):
    """The metadata of trajectories is asked for, before there are any."""


class _Names:
    """What the names in an expression stand for, in a view or before there is one."""

    def __init__(self, corpus: Corpus | None) -> None:
        self._corpus = corpus

    def column(self, name: str) -> _Values:
        """A column of the table."""
        column = COLUMNS[name]
        return column.of_none() if self._corpus is None else column.of(self._corpus)

    @cached_property
    def metadata(self) -> list[dict[str, Any]]:
        """The metadata of every trajectory."""
        if self._corpus is None:
            raise _Later
        table = self._corpus.table
        return [table.metadata[i] for i in range(len(table))]

    @property
    def is_empty(self) -> bool:
        """Whether there are no trajectories yet."""
        return self._corpus is None

    @property
    def keys(self) -> list[str]:
        """Keys of the metadata."""
        found = self.metadata if self._corpus is not None else []
        return list(dict.fromkeys(key for metadata in found for key in metadata))


def matching(corpus: Corpus, expression: str) -> np.ndarray:
    """Which trajectories of a view an expression is true of, (N,) bool.

    A value that is not known equals ``None``, differs from everything else, and is neither
    smaller nor larger than anything. So is a key that the metadata of a trajectory does not have.

    Raises:
        ConfigError: what is wrong in the expression, and at which column.
    """
    found = _answer(expression, _Names(corpus))
    return np.broadcast_to(found, (len(corpus),)).copy()


def require_expression(expression: str) -> None:
    """Refuse an expression that no corpus could answer, before there is one.

    What ``metadata['key']`` will be is not known before; anything else is checked.

    Raises:
        ConfigError: see ``matching``.
    """
    with contextlib.suppress(_Later):
        _answer(expression, _Names(None))


def _answer(expression: str, names: _Names) -> np.ndarray:
    try:
        return _Query(expression, names).answer()
    except RecursionError:
        raise ConfigError("is nested too deeply", "expression", "make it simpler") from None


class _Query:
    def __init__(self, expression: str, names: _Names) -> None:
        self._names = names
        if len(expression) > LONGEST:
            what = f"is longer than {LONGEST} characters"
            raise ConfigError(what, "expression", "filter in several steps, or give ids")
        self._text = re.sub(r"\s", " ", expression)
        self._indent = len(self._text) - len(self._text.lstrip())

    def answer(self) -> np.ndarray:
        # `return` cannot be a name in Python; `Return` has the same length, so columns stay right
        source = _RETURN.sub(self._renamed, self._text).lstrip()
        try:
            tree = ast.parse(source, mode="eval")
        except SyntaxError as error:
            # without a place it is the end that is wrong
            self._refuse(error.msg, (error.offset or len(source.rstrip()) + 1) - 1)
        except (ValueError, MemoryError):
            self._refuse("cannot be read", 0)
        return self._truth(tree.body)

    def _renamed(self, found: re.Match[str]) -> str:
        if found[0] == "Return":
            self._refuse("no such name 'Return'", found.start() - self._indent)
        return "Return" if found[0] == "return" else found[0]

    def _truth(self, node: ast.expr) -> np.ndarray:
        match node:
            case ast.BoolOp(op=ast.And()):
                return np.logical_and.reduce(_alike(map(self._truth, node.values)))
            case ast.BoolOp():
                return np.logical_or.reduce(_alike(map(self._truth, node.values)))
            case ast.UnaryOp(op=ast.Not()):
                return ~self._truth(node.operand)
            case ast.Compare():
                operands = (node.left, *node.comparators)
                pairs = zip(operands, node.ops, node.comparators, strict=False)
                return np.logical_and.reduce(_alike(self._compare(*pair) for pair in pairs))
        values = self._values(node)
        if values.kind != "flag":
            self._refuse(f"is a {values.kind}, not a comparison", node)
        return values.array & values.known

    def _compare(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> np.ndarray:
        values = self._values(left)
        if isinstance(op, ast.In | ast.NotIn):
            if isinstance(right, ast.Name | ast.Attribute | ast.Subscript):
                found = self._held(values, self._values(right), left, right)
                return found if isinstance(op, ast.In) else ~found
            if not isinstance(right, ast.Tuple | ast.List | ast.Set):
                # parentheses alone make no list of one value
                hint = "write for example in ('dreamer', 'random')"
                if isinstance(right, ast.Constant):
                    hint = f"a list of one has a comma, ({right.value!r},); or write "
                    hint += f"== {right.value!r}"
                self._refuse("needs a list in parentheses after 'in'", right, hint)
            same = [self._same(values, self._values(item), left, item) for item in right.elts]
            found = np.logical_or.reduce(_alike([np.asarray(False), *same]))
            return found if isinstance(op, ast.In) else ~found
        other = self._values(right)
        if isinstance(op, ast.Is | ast.IsNot) and "none" not in (values.kind, other.kind):
            self._refuse("'is' goes with None only; write ==", right)
        if isinstance(op, _SAME):
            found = self._same(values, other, left, right)
            return found if isinstance(op, ast.Eq | ast.Is) else ~found
        if values.kind != other.kind or values.kind not in ("number", "text"):
            self._refuse(f"a {values.kind} cannot be smaller or larger than a {other.kind}", right)
        known = values.known & other.known
        return known & np.asarray(_ORDER[type(op)](values.array, other.array))

    def _held(self, one: _Values, many: _Values, left: ast.expr, right: ast.expr) -> np.ndarray:
        """Where a list has a value, or a text a part."""
        if many.kind not in ("list", "text"):
            self._refuse(f"a {many.kind} holds nothing", right)
        if many.kind == "text" and one.kind != "text":
            self._refuse(f"a text never holds a {one.kind}", left)
        if one.kind in ("list", "none"):
            self._refuse(f"a {one.kind} is never in one", left)
        alike = np.broadcast_arrays(np.atleast_1d(one.array), many.array, one.known & many.known)
        rows = zip(*(array.tolist() for array in alike), strict=True)
        return np.array([bool(known) and value in values for value, values, known in rows], bool)

    def _same(self, one: _Values, other: _Values, left: ast.expr, right: ast.expr) -> np.ndarray:
        if "none" in (one.kind, other.kind):
            return np.asarray(~one.known & ~other.known)
        if "list" in (one.kind, other.kind):
            self._refuse("is a list; write for example 'train' in filter_keys", left)
        if one.kind != other.kind:
            self._refuse(f"a {one.kind} never equals a {other.kind}", right)
        for name, value in ((left, right), (right, left)):
            words = _WORDS.get(name.id) if isinstance(name, ast.Name) else None
            if words and isinstance(value, ast.Constant) and value.value not in words:
                self._refuse(f"{value.value!r} is not one of {', '.join(words)}", value)
        both = one.known & other.known
        return np.asarray((both & (one.array == other.array)) | (~one.known & ~other.known))

    def _values(self, node: ast.expr) -> _Values:
        match node:
            case ast.Name() if _plain_name(node.id) in COLUMNS:
                return self._names.column(_plain_name(node.id))
            case ast.Name() | ast.Attribute() | ast.Subscript():
                return self._metadata(self._path(node), node)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
                return self._number(-number, node)
            case ast.Constant(value=None):
                return _Values("none", np.asarray(0), np.asarray(False))
            case ast.Constant(value=bool() as flag):
                return _Values("flag", np.asarray(flag), np.asarray(True))
            case ast.Constant(value=int() | float() as number):
                return self._number(number, node)
            case ast.Constant(value=str() as text):
                return _Values("text", np.asarray(text), np.asarray(True))
        self._refuse(_ONLY, node)

    def _path(self, node: ast.expr) -> list[str]:
        """The keys that lead to something in the metadata."""
        match node:
            case ast.Name(id="metadata"):
                return []
            case ast.Name() if _plain_name(node.id) not in COLUMNS:
                return [_plain_name(node.id)]
            case ast.Attribute():
                return [*self._path(node.value), _plain_name(node.attr)]
            case ast.Subscript(slice=ast.Constant(value=str() as key)):
                return [*self._path(node.value), key]
        self._refuse(_ONLY, node)

    def _metadata(self, path: list[str], node: ast.expr) -> _Values:
        name = ".".join(path) or "metadata"
        first = node
        while isinstance(first, ast.Attribute | ast.Subscript):
            first = first.value
        if isinstance(first, ast.Name) and first.id != "metadata" and self._names.is_empty:
            self._refuse(f"no such name {name!r}", node)
        values: list[Any] = []
        for found in self._names.metadata:
            inner: Any = found
            for key in path:
                inner = inner.get(key) if isinstance(inner, dict) else None
            values.append(inner)
        kinds = sorted({_kind_of(value) for value in values if value is not None})
        if not kinds:
            self._refuse(f"no such name {name!r}", node)
        if len(kinds) > 1:
            self._refuse(
                f"{name} is a {kinds[0]} in some trajectories, a {kinds[1]} in others", node
            )
        (kind,) = kinds
        if kind == "group":
            keys = dict.fromkeys(key for value in values if value for key in value)
            hint = f"name one of its keys: {', '.join(f'{name}.{key}' for key in keys)}"
            self._refuse(f"{name} has keys of its own", node, hint)
        empty: Any = {"number": 0, "text": "", "flag": False, "list": None}[kind]
        filled = [empty if value is None else value for value in values]
        array = np.empty(len(filled), object)
        array[:] = filled
        if kind == "text":
            array = np.array(filled, str)
        elif kind != "list":
            wide = any(isinstance(v, float) or abs(v) >= 2**63 for v in filled)
            array = array.astype(bool if kind == "flag" else float if wide else np.int64)
        return _Values(kind, array, np.array([value is not None for value in values], bool))

    def _number(self, number: float, node: ast.expr) -> _Values:
        if not LEAST <= number <= LARGEST:
            self._refuse("is too large a number", node)
        return _Values("number", np.asarray(number), np.asarray(True))

    def _refuse(self, what: str, at: ast.expr | int, hint: str = "") -> NoReturn:
        if isinstance(at, ast.expr):
            # ast counts bytes
            start = self._text.lstrip().encode()[: at.col_offset]
            at = len(start.decode(errors="replace"))
        where = f"expression, column {self._indent + at + 1}"
        keys = self._names.keys
        more = f"; in the metadata: {', '.join(keys[:MOST_KEYS])}" if keys else ""
        raise ConfigError(what, where, hint or f"names: {', '.join(COLUMNS)}{more}")


def _plain_name(name: str) -> str:
    """A name as it was written, see ``_Query._renamed``."""
    return "return" if name == "Return" else name


def _kind_of(value: Any) -> str:
    """What a value of the metadata is, in the words of ``_Values.kind``."""
    kinds = {bool: "flag", int: "number", float: "number", str: "text", list: "list"}
    return kinds.get(type(value), "group")


def _alike(arrays: Iterable[np.ndarray]) -> np.ndarray:
    """Arrays of N or of one answer, made as long as the longest and stacked."""
    return np.stack(np.broadcast_arrays(*arrays))


class _Column(NamedTuple):
    """A name that stands for something of every trajectory."""

    kind: str
    of: Callable[[Corpus], _Values]

    def of_none(self) -> _Values:
        """Its values for no trajectory at all."""
        empty = {"number": 0.0, "text": "", "flag": False}[self.kind]
        return _Values(self.kind, np.array([empty])[:0], np.zeros(0, bool))


def _plain(kind: str, read: Callable[[Corpus], np.ndarray]) -> _Column:
    return _Column(kind, lambda corpus: _Values(kind, read(corpus), np.asarray(True)))


def _known(read: Callable[[Table], np.ndarray], known: Callable[[Table], np.ndarray]) -> _Column:
    """A column of numbers that not every trajectory has."""
    return _Column("number", lambda c: _Values("number", read(c.table), known(c.table)))


def _of_source(kind: str, empty: Any, read: Callable[[Provenance], Any]) -> _Column:
    """What a trajectory's provenance says."""

    def values(corpus: Corpus) -> _Values:
        found = [read(entry) for entry in corpus.manifest.provenance]
        array = np.array([empty if value is None else value for value in found] or [empty])
        known = np.array([value is not None for value in found] or [False])
        rows = corpus.table.provenance
        return _Values(kind, array[rows], known[rows])

    return _Column(kind, values)


def _action_kinds(corpus: Corpus) -> _Values:
    kinds = action_kinds(corpus)
    return _Values("text", np.array(KINDS)[np.maximum(kinds, 0)], kinds >= 0)


_WORDS = {"labels": [state.value for state in LabelState], "actions": KINDS}
"""All that some columns can be."""

COLUMNS: dict[str, _Column] = {
    "id": _plain("text", lambda corpus: corpus.table.id),
    "position": _plain("number", lambda corpus: corpus.index.position),
    "length": _plain("number", lambda corpus: corpus.table.length),
    "return": _known(lambda table: table.episode_return, lambda table: table.rewarded),
    "labels": _plain(
        "text", lambda corpus: np.array([s.value for s in LABEL_STATES])[corpus.table.labels]
    ),
    "actions": _Column("text", _action_kinds),
    "num_observed": _plain("number", lambda corpus: corpus.table.num_observed),
    "terminated": _plain("flag", lambda corpus: corpus.table.terminated),
    "truncated": _plain("flag", lambda corpus: corpus.table.truncated),
    "agent_step": _known(lambda table: table.agent_step, lambda table: table.agent_step >= 0),
    "seed": _known(lambda table: table.seed, lambda table: table.seeded),
    "source": _of_source("text", "", lambda entry: entry.source),
    "agent": _of_source("text", "", lambda entry: entry.agent),
    "origin": _of_source("text", "", lambda entry: entry.origin),
    "tier": _of_source("text", "", lambda entry: entry.tier),
    "run_seed": _of_source("number", 0, lambda entry: entry.seed),
}
"""Names in an expression; others are keys of the metadata.

``actions`` tells whether the observed ones are all ``zero``, all one and the same (``constant``) or
neither (``varied``). ``position`` is the place in the whole corpus, ``seed`` that of the
environment's reset, ``run_seed`` that of the collecting run; the others are the table's and the
provenance's fields.
"""
