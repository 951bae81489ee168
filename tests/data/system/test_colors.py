"""Colors tell apart what they stand for."""

import re

from lawm_schemas import LabelState

from lawm_data.system.colors import SERIES, STATE_COLORS


def test_every_label_state_has_a_color_of_its_own() -> None:
    assert {*STATE_COLORS} == {state.value for state in LabelState}
    for colors in (list(STATE_COLORS.values()), SERIES):
        assert len(set(colors)) == len(colors)
        assert all(re.fullmatch("#[0-9a-f]{6}", color) for color in colors)
