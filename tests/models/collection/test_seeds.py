from __future__ import annotations

import pytest
from lawm_schemas import ConfigError

from lawm_models.collection.seeds import parse


def test_seeds_are_whole_numbers_with_commas_between() -> None:
    assert parse("0,1,12") == (0, 1, 12)
    assert parse(" 7 ") == (7,)


@pytest.mark.parametrize("text", ["", "0,", "0,0", "-1", "1.5", "a,b", "0 1"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a list of different seeds"):
        parse(text)
