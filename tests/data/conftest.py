"""Corpora of random numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from lawm_schemas import ArraySpec, Provenance, Role

from lawm_data import Corpus, CorpusWriter, open_corpus

STATE = (ArraySpec(name="position", shape=(2,)), ArraySpec(name="height", shape=()))
ACTION = ArraySpec(name="action", shape=(3,), role=Role.action, low=(-1.0,) * 3, high=(1.0,) * 3)
LENGTHS = (9, 4, 12, 1, 6, 20, 7, 30)


@pytest.fixture
def random_corpus(tmp_path: Path) -> Callable[..., Corpus]:
    """Writes a corpus: the first two thirds of the actions of ``partial`` ones are not observed.

    ``shards`` commits it in that many parts and keeps them apart.
    """

    def write(
        name: str = "corpus",
        lengths: Sequence[int] = LENGTHS,
        *,
        observations: Sequence[ArraySpec] = STATE,
        action: ArraySpec = ACTION,
        seed: int = 0,
        unlabeled: Sequence[int] = (),
        partial: Sequence[int] = (),
        shards: int = 1,
    ) -> Corpus:
        rng = np.random.default_rng(seed)
        writer = CorpusWriter.create(tmp_path / name, observations=observations, action=action)
        for i, steps in enumerate(lengths):
            arrays = {
                spec.name: (rng.standard_normal((steps + 1, *spec.shape)) * 50).astype(spec.dtype)
                for spec in observations
            }
            actions = rng.uniform(-1, 1, (steps, *action.shape)).astype(action.dtype)
            writer.add(
                arrays,
                rng.standard_normal(steps).astype(np.float32),
                None if i in unlabeled else actions,
                action_observed=np.arange(steps) >= 2 * steps // 3 if i in partial else None,
                terminated=i % 2 == 0,
                truncated=i % 2 == 1,
                provenance=Provenance(source="test"),
            )
            if (i + 1) % -(-len(lengths) // shards) == 0:
                writer.commit()
        writer.commit()
        writer.discard()  # closing would join the shards
        corpus = open_corpus(tmp_path / name)
        assert len(corpus.shards) == shards
        return corpus

    return write
