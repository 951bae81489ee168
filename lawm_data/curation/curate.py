"""Corpora out of corpora: some of the trajectories, all but some, or those of several together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lawm_schemas import ConfigError, CorpusError

from lawm_data.corpus.corpus import Corpus
from lawm_data.curation.agreement import (
    require_same_arrays,
    require_same_environment,
    shared_arrays,
)
from lawm_data.curation.derive import Derived, derive, through
from lawm_data.curation.expression import matching


def filter_corpus(corpus: Corpus, where: str, out: str | Path, *, dry_run: bool = False) -> Derived:
    """Write the trajectories that an expression is true of.

    Args:
        corpus: the view. Through a mask the new corpus has no hidden action.
        where: see ``expression``.
        out: a folder that does not exist yet.
        dry_run: only say what would be written.

    Raises:
        ConfigError: the expression makes no sense.
        CorpusError: it is true of no trajectory.
        StorageError: something is already there, or the file system refused; nothing is left.
    """
    kept = corpus.filter(matching(corpus, where))
    settings = {"where": where, **through(corpus)}
    return derive([kept], out, "filter", settings, dry_run=dry_run)


def delete_trajectories(
    corpus: Corpus,
    out: str | Path,
    *,
    where: str | None = None,
    ids: Sequence[str] = (),
    dry_run: bool = False,
) -> Derived:
    """Write a corpus without some trajectories; the corpus itself stays as it is.

    Args:
        corpus: the view.
        out: a folder that does not exist yet.
        where: an expression that is true of those to leave out.
        ids: trajectories to leave out, too.
        dry_run: only say what would be written.

    Raises:
        ConfigError: neither an expression nor ids, or the expression makes no sense.
        CorpusError: an id is not there, nothing is to be deleted, or nothing is left.
        StorageError: something is already there, or the file system refused; nothing is left.
    """
    if where is None and not ids:
        raise ConfigError("nothing is named", "delete", "give an expression or ids")
    gone = np.zeros(len(corpus), bool)
    if where is not None:
        gone |= matching(corpus, where)
    if ids:
        gone |= np.isin(corpus.table.id, corpus.filter(np.array(ids, "U")).table.id)
    if not gone.any():
        raise CorpusError("no trajectory is meant", str(corpus.path), "check the expression")
    settings = {
        "where": where,
        "ids": list(ids),
        "deleted": int(gone.sum()),
        **through(corpus),
    }
    return derive([corpus.filter(~gone)], out, "delete", settings, dry_run=dry_run)


def merge_corpora(
    corpora: Sequence[Corpus],
    out: str | Path,
    *,
    common: bool = False,
    size: int | None = None,
    dry_run: bool = False,
) -> Derived:
    """Write the trajectories of several corpora, one after the other.

    What several of them have, with the same id and content, is taken once.

    Args:
        corpora: views of them.
        out: a folder that does not exist yet.
        common: they may hold different arrays; those that all have are kept. Corpora in which no
            action was recorded go with every action, and theirs stay missing.
        size: with ``common``, edge of the squares that all pictures are brought to.
        dry_run: only say what would be written.

    Raises:
        ConfigError: ``size`` makes no sense, or the package that resizes is missing.
        CorpusError: they hold different arrays (the first difference is named), share none, are of
            different environments, or hold no trajectory.
        StorageError: something is already there, or the file system refused; nothing is left.
    """
    settings: dict[str, Any] = {"trajectories": [len(corpus) for corpus in corpora]}
    if not common:
        if size is not None:
            raise ConfigError("goes with --common", "--size", "give both")
        require_same_arrays(corpora, "keep what they share with --common, or give others")
        return derive(corpora, out, "merge", settings, dry_run=dry_run)
    require_same_environment(corpora)
    arrays = shared_arrays(corpora, size)
    settings |= {"common": True, "left": list(arrays.left)}
    if size is not None:
        settings["size"] = size
    return derive(corpora, out, "merge", settings, arrays=arrays, dry_run=dry_run)
