"""Every variant of the study ``ablations`` is a configuration of its own that can be trained."""

from __future__ import annotations

from typing import Any

import pytest

from lawm_models.studies.plan import read_study
from lawm_models.studies.variant import variant

STUDY = read_study("ablations")
VARIANTS = [name for name in STUDY.algorithms if name != "lawm"]


def settings(name: str) -> dict[str, Any]:
    data, errors = variant(STUDY, name, None)
    assert not errors
    return flat(data)


def flat(value: Any, path: tuple[str, ...] = ()) -> dict[str, Any]:
    """The leaves of nested plain data by their dotted names."""
    if not isinstance(value, dict):
        return {".".join(path): value}
    return {k: v for name, item in value.items() for k, v in flat(item, (*path, name)).items()}


def test_no_two_are_the_same() -> None:
    assert len({str(settings(name)) for name in STUDY.algorithms}) == len(STUDY.algorithms) > 30


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_changes_what_it_names_and_nothing_else(name: str) -> None:
    before, after = settings("lawm"), settings(name)
    missing = object()
    changed = {key for key in after if after[key] != before.get(key, missing)}
    assert changed == set(STUDY.algorithms[name].settings)
    assert set(before) <= set(after)
