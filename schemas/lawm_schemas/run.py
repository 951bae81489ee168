"""What a run leaves behind: ``run.json`` and ``evaluation.json``."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from lawm_schemas.arrays import ArraySpec
from lawm_schemas.base import Checksummed, Schema
from lawm_schemas.provenance import EnvironmentInfo


class CorpusRecord(Schema):
    """Which data a run saw, exactly."""

    path: str
    """Where it was; on the Hub with the commit: ``hf://user/name@COMMIT``."""
    fingerprint: str
    """Fingerprint of what the run could see of the corpus: it covers no action that a mask hides.
    (In runs that do not have ``unlabeled`` it does.)"""
    unlabeled: str | None = None
    """Fingerprint of the corpus as if it had no actions: the same under every mask."""
    mask: str | None = None
    """Mask it was seen through."""
    mask_sha256: str | None = None
    """Hash of the mask's labeled ids."""
    features: dict[str, str] = Field(default_factory=dict)
    """Checksums of the features that were observed, by their names."""
    trajectories: int
    """Trajectories in it."""
    labeled: int
    """Trajectories whose actions the run could see."""
    labels: str | None = None
    """Inferred actions that it took for observed ones."""
    labels_sha256: str | None = None
    """Checksum of these."""
    inferred: int = 0
    """Trajectories whose actions are theirs."""


class TakenStages(Schema):
    """Stages that a run has not made itself but taken over, see ``lawm train --from``."""

    run: str
    """Folder of the run that they are from."""
    stages: tuple[str, ...] = Field(min_length=1)
    """Which."""
    sha256: str
    """Hash of the weights at their end."""
    versions: dict[str, str]
    """Package versions with which they were made."""


class RunRecord(Checksummed):
    """``run.json``: enough to know what was run, and to load it without its corpus."""

    command: str
    """Command line."""
    started: str
    """UTC date, ISO 8601."""
    device: str
    """Device it ran on."""
    versions: dict[str, str]
    """Package versions, and the git commit when there is one."""
    corpora: tuple[CorpusRecord, ...]
    """The data."""
    state: tuple[ArraySpec, ...]
    """State fields in the order of ``batch.observation``; features are such fields."""
    pixels: tuple[ArraySpec, ...] = ()
    """Camera fields that were observed."""
    action: ArraySpec
    """The action array."""
    environment: EnvironmentInfo | None = None
    """Where the policy is evaluated."""
    terminates: bool = False
    """Some trajectory ends in a terminal state that was observed."""
    processes: int = Field(default=1, ge=1)
    """Processes that make its gradient steps together."""
    taken: TakenStages | None = None
    """What it began with; none when all of it was made here."""

    @property
    def observations(self) -> tuple[ArraySpec, ...]:
        """All that was observed."""
        return (*self.state, *self.pixels)

    @property
    def draws_by_hidden_actions(self) -> bool:
        """It was begun by an earlier version, whose batches depended on hidden actions, too."""
        return any(corpus.unlabeled is None for corpus in self.corpora)


class Evaluation(Schema):
    """``evaluation.json`` and the output of ``lawm evaluate --json``."""

    return_mean: float
    """Mean return over episodes."""
    return_std: float
    """Standard deviation over episodes (population)."""
    normalized: float | None
    """100 × return_mean / max_return; for the dm_control suite return/10."""
    episodes: int = Field(ge=1)
    """Number of episodes."""
    returns: tuple[float, ...]
    """Every return."""
    seed: int
    """Seed of the first episode's reset."""
    environment: str
    """``suite:task``."""
    planner: dict[str, Any] | None = None
    """Name and settings of the planner that acted, if one did."""
