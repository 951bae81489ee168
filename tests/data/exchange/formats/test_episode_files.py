from __future__ import annotations

import numpy as np
import pytest
from lawm_schemas import CorpusError

from lawm_data.exchange.formats._episode_files import ended_at_last


@pytest.mark.parametrize("last", [0, 1])
def test_only_the_last_row_may_end(last: int) -> None:
    assert ended_at_last(np.array([0, 0, last]), "is_last") is bool(last)
    with pytest.raises(CorpusError, match="is true in row 1 of 3; cut the trajectory there"):
        ended_at_last(np.array([0, 1, last]), "is_last")
