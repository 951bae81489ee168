"""What the recorder keeps is what was done."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import numpy as np
import pytest
from lawm_schemas import CorpusError

from lawm_data import RecordTrajectories, open_corpus


@pytest.mark.parametrize("seed", [0, 2**63, 2**64 - 1, np.uint64(2**63 + 5)])
def test_seeds_of_64_bits_are_recorded(seed: int, tmp_path: Path) -> None:
    with RecordTrajectories(gymnasium.make("CartPole-v1"), tmp_path / "corpus") as env:
        env.reset(seed=int(seed))
        env.step(np.int64(1))
    assert [t.info.seed for t in open_corpus(tmp_path / "corpus")] == [int(seed)]


def test_a_seed_that_cannot_be_kept_is_refused_before_the_reset(tmp_path: Path) -> None:
    with RecordTrajectories(gymnasium.make("CartPole-v1"), tmp_path / "corpus") as env:
        env.reset(seed=1)
        env.step(np.int64(1))
        with pytest.raises(CorpusError, match=r"out of range; give .* 2\*\*64 - 1"):
            env.reset(seed=2**64)
        env.step(np.int64(1))
    assert [len(t) for t in open_corpus(tmp_path / "corpus")] == [2]
