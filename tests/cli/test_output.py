import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lawm_cli.output import print_json
from lawm_schemas import EnvironmentInfo
from lawm_schemas.base import plain

WORDS = st.text('aé"\\ \n', max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


def parsed(text: str) -> object:
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


@given(st.dictionaries(WORDS, JSON, max_size=3))
def test_everything_plain_can_be_printed_and_is_left_alone_afterwards(data: dict) -> None:
    once = plain(data)
    assert plain(once) == once
    assert parsed(json.dumps(once, allow_nan=False)) == once


def test_print_json_prints_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    data = {
        "array": np.array([[1.5, np.nan], [np.inf, 2]], np.float32),
        "number": np.int64(3),
        "flag": np.bool_(True),
        "path": Path("a") / "b",
        "schema": EnvironmentInfo(task="walker-walk"),
        "tuple": (1, None),
    }
    print_json(data)
    assert parsed(capsys.readouterr().out) == {
        "array": [[1.5, None], [None, 2.0]],
        "number": 3,
        "flag": True,
        "path": "a/b",
        "schema": EnvironmentInfo(task="walker-walk").model_dump(mode="json"),
        "tuple": [1, None],
    }
