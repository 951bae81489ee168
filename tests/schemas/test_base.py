import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lawm_schemas import ArraySpec, ConfigError, Mask, Provenance, Schema, load_json
from pydantic import ValidationError

MASK = Mask(name="5pct", corpus="0" * 64, fraction=0.05, seed=0, labeled=("a", "b"))


class Inner(Schema):
    """A schema inside a schema."""

    number: int = 0
    """A number."""


class Outer(Schema):
    """A schema."""

    inner: Inner = Inner()
    """Another."""


def test_schemas_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        MASK.name = "other"  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ({"inner": {"number": "x"}}, r"^here: inner\.number: .*valid integer.*; correct it$"),
        ({"inner": {"numbr": 1}}, r"^here: inner\.numbr: .*; check its spelling$"),
        ({"iner": {}}, r"^here: iner: .*; known keys: inner$"),
        (3, r"^here: Outer: "),
    ],
)
def test_parse_names_the_first_bad_key_in_one_line(data: object, line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        Outer.parse(data, "here")


def test_parse_says_what_a_validator_says() -> None:
    with pytest.raises(ConfigError, match=r"^x: name: '' is not a plain name"):
        ArraySpec.parse({"name": "", "shape": [1]}, "x")


@given(
    st.builds(
        Provenance,
        source=st.text(max_size=5),
        settings=st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3)),
    )
)
def test_json_and_yaml_round_trip(provenance: Provenance) -> None:
    assert Provenance.parse(json.loads(provenance.to_json()), "") == provenance


def test_files_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "mask"
    path.write_text(MASK.to_json())
    assert Mask.read_json(path) == MASK
    path.write_text(MASK.to_yaml())
    assert Mask.read_yaml(path) == MASK


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1, "a": 2}', "a key stands twice"),
        ('{"a": {"b": 1, "b": 1}}', "a key stands twice"),
        ('{"a": NaN}', "NaN is not JSON"),
        ("[-Infinity]", "-Infinity is not JSON"),
        ("{", "is not JSON"),
        ("", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_json_is_strict(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"file\.json: .*{reason}"):
        load_json(path)


def test_json_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(ConfigError, match="is not JSON"):
        load_json(path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [", "not YAML"),
        ("!!python/object/apply:os.getcwd []", "the tag .* is not taken"),
        ("a: 1\n\tb: 2", "not YAML"),
    ],
)
def test_yaml_is_plain(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"file\.yaml.*: {reason}"):
        Outer.read_yaml(path)


def test_names_that_yaml_takes_for_numbers_should_be_quoted(tmp_path: Path) -> None:
    path = tmp_path / "mask.yaml"
    path.write_text(MASK.to_yaml().replace("5pct", "1e5"))
    with pytest.raises(ConfigError, match=r"name: .*valid string; put it in quotes"):
        Mask.read_yaml(path)


def test_missing_files_are_named(tmp_path: Path) -> None:
    for read in (Outer.read_json, Outer.read_yaml):
        with pytest.raises(ConfigError, match="gone: no such file"):
            read(tmp_path / "gone")


def test_faults_are_all_that_parse_would_refuse() -> None:
    data = {"inner": {"number": "x", "numbr": 1}, "iner": {}}
    assert [fault.key for fault in Outer.faults(data)] == [
        ("inner", "number"),
        ("inner", "numbr"),
        ("iner",),
    ]
    assert Outer.faults({"inner": {"number": 3}}) == []
