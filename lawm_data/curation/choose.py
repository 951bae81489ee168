"""Masks of trajectories that are chosen by what they are, and not drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from lawm_schemas import ConfigError, Mask, MaskError

from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.mask import FILE_LIMIT, mask_of
from lawm_data.curation.expression import matching
from lawm_data.system.atomic import storage_errors

HINT = "give a text file, one id a line"


def mask_where(corpus: Corpus, where: str, name: str) -> Mask:
    """The mask that shows the actions of the trajectories that an expression is true of.

    Those without all their actions are not labeled.

    Raises:
        ConfigError: the expression makes no sense.
        MaskError: it is true of no trajectory with all its actions, or the name cannot be one.
    """
    return mask_of(corpus, matching(corpus, where), name, where)


def mask_by_ids(corpus: Corpus, path: str | Path, name: str) -> Mask:
    """The mask that shows the actions of the trajectories whose ids stand in a file.

    Raises:
        ConfigError: the file cannot be read, is no text, or names none.
        CorpusError: an id is not in the corpus.
        MaskError: one of them lacks actions, or the name cannot be one.
    """
    ids = read_ids(Path(path))
    chosen = np.isin(corpus.table.id, corpus.filter(np.array(ids, "U")).table.id)
    lacking = chosen & (corpus.table.num_observed < corpus.table.length)
    if lacking.any():
        where = f"{path}: {corpus.table.id[lacking][0]}"
        raise MaskError("does not have all its actions", where, "leave it out")
    return mask_of(corpus, chosen, name, "ids")


def read_ids(path: Path) -> list[str]:
    """The ids in a text file, one a line; empty lines and what follows ``#`` say nothing.

    Raises:
        ConfigError: it cannot be read, is no text, or names none.
    """
    try:
        with storage_errors(path):
            if not path.is_file():
                raise ConfigError("is not a file", str(path), HINT)
            if path.stat().st_size > FILE_LIMIT:
                what = f"is larger than {FILE_LIMIT} bytes"
                raise ConfigError(what, str(path), HINT)
            text = path.read_text("utf-8")
    except UnicodeDecodeError:
        raise ConfigError("is no text", str(path), HINT) from None
    ids = [line.partition("#")[0].strip() for line in text.splitlines()]
    if not any(ids):
        raise ConfigError("names no trajectory", str(path), "give one id a line")
    return list(dict.fromkeys(name for name in ids if name))
