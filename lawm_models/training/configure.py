"""From words to an experiment's configuration: corpora, a preset, and what is changed in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lawm_schemas import ConfigError, CorpusSource, ExperimentConfig

from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.mask import find_mask, mask_files
from lawm_data.corpus.observed import EVERYTHING
from lawm_data.exchange.hub.cache import is_hub_address
from lawm_models.training import presets

LABELS = re.compile(r"\+([0-9A-Za-z][0-9A-Za-z_.-]*)$")
"""The name of inferred actions at the end of a word."""
Source = str | Path | CorpusSource | Corpus
"""A corpus of a training: ``PATH``, and behind it ``@MASK``, ``+LABELS`` and ``*WEIGHT`` if any; or
an opened one, of which that says the same."""


def configure(
    corpora: Source | Sequence[Source],
    *,
    algorithm: str = "lawm",
    preset: str = "small",
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
) -> ExperimentConfig:
    """The configuration of a training: a preset, the data, and what differs from the preset.

    Args:
        corpora: one corpus or several; ``"corpora/cs@5pct"`` is seen through the mask ``5pct``,
            ``"corpora/cs@5pct+lawm"`` with the inferred actions ``lawm`` in the place of hidden
            ones, and ``"corpora/cs@5pct*2"`` drawn from twice as often. The path may be an address
            on the Hub, ``hf://user/name``. An opened corpus is taken with its mask and its inferred
            actions; it must be whole.
        algorithm: name of the algorithm, such as ``lawm``, ``lawm_plus`` or ``bc``.
        preset: name of the preset; ``presets.names()`` lists them.
        seed: of all randomness.
        settings: values by dotted key, such as ``{"steps.agent": 3000}``; ``lawm settings`` lists
            the keys.

    Raises:
        ConfigError: something is unknown, or a value is not allowed.
    """
    one = isinstance(corpora, str | Path | CorpusSource | Corpus)
    sources = [corpora] if one or not isinstance(corpora, Iterable) else corpora
    data = presets.load(preset, algorithm)
    data["corpora"] = [corpus_source(source).model_dump() for source in sources]
    data["seed"] = seed
    return ExperimentConfig.parse(presets.replace(data, settings or {}), "configuration")


def corpus_source(source: Source) -> CorpusSource:
    """``PATH``, and behind it ``@MASK``, ``+LABELS`` and ``*WEIGHT``, each if it is wanted.

    A folder whose name has such a character in it is taken as it is. A path may be an address,
    ``hf://user/name`` or ``hf://user/name@REVISION``; a mask goes behind the revision.

    Raises:
        ConfigError: the mask, the labels or the weight is none, or an opened corpus is no whole one
            or seen through a mask that was not saved.
    """
    if isinstance(source, CorpusSource):
        return source
    if isinstance(source, Corpus):
        return _address(source)
    if not isinstance(source, str | Path):
        what = f"is a {type(source).__name__}, not a corpus"
        raise ConfigError(what, "corpora", "give its address, 'PATH@MASK', or an opened corpus")
    word = str(source)
    if isinstance(source, Path) or Path(word).exists():
        return CorpusSource(path=word)
    rest, star, weight = word.rpartition("*")
    rest = rest if star else weight
    labels = LABELS.search(rest)
    rest = rest if labels is None else rest[: labels.start()]
    path, at, mask = rest.rpartition("@")
    if is_hub_address(rest) and "@" not in path:
        path, at, mask = "", "", rest
    data: dict[str, Any] = {"path": path, "mask": mask} if at else {"path": mask}
    data |= {"labels": labels[1]} if labels else {}
    return CorpusSource.parse(data | ({"weight": weight} if star else {}), f"corpus {word}")


def _address(view: Corpus) -> CorpusSource:
    """What leads to an opened corpus; a run reads it again."""
    where, mask, overlay = str(view.path), view.mask, view.overlay
    if view.fingerprint != view.root_fingerprint:
        hint = "write it first: lawm-data filter, filter_corpus"
        raise ConfigError("is a part of a corpus", where, hint)
    if view.observed != EVERYTHING:
        hint = f"give all of it, and settings={{'observe': {view.observed!r}}}"
        raise ConfigError("shows a part of the observations", where, hint)
    if mask is not None:
        names = {path.stem for path in mask_files(view.path)}
        if mask.name not in names or find_mask(view.path, mask.name) != mask:
            hint = "save it first: save_mask(corpus, mask)"
            raise ConfigError(f"is seen through a mask {mask.name} that is not there", where, hint)
    labels = None if overlay is None else overlay.name
    return CorpusSource(path=where, mask=mask and mask.name, labels=labels)
