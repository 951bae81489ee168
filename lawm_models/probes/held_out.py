"""Trajectories that no training has seen, by what the runs say that they have seen."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from lawm_schemas import ConfigError, CorpusError
from lawm_schemas.run import CorpusRecord

from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.mask import ranks
from lawm_models.training.experiment import data_now, is_of_unlabeled
from lawm_models.training.run_folder import RunFolder

SHARE = 0.2
"""Of the trajectories, if trainings have seen none of them."""


class Division(NamedTuple):
    """Which trajectories of a corpus are for what; places in it, in an order of their hashes."""

    by: Literal["record", "hash"]
    """Whether the records of the runs tell them apart, or trainings have seen none of them and a
    hash does."""
    fit: np.ndarray
    """Anchors and probes learn from them."""
    judged: np.ndarray
    """Nothing does."""


def divide(whole: Corpus, runs: Sequence[RunFolder]) -> Division:
    """Hold out what no run has seen.

    A trajectory counts as seen if a corpus of a run has one of the same observations, whatever it
    is called. The others are held out; where they are all that there is, a fifth of them, by a hash
    of their observations.

    Args:
        whole: the corpus, showing what the runs observe.
        runs: their corpora must be as they were.

    Raises:
        ConfigError: a corpus of a run is gone or another one, or nothing is held out.
    """
    here, seen = _contents(whole), set()
    for run in runs:
        seen |= _seen_by(run, whole, here)
    known = np.array([content in seen for content in here], bool)
    order = np.argsort(ranks((c for c in here), seed=0), kind="stable")
    if known.all():
        path = str(whole.path)
        hint = f"train on a part of it (lawm-data split {path} train=0.8 held=0.2 --out NEW)"
        raise ConfigError("no trajectory is held out: the runs were trained on all", path, hint)
    if known.any():
        return Division("record", order[known[order]], order[~known[order]])
    kinds = list(dict.fromkeys(here[i] for i in order))
    if len(kinds) < 2:
        hint = "give two or more that differ"
        raise CorpusError(
            "has one trajectory, of which none can be held out", str(whole.path), hint
        )
    chosen = set(kinds[: max(1, round(SHARE * len(kinds)))])
    held = np.array([content in chosen for content in here], bool)
    return Division("hash", order[~held[order]], order[held[order]])


def _seen_by(run: RunFolder, whole: Corpus, here: Sequence[bytes]) -> set[bytes]:
    """Contents of the trajectories that a run was trained on."""
    found: set[bytes] = set()
    for record, view in zip(run.record.corpora, data_now(run.config), strict=True):
        if view is None:
            what = "is gone: nothing else tells which trajectories the run has seen"
            raise ConfigError(what, record.path, f"put it back; {run.path} was trained on it")
        _require_same(record, view, run)
        same = view.unlabeled_fingerprint == whole.unlabeled_fingerprint
        found.update(here if same else _contents(view))
    return found


def _require_same(record: CorpusRecord, view: Corpus, run: RunFolder) -> None:
    if not is_of_unlabeled(record, view):
        hint = "restore it: nothing else tells which trajectories the run has seen"
        raise ConfigError(f"has changed since {run.path} was trained", record.path, hint)


def _contents(view: Corpus) -> list[bytes]:
    """A hash of the observations of each trajectory."""
    return [
        hashlib.sha256(np.ascontiguousarray(trajectory.observations.state).data).digest()
        for trajectory in view
    ]
