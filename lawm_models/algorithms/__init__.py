"""Algorithms by name: one module of this folder, or of another package, is one algorithm."""

from __future__ import annotations

from lawm_data.system.registry import Modules
from lawm_models.algorithms._protocol import Algorithm as Algorithm
from lawm_models.algorithms._protocol import AlgorithmModule as AlgorithmModule
from lawm_models.algorithms._protocol import LastStage as LastStage
from lawm_models.algorithms._protocol import ModelSpec as ModelSpec
from lawm_models.algorithms._protocol import RewardsFrom as RewardsFrom

ALGORITHMS = Modules[AlgorithmModule](
    "algorithm", __name__, "lawm.algorithms", {"Config": type, "Algorithm": type}
)
"""Every algorithm; listing them imports none, and no torch."""


def title(name: str) -> str:
    """What an algorithm is called in tables, such as ``TD3+BC``; others go by their names."""
    if name not in ALGORITHMS:
        return name
    word, colon, _ = ALGORITHMS.summary(name).partition(":")
    return word if colon and " " not in word else name
