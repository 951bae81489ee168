"""Corpora to publish: hidden actions are not hidden there, they do not exist."""

from __future__ import annotations

from pathlib import Path

from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.table import OBSERVED
from lawm_data.curation.derive import derive, through


def withhold(corpus: Corpus, out: str | Path) -> Path:
    """Write what a view shows into a corpus of its own; ids are kept.

    Inferred actions are not recorded ones and stay behind, and so do masks.

    Args:
        corpus: the view, usually ``with_mask(...)``.
        out: a folder that does not exist yet.

    Raises:
        CorpusError: the source was altered, or the view is empty.
        StorageError: something is already there, or the file system refused; nothing is left.
    """
    settings: dict[str, object] = {"trajectories": len(corpus), **through(corpus)}
    settings["labeled"] = int((corpus.table.labels == OBSERVED).sum())
    return derive([corpus], out, "withhold", settings, beside=False).path
