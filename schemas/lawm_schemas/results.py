"""The results of a study: ``results.json``, from which alone its tables are made."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from lawm_schemas.base import Schema
from lawm_schemas.run import Evaluation
from lawm_schemas.study import Label, Study


class CellResult(Schema):
    """One run of a study."""

    corpus: str
    """Name of the corpus in the study."""
    algorithm: str
    """Name of the algorithm in the study."""
    labels: Label
    """Label budget: a fraction, ``all``, or the name of a mask."""
    seed: int
    """The one seed."""
    state: Literal["done", "begun", "open", "failed"]
    """How far it is; ``failed`` when the last attempt that came to an end ended with an error."""
    error: str | None = None
    """What stopped it."""
    run: str
    """The run folder, beside this file."""
    taken_from: str | None = None
    """The results file that the run was taken from, when it was not made here."""
    command: str
    """The ``lawm train`` that does the same."""
    fingerprint: str
    """Fingerprint of what the run could see of the corpus."""
    mask: str | None = None
    """Name of the mask, or none."""
    mask_sha256: str | None = None
    """Hash of the mask's labeled ids."""
    features: dict[str, str] = Field(default_factory=dict)
    """Checksums of the sets of features that the run observes, by name."""
    trajectories: int
    """Trajectories in the corpus."""
    labeled: int
    """Trajectories whose actions the run may see."""
    inferred: str | None = None
    """The inferred actions that it learns from, too, named by the run that infers them."""
    seconds: float | None = Field(default=None, ge=0)
    """Wall-clock seconds of training."""
    cpu_seconds: float | None = Field(default=None, ge=0)
    """CPU time, its evaluations included; runs that were trained at once have equal shares."""
    started: str | None = None
    """UTC date, ISO 8601."""
    device: str | None = None
    """Device it ran on."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Package versions, and the git commit when there is one."""
    evaluation: Evaluation | None = None
    """The evaluation that ended the run."""
    figures: dict[str, float] | None = None
    """What the probe found, by the names of its columns; of studies that are judged by it."""
    unjudged: str | None = None
    """Why the probe found nothing when it was tried last."""
    judged_by: str | None = None
    """Hash of the probe's settings, the corpus that it judges on and the labels that it learns
    from. Files of earlier versions have none: there it is what ``study`` asks for."""


class AnchorResult(Schema):
    """What runs that are judged by the probe are compared with."""

    corpus: str
    """Name of the corpus in the study."""
    labels: Label
    """Label budget of the anchor and the runs beside it."""
    seed: int
    """Of the anchor and the runs beside it."""
    kind: str
    """Which one: ``state_only``, ``acwm``, ``acwm_all``, ``unconstrained`` or ``idm``."""
    figures: dict[str, float]
    """By the names of columns."""
    judged_by: str | None = None
    """As of the runs beside it."""


class Results(Schema):
    """``results.json`` in the folder of a study."""

    name: str
    """Name of the study."""
    command: str
    """The command."""
    study: Study
    """What was asked for."""
    configs: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """The complete configuration of each algorithm, without corpora and seed."""
    cells: tuple[CellResult, ...]
    """Every run, in the order in which they are made."""
    anchors: tuple[AnchorResult, ...] = ()
    """Of a study that is judged by the probe."""
