"""YAML as people write it: a key that stands twice is a mistake, not a choice."""

from pathlib import Path

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st
from lawm_schemas import ConfigError, load_yaml, read_yaml
from lawm_schemas.plain_yaml import load_setting, number

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(PLAIN)
def test_what_has_no_key_twice_is_read_as_ever(data: object) -> None:
    assert load_yaml(yaml.safe_dump(data), "here") == data


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: 2\na: 3", "^here, line 3: the key 'a' stands twice .first in line 1.; keep"),
        ("a:\n  b: 1\n  'b': 1", "^here, line 3: the key 'b' stands twice .first in line 2."),
        ("- {x: 1,\n   x: 2}", "^here, line 2: the key 'x' stands twice"),
        ("{x: 1, x: 2}", "^here: the key 'x' stands twice"),
        ("a: &a {x: 1}\nb: {<<: *a, <<: *a}", "the key '<<' stands twice"),
        ("a: [1,\nb: 2", "^here, line 2: not YAML"),
        ("a: !!python/name:os.system x", "^here: not YAML"),
        ("[" * 1000, "^here: not YAML"),
        ("a: \x00", "^here: not YAML"),
        ("2020-13-45", "^here: not YAML"),
        ("? {a: 1}\n: 2", "^here, line 1: not YAML: found unhashable key"),
    ],
)
def test_what_is_no_plain_document_is_refused(text: str, line: str) -> None:
    with pytest.raises(ConfigError, match=line) as caught:
        load_yaml(text, "here")
    assert "\n" not in str(caught.value)


def test_merged_mappings_may_name_a_key_again() -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {<<: *a, x: 2}\nc: {<<: [*b, *a], y: 3}"
    assert load_yaml(text, "here")["c"] == {"x": 2, "y": 3}


def test_files_that_are_no_text_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"a: \xff")
    for name, words in (("a.yaml", "UTF-8"), ("none.yaml", "no such file"), ("", "is a folder")):
        with pytest.raises(ConfigError, match=words):
            read_yaml(tmp_path / name)


@given(PLAIN | st.floats(allow_nan=False, allow_infinity=False))
def test_settings_have_the_values_that_were_written(data: object) -> None:
    assume(number(data) is data)
    word = yaml.safe_dump(data, default_flow_style=True, width=1 << 20).removesuffix("...\n")
    assert load_setting(f" a.b ={word}") == ("a.b", data)


def test_numbers_without_a_point_are_numbers_and_what_is_in_quotes_is_a_word() -> None:
    assert load_setting("rate=1e-4") == ("rate", 1e-4)
    assert load_setting("rate='1e-4'") == ("rate", "1e-4")
    assert load_setting("rate=a=b") == ("rate", "a=b")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("rate", r"^--set 'rate': no '=' in it; write key=value"),
        (" =1", r"^--set ' =1': no key before '='"),
        ("rate=[1", r"^--set rate=\[1: not YAML"),
        ("rate={a: 1, a: 2}", "the key 'a' stands twice"),
    ],
)
def test_words_that_are_no_settings(word: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_setting(word)
