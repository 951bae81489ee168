"""Corpora for reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from lawm_schemas import ArraySpec, Provenance, Role

from lawm_data import Corpus, CorpusWriter, make_mask, open_corpus
from lawm_data.inspection.report import write_report
from lawm_data.system.terminal import Bars

STATE = (ArraySpec(name="position", shape=(2,)), ArraySpec(name="height", shape=(1,)))


ACTION = ArraySpec(name="action", shape=(2,), role=Role.action, low=(-1.0,) * 2, high=(1.0,) * 2)


def corpus_with(
    path: Path, hidden: float = 0.5, length: int = 12, unrewarded: Sequence[int] = ()
) -> Corpus:
    """Eight trajectories; the actions of the odd ones are ``hidden``."""
    writer = CorpusWriter.create(path, observations=STATE, action=ACTION)
    rng = np.random.default_rng(0)
    for i in range(8):
        actions = rng.uniform(-1, 1, (length, 2))
        writer.add(
            {spec.name: rng.normal(size=(length + 1, *spec.shape)) for spec in STATE},
            rng.normal(size=length) * (i not in unrewarded),
            actions if i % 2 == 0 else np.full_like(actions, hidden),
            provenance=Provenance(source="test"),
            metadata={"rewards": "none"} if i in unrewarded else {},
        )
    writer.close()
    return open_corpus(path)


def even_ones(corpus: Corpus) -> Corpus:
    labeled = tuple(sorted(corpus.table.id[::2].tolist()))
    mask = make_mask(corpus, 0.5, 0, "even")
    return corpus.with_mask(mask.model_copy(update={"labeled": labeled}))


def report(view: Corpus, out: Path, **options) -> str:
    with Bars() as bars:
        write_report(view, out, bars=bars, **{"clips": 0, **options})
    return out.read_text(encoding="utf-8")
