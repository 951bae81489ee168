"""Columns as a pandas or an Arrow table; both packages are needed only by those who ask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lawm_data.system.optional import optional

if TYPE_CHECKING:
    import pandas
    import pyarrow

EXTRA = "pandas"
"""The extra of ours that brings both packages."""


class Column(NamedTuple):
    """One column of N rows."""

    values: np.ndarray
    """(N,) numbers, bools or text, which may be objects; anything where a value is missing."""
    missing: np.ndarray | None = None
    """(N,) bool: where there is no value; None says that no value can be missing."""
    categories: tuple[str, ...] | None = None
    """Names that ``values`` are the places of."""

    def at(self, row: int) -> Any:
        """The value of a row; None where it is missing."""
        if self.missing is not None and self.missing[row]:
            return None
        value = self.values[row : row + 1].tolist()[0]
        return value if self.categories is None else self.categories[value]


def to_pandas(columns: Mapping[str, Column], index: str) -> pandas.DataFrame:
    """A frame whose index counts the rows from 0.

    A missing number is NaN where floats are, else ``pandas.NA`` in a type that has it.

    Args:
        columns: by name.
        index: name of the index.

    Raises:
        ConfigError: pandas is missing.
    """
    pd = optional("pandas", EXTRA, "to_pandas", "pandas")
    series = {name: _pandas_array(pd, column) for name, column in columns.items()}
    frame = pd.DataFrame(series)
    frame.index.name = index
    return frame


def to_arrow(columns: Mapping[str, Column]) -> pyarrow.Table:
    """An Arrow table; what is missing is null.

    Raises:
        ConfigError: pyarrow is missing.
    """
    pa = optional("pyarrow", EXTRA, "to_arrow", "pyarrow")
    return pa.table({name: _arrow_array(pa, column) for name, column in columns.items()})


def _pandas_array(pd: Any, column: Column) -> Any:
    values, missing, categories = column
    if categories is not None:
        codes = values if missing is None else np.where(missing, -1, values.astype(np.int64))
        return pd.Categorical.from_codes(codes, categories=list(categories))
    kind = values.dtype.kind
    if kind in "UO":
        text = values.tolist()
        if missing is None:
            return text
        return pd.array([None if m else t for t, m in zip(text, missing, strict=True)], "string")
    if missing is None:
        return values
    if kind == "f":
        return np.where(missing, values.dtype.type(np.nan), values)
    array = pd.arrays.BooleanArray if kind == "b" else pd.arrays.IntegerArray
    return array(np.where(missing, values.dtype.type(0), values), missing.copy())


def _arrow_array(pa: Any, column: Column) -> Any:
    values, missing, categories = column
    if categories is None:
        return pa.array(values, pa.string() if values.dtype.kind == "O" else None, mask=missing)
    codes = pa.array(values, pa.int32(), mask=missing)
    return pa.DictionaryArray.from_arrays(codes, pa.array(list(categories), pa.string()))
