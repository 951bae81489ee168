"""World models that learn from corpora of which some trajectories have no actions.

``train(configure("corpora/cs@5pct"), "runs/a")`` makes a ``Run``, which infers the actions that are
missing, and whose ``policy()`` acts in a loop of your own; see docs/python.md. Corpora are in
``lawm_data``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lawm_schemas import ExperimentConfig

    from lawm_models.acting.policy import Policy
    from lawm_models.collection.reaching import reach_goals
    from lawm_models.collection.trained_policy import load_policy
    from lawm_models.runs.rank import rank
    from lawm_models.runs.run import Run, load_run, train, train_seeds
    from lawm_models.studies.benchmark import benchmark
    from lawm_models.training.configure import configure
    from lawm_models.training.presets import PRESETS as presets

    __version__: str

__all__ = [
    "ExperimentConfig",
    "Policy",
    "Run",
    "__version__",
    "benchmark",
    "configure",
    "load_policy",
    "load_run",
    "presets",
    "rank",
    "reach_goals",
    "train",
    "train_seeds",
]

# Names are looked up when they are used: torch is a matter of seconds.
_HOMES = {
    "ExperimentConfig": "lawm_schemas",
    "Policy": "lawm_models.acting.policy",
    "Run": "lawm_models.runs.run",
    "benchmark": "lawm_models.studies.benchmark",
    "configure": "lawm_models.training.configure",
    "load_policy": "lawm_models.collection.trained_policy",
    "load_run": "lawm_models.runs.run",
    "presets": "lawm_models.training.presets",
    "rank": "lawm_models.runs.rank",
    "reach_goals": "lawm_models.collection.reaching",
    "train": "lawm_models.runs.run",
    "train_seeds": "lawm_models.runs.run",
}
_NAMED_THERE = {"presets": "PRESETS"}
"""What is called otherwise where it is at home."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("lawm")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = importlib.import_module(_HOMES[name])
    value = getattr(home, _NAMED_THERE.get(name, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
