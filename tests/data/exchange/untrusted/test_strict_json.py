from __future__ import annotations

import pytest
from lawm_schemas import CorpusError

from lawm_data.exchange.untrusted.strict_json import strict_json


@pytest.mark.parametrize("text", ["{", '{"a": 1, "a": 2}', "NaN", "[Infinity]", "[" * 100_000])
def test_what_is_not_json_is_one_line(text: str) -> None:
    with pytest.raises(CorpusError) as refusal:
        strict_json(text, "here")
    assert "\n" not in str(refusal.value)


def test_numbers_that_others_write_can_be_let_through() -> None:
    assert strict_json("[Infinity, 1]", "here", finite=False) == [float("inf"), 1]
