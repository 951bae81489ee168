"""A corpus with masks and overlays, and what is in corpora."""

from __future__ import annotations

import numpy as np

from lawm_data import (
    Corpus,
    write_overlay,
)


def label(corpus: Corpus, name: str = "idm", model: str = "0" * 64, **options: object) -> None:
    """Write an overlay that says of trajectory i that its actions are i / 100."""
    half = corpus.with_mask("half")
    labels = [
        (t.info.id, np.full((len(t), 3), i / 100), np.full((len(t), 3), 0.5))
        for i, t in enumerate(half)
        if t.actions is None
    ]
    write_overlay(half, labels, name=name, model=model, algorithm="lawm", r2=0.5, **options)
