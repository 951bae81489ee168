"""YAML as people write it: what is not plain or stands twice is a mistake, not a choice."""

import os
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from lawm_schemas import ConfigError, load_yaml, read_yaml
from lawm_schemas.plain_yaml import dump_yaml, load_setting

ODD = "on No y ~ null true 08 0o17 1_0 1e5 1:30 .5 +1 - = << . !a &a *a 2020-01-01 a:b a#b"
WORDS = st.text(max_size=8) | st.sampled_from(ODD.split(" "))
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
NUMBERLIKE = re.compile(r"[-+]?(0o)?[0-9_.]+([eE][-+]?[0-9]+)?")
"""Some of these are words in YAML 1.1 and numbers in 1.2."""


def plain(words: st.SearchStrategy[str]) -> st.SearchStrategy[object]:
    """Plain data with these words in it."""
    return st.recursive(
        st.none() | st.booleans() | NUMBERS | words,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
        max_leaves=8,
    )


PLAIN = plain(WORDS)
PLAIN_TO_ALL = plain(WORDS.filter(lambda word: not NUMBERLIKE.fullmatch(word)))


@given(PLAIN)
def test_what_is_written_is_read(data: object) -> None:
    assert load_yaml(dump_yaml(data), "here") == data


@given(PLAIN)
def test_what_is_written_is_read_as_yaml_1_1_too(data: object) -> None:
    assert yaml.safe_load(dump_yaml(data)) == data


@given(PLAIN_TO_ALL)
def test_what_pyyaml_has_written_is_read(data: object) -> None:
    assert load_yaml(yaml.safe_dump(data), "here") == data


def test_the_rules_are_those_of_yaml_1_2() -> None:
    text = "[1e-4, on, no, 2020-01-01, 1:30, =, ~, True, 0x10]"
    expected = [1e-4, "on", "no", "2020-01-01", "1:30", "=", None, True, 16]
    assert load_yaml(text, "here") == expected
    assert load_yaml(f"%YAML 1.1\n---\n{text}", "here") == expected


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: 2\na: 3", "^here, line 3: found duplicate key .a.*; keep one of them$"),
        ("a:\n  b: 1\n  'b': 1", "^here, line 3: found duplicate key .b."),
        ("- {x: 1,\n   x: 2}", "^here, line 2: found duplicate key .x."),
        ("{x: 1, x: 2}", "^here: found duplicate key .x."),
        ("<<: {x: 1}\n<<: {y: 1}", "^here, line 2: found duplicate key .<<."),
        ("a: 1\nb: &x [1]", "^here, line 2: the anchor 'x' is not taken; write the value itself$"),
        ("a: 1\nb: *x", "^here, line 2: the anchor 'x' is not taken"),
        ("a: !!python/name:os.system x", "^here: the tag '.*os.system' is not taken"),
        ("a: !!str 1", "^here: the tag '.*str' is not taken"),
        ("a: ! 1", "^here: the tag '!' is not taken"),
        ("a: [1,\nb: 2", "^here, line 2: not YAML: .*; correct it$"),
        ("a: 1\n---\nb: 2", "^here, line 2: not YAML"),
        ("[" * 1000, "^here: not YAML"),
        ("a: \x00", "^here: not YAML"),
        ("9" * 5000, "^here: not YAML"),
        ("? {a: 1}\n: 2", "^here, line 1: not YAML: found unhashable key"),
    ],
)
def test_what_is_no_plain_document_is_refused(text: str, line: str) -> None:
    with pytest.raises(ConfigError, match=line) as caught:
        load_yaml(text, "here")
    assert "\n" not in str(caught.value)


def test_files_that_are_no_text_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"a: \xff")
    for name, words in (("a.yaml", "UTF-8"), ("none.yaml", "no such file"), ("", "is a folder")):
        with pytest.raises(ConfigError, match=words):
            read_yaml(tmp_path / name)


@given(PLAIN_TO_ALL)
def test_settings_have_the_values_that_were_written(data: object) -> None:
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
        ("rate={a: 1, a: 2}", "found duplicate key .a."),
    ],
)
def test_words_that_are_no_settings(word: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_setting(word)


def test_a_pipe_that_nobody_writes_to_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "study.yaml")
    with pytest.raises(ConfigError, match=r"study\.yaml: is no regular file"):
        read_yaml(tmp_path / "study.yaml")


def test_a_link_to_itself_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").symlink_to("study.yaml")
    with pytest.raises(ConfigError, match=r"study\.yaml: (cannot be read|no such file)"):
        read_yaml(tmp_path / "study.yaml")
