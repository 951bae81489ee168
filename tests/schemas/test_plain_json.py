"""JSON is strict, and a bad file is one line."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lawm_schemas import ConfigError, load_json
from lawm_schemas.plain_json import parse_json

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inside: st.lists(inside) | st.dictionaries(st.text(), inside),
    max_leaves=9,
)


@given(values)
def test_what_json_holds_is_read_as_it_is(value: Any) -> None:
    assert parse_json(json.dumps(value), "here") == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1, "a": 1}', "a key stands twice"),
        ('[{"a": {"b": 1, "b": 2}}]', "a key stands twice"),
        ("NaN", "NaN is not JSON"),
        ("[-Infinity]", "-Infinity is not JSON"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        (b"\xff", "is not JSON"),
    ],
)
def test_anything_else_is_refused(text: str | bytes, words: str) -> None:
    with pytest.raises(ConfigError, match=r"^here: is not JSON.*; restore the file") as caught:
        parse_json(text, "here")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_programs_may_write_nan() -> None:
    value = parse_json('{"a": NaN}', "here", finite=False)
    assert value["a"] != value["a"]


def test_places_without_a_json_file_are_named(tmp_path: Path) -> None:
    (tmp_path / "latin.json").write_bytes('"é"'.encode("latin-1"))
    os.mkfifo(tmp_path / "pipe")
    for name, words in (
        ("nowhere", "no such file; check the path"),
        (".", "is a folder, not a JSON file"),
        ("latin.json", "it is not UTF-8"),
        ("pipe", "is no regular file"),
    ):
        with pytest.raises(ConfigError, match=words):
            load_json(tmp_path / name)


def test_a_link_to_itself_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "state.json").symlink_to("state.json")
    with pytest.raises(ConfigError, match=r"state\.json: (cannot be read|no such file)"):
        load_json(tmp_path / "state.json")
