"""Queries about trajectories, such as ``return >= 750 and source == 'dreamer'``.

The language is a small part of Python's: names of the table's columns, numbers, texts, ``None``,
comparisons (chains too), ``in``, ``and``, ``or`` and ``not``. It is read by ``ast`` and answered
for all trajectories at once with arrays; nothing is ever executed.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, NoReturn

import numpy as np
from lawm_schemas import ConfigError, LabelState, Provenance

from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.table import LABEL_STATES, Table

LONGEST = 4096
"""Characters of an expression."""
LEAST, LARGEST = -(2**63), 2**64 - 1
"""Numbers beyond these are refused: no column holds one."""

_RETURN = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|\b[rR]eturn\b""")
"""Texts, which stay as they are, and the one column whose name is a keyword of Python."""
_ORDER = {ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge}
_SAME = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot)


class _Values(NamedTuple):
    """A column, or one value that stands for a column of equal ones."""

    kind: str
    """``number``, ``text``, ``flag``, or ``none`` for the literal ``None``."""
    array: np.ndarray
    known: np.ndarray
    """False where there is no value."""


def matching(corpus: Corpus, expression: str) -> np.ndarray:
    """Which trajectories of a view an expression is true of, (N,) bool.

    A value that is not known equals ``None``, differs from everything else, and is neither
    smaller nor larger than anything.

    Raises:
        ConfigError: what is wrong in the expression, and at which column.
    """
    found = _answer(expression, lambda name: COLUMNS[name].of(corpus))
    return np.broadcast_to(found, (len(corpus),)).copy()


def require_expression(expression: str) -> None:
    """Refuse an expression that no corpus could answer, before there is one.

    Raises:
        ConfigError: see ``matching``.
    """
    _answer(expression, lambda name: COLUMNS[name].of_none())


def _answer(expression: str, column: Callable[[str], _Values]) -> np.ndarray:
    try:
        return _Query(expression, column).answer()
    except RecursionError:
        raise ConfigError("is nested too deeply", "expression", "make it simpler") from None


class _Query:
    def __init__(self, expression: str, column: Callable[[str], _Values]) -> None:
        self._column = column
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

    def _same(self, one: _Values, other: _Values, left: ast.expr, right: ast.expr) -> np.ndarray:
        if "none" in (one.kind, other.kind):
            return np.asarray(~one.known & ~other.known)
        if one.kind != other.kind:
            self._refuse(f"a {one.kind} never equals a {other.kind}", right)
        states = [state.value for state in LabelState]
        for name, value in ((left, right), (right, left)):
            is_label = isinstance(name, ast.Name) and name.id == "labels"
            if is_label and isinstance(value, ast.Constant) and value.value not in states:
                what = f"{value.value!r} is not a label state ({', '.join(states)})"
                self._refuse(what, value)
        both = one.known & other.known
        return np.asarray((both & (one.array == other.array)) | (~one.known & ~other.known))

    def _values(self, node: ast.expr) -> _Values:
        match node:
            case ast.Name():
                name = "return" if node.id == "Return" else node.id
                if name not in COLUMNS:
                    self._refuse(f"no such name {name!r}", node)
                return self._column(name)
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
        self._refuse("only columns, numbers, texts, comparisons, in, and, or, not", node)

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
        raise ConfigError(what, where, hint or f"names: {', '.join(COLUMNS)}")


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


COLUMNS: dict[str, _Column] = {
    "id": _plain("text", lambda corpus: corpus.table.id),
    "position": _plain("number", lambda corpus: corpus.index.position),
    "length": _plain("number", lambda corpus: corpus.table.length),
    "return": _plain("number", lambda corpus: corpus.table.episode_return),
    "labels": _plain(
        "text", lambda corpus: np.array([s.value for s in LABEL_STATES])[corpus.table.labels]
    ),
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
"""Names in an expression. ``position`` is the place in the whole corpus, ``seed`` that of the
environment's reset, ``run_seed`` that of the collecting run; the others are the table's and the
provenance's fields."""
