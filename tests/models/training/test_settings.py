"""Every key that is listed can be set, and every key that can be set is listed."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from lawm_schemas import ConfigError
from small_runs import DISTINCT

from lawm_models.training.configure import configure
from lawm_models.training.experiment import resolve
from lawm_models.training.settings import list_settings


def leaves(data: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Values by dotted key."""
    items = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in items:
        if isinstance(value, dict | list):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


@pytest.mark.parametrize("name", DISTINCT)
def test_it_lists_what_a_run_writes_out(name: str) -> None:
    listed = {setting.key: setting.value for setting in list_settings(name)}
    written = dict(leaves(resolve(configure("c", algorithm=name)).model_dump(mode="json")))
    information = {"preset", "algorithm.name", "corpora.0.path"}
    assert written.keys() - information <= listed.keys()
    assert {key: listed[key] for key in written.keys() - information} == {
        key: value for key, value in written.items() if key not in information
    }
    rest = listed.keys() - written.keys()
    assert all(key.startswith("batches.") and listed[key] is None for key in rest)


@pytest.mark.parametrize("name", DISTINCT)
def test_what_it_lists_can_be_set(name: str) -> None:
    plain = configure("c", algorithm=name)
    listed = {s.key: s.value for s in list_settings(name)}
    again = configure("c", algorithm=name, settings=listed)
    assert resolve(again).algorithm == resolve(plain).algorithm
    assert again.model_copy(update={"algorithm": plain.algorithm, "batches": {}}) == (
        plain.model_copy(update={"batches": {}})
    )


@pytest.mark.parametrize("name", DISTINCT)
def test_everything_has_a_type_and_a_meaning(name: str) -> None:
    for setting in list_settings(name):
        assert setting.type, setting.key
        assert setting.meaning.endswith((".", ")", "?")), setting.key


def test_types_are_what_is_allowed() -> None:
    types = {setting.key: setting.type for setting in list_settings("lawm")}
    assert types["labeled_ratio"] == "number ≥ 0 and ≤ 1 or null"
    assert types["short"] == "drop | pad | error"
    assert types["algorithm.settings.support"] == "number > 0"
    assert types["algorithm.settings.sample_dreamed"] == "true or false"


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ConfigError, match="no algorithm 'lavm'"):
        list_settings("lavm")
    with pytest.raises(ConfigError, match="no preset 'big'"):
        list_settings("lawm", "big")


UNLIMITED = re.compile(r"steps\..*|seed|.*_episodes|.*_every|.*_delay|.*warmup")
"""Whole numbers that count what is done, one after the other, and not what is built."""


@pytest.mark.parametrize("name", DISTINCT)
def test_what_is_built_has_a_limit(name: str) -> None:
    """Else a typing error takes all memory, or builds layers until somebody kills it."""
    sizes = [s.key for s in list_settings(name) if type(s.value) is int]
    sizes = [key for key in sizes if not UNLIMITED.fullmatch(key.rpartition("settings.")[2])]
    assert {"batch_size", "window", "threads"} < {*sizes}
    for key in sizes:
        with pytest.raises(ConfigError, match=f"{key.rpartition('.')[2]}: .*less than or equal"):
            resolve(configure("c", algorithm=name, settings={key: 1 << 31}))
