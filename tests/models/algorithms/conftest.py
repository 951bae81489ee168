"""A small corpus for algorithms that learn from more than batches."""

import numpy as np
import pytest
from lawm_schemas import Provenance

from lawm_data import CorpusWriter, make_mask, open_corpus

STEPS = 9


@pytest.fixture
def corpus(spec, tmp_path):
    """Twenty trajectories of one policy, of which a mask shows the actions of ten."""
    draws, path = np.random.default_rng(0), tmp_path / "corpus"
    low, high = np.array(spec.action.low), np.array(spec.action.high)
    with CorpusWriter.create(path, observations=spec.observations, action=spec.action) as writer:
        for _ in range(20):
            state = draws.normal(size=(STEPS + 1, 3)).astype(np.float32)
            unit = (1 + np.tanh(state[:-1, :2])) / 2
            writer.add(
                {"state": state},
                rewards=draws.normal(size=STEPS).astype(np.float32),
                actions=(low + unit * (high - low)).astype(np.float32),
                provenance=Provenance(source="test"),
            )
    whole = open_corpus(path)
    return whole.with_mask(make_mask(whole, 0.5, seed=0, name="half"))
