"""Data on another scale than a world model of these settings expects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from lawm_schemas import Schema

from lawm_data.corpus.corpus import Corpus
from lawm_data.inspection.statistics import NEAR_CONSTANT, moments
from lawm_models.networks.encoders import vectors
from lawm_models.networks.scaling import all_states, root_mean_square
from lawm_models.networks.world_model import WorldModelConfig

LOOKED_AT = 100
"""Trajectories of a corpus, evenly spread: enough for an order of magnitude."""
OBSERVED = (0.03, 30.0)
"""Standard deviations of observations that nobody need think about: none above, not all below."""
PAID = (0.05, 5.0)
"""Root mean squares of rewards, likewise. Those of exploration are often near 0.1."""


def scale_notes(settings: Schema, views: Sequence[Corpus]) -> Iterator[str]:
    """A line for each corpus and each setting that would help there.

    Args:
        settings: of the algorithm; what has no world model has nothing to say.
        views: the corpora, through their masks; of actions nothing is read.
    """
    model = getattr(settings, "model", None)
    if not isinstance(model, WorldModelConfig):
        return
    for view in views:
        if len(view) > LOOKED_AT:
            some = view[np.linspace(0, len(view) - 1, LOOKED_AT).astype(np.int64)]
        else:
            some = view
        if isinstance(model.encoder, vectors.Config) and model.encoder.scale != "standard":
            found = moments(all_states([some]))
            if found is not None:
                size = np.maximum(np.abs(found.low), np.abs(found.high))
                std = found.std[found.std > NEAR_CONSTANT * size]
                if len(std) and (std.max() > OBSERVED[1] or std.max() < OBSERVED[0]):
                    what = f"observations have standard deviations up to {std.max():.3g}"
                    yield _note(view, what, "encoder.scale")
        if model.reward_scale != "standard":
            size = root_mean_square([some])
            if not PAID[0] <= size <= PAID[1]:
                yield _note(view, f"rewards have a root mean square of {size:.3g}", "reward_scale")


def _note(view: Corpus, what: str, key: str) -> str:
    hint = f"--set algorithm.settings.model.{key}=standard"
    return f"{view.path}: {what}, far from 1, which is hard to learn; {hint}"
