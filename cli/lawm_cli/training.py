"""What ``lawm train`` says of a run when it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lawm_models.training.run_folder import RunFolder


def outcome(run: RunFolder) -> dict[str, Any]:
    """The object that ``train --json`` prints."""
    metrics, evaluation = run.metrics(), run.evaluation()
    return {
        "run": run.path,
        "algorithm": run.config.algorithm.name,
        "preset": run.config.preset,
        "seed": run.config.seed,
        "device": run.record.device,
        "steps": run.config.steps,
        "seconds": metrics[-1]["elapsed"] if metrics else 0.0,
        "taken": run.record.taken and run.record.taken.model_dump(mode="json"),
        "corpora": [record.model_dump(mode="json") for record in run.record.corpora],
        "evaluation": None if evaluation is None else evaluation.model_dump(mode="json"),
    }
