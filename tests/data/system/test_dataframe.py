from __future__ import annotations

import sys

import numpy as np
import pytest
from lawm_schemas import ConfigError

from lawm_data.system.dataframe import Column, to_arrow, to_pandas

MISSING = np.array([False, True, False])
COLUMNS = {
    "whole": Column(np.array([1, 2, 3], np.int16)),
    "count": Column(np.array([1, 2, 3], np.int16), MISSING),
    "half": Column(np.array([1, 2, 3], np.float32), MISSING),
    "flag": Column(np.array([True, True, False]), MISSING),
    "name": Column(np.array(["a", "b", "c"], object), MISSING),
    "kind": Column(np.array([1, 0, 0]), None, ("x", "y")),
    "state": Column(np.array([1, 7, 0], np.uint8), MISSING, ("x", "y")),
}


def test_what_is_missing_is_missing_and_types_stay() -> None:
    frame = to_pandas(COLUMNS, "row")
    assert frame.index.name == "row"
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == {
        "whole": "int16",
        "count": "Int16",
        "half": "float32",
        "flag": "boolean",
        "name": "string",
        "kind": "category",
        "state": "category",
    }
    for name in COLUMNS:
        lacking = [False] * 3 if name in ("whole", "kind") else MISSING.tolist()
        assert frame[name].isna().tolist() == lacking
    assert frame.drop(index=1).to_dict("list") == {
        "whole": [1, 3],
        "count": [1, 3],
        "half": [1, 3],
        "flag": [True, False],
        "name": ["a", "c"],
        "kind": ["y", "x"],
        "state": ["y", "x"],
    }
    assert COLUMNS["half"].values.tolist() == [1, 2, 3]


def test_arrow_says_the_same() -> None:
    table = to_arrow(COLUMNS)
    assert table.column("count").to_pylist() == [1, None, 3]
    assert str(table.schema.field("count").type) == "int16"
    assert table.column("half").null_count == 1
    frame, again = to_pandas(COLUMNS, "row"), table.to_pandas()
    assert again.astype(object).where(again.notna(), None).values.tolist() == (
        frame.astype(object).where(frame.notna(), None).values.tolist()
    )
    assert str(to_arrow({"name": Column(np.array([""], object), np.array([True]))}).schema) == (
        "name: string"
    )


@pytest.mark.parametrize(("package", "to"), [("pandas", to_pandas), ("pyarrow", to_arrow)])
def test_a_missing_package_names_the_extra(monkeypatch, package: str, to) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    words = (COLUMNS, "row") if to is to_pandas else (COLUMNS,)
    with pytest.raises(ConfigError, match=rf"needs the package {package}.*'lawm\[pandas\]'"):
        to(*words)


def test_frames_of_one_corpus_go_together() -> None:
    """A column has one type whether something is missing or not."""
    none = np.zeros(3, bool)
    whole = {
        n: Column(c.values % 2 if n == "state" else c.values, none, c.categories)
        for n, c in COLUMNS.items()
        if c.missing is not None
    }
    kinds = to_pandas(COLUMNS, "row").dtypes
    for name, kind in to_pandas(whole, "row").dtypes.items():
        assert kind == kinds[name]
