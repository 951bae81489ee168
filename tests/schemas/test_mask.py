"""A mask lists each trajectory once."""

import pytest
from documents import require_refused
from lawm_schemas import Mask

MASK = {"name": "m", "corpus": "c", "fraction": 0.5, "seed": 0, "labeled": ["t", "u"]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fraction": 0}, "fraction"),
        ({"fraction": 1.01}, "fraction"),
        ({"name": "../m"}, "name"),
        ({"name": ".m"}, "name"),
        ({"by": "hours"}, "by"),
        ({"labeled": []}, "labeled"),
        ({"labeled": ["t", "u", "t"]}, "trajectory t stands twice"),
    ],
)
def test_bad_masks_are_refused(change: dict, words: str) -> None:
    require_refused(Mask, MASK, change, words)
