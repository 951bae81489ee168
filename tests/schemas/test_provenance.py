"""Where trajectories come from is kept as it was given."""

import pytest
from documents import require_refused, require_round_trip
from hypothesis import given
from hypothesis import strategies as st
from lawm_schemas import EnvironmentInfo, LineageStep, Provenance

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inside: st.lists(inside, max_size=2) | st.dictionaries(st.text(max_size=3), inside),
    max_leaves=5,
)


@given(st.dictionaries(st.text(max_size=3), plain, max_size=3))
def test_settings_of_any_shape_come_back(settings: dict) -> None:
    assert (
        require_round_trip(Provenance, {"source": "x", "settings": settings}).settings == settings
    )
    step = {"operation": "filter", "parents": ["a"], "settings": settings}
    assert require_round_trip(LineageStep, step).settings == settings


@pytest.mark.parametrize(
    ("change", "words"),
    [({"action_repeat": 0}, "action_repeat"), ({"task": None}, "task"), ({"tusk": "a"}, "tusk")],
)
def test_bad_environments_are_refused(change: dict, words: str) -> None:
    require_refused(EnvironmentInfo, {"task": "walker-walk"}, change, words)
