"""Dividing a corpus into named parts, so that nothing of one can be found in another."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from lawm_schemas import ConfigError, CorpusError, LawmError, LineageStep

from lawm_data.corpus.corpus import Corpus, open_corpus
from lawm_data.corpus.mask import NAME, NAME_HINT, ranks
from lawm_data.corpus.shard import DIGEST_BYTES
from lawm_data.corpus.store import open_store, read_manifest
from lawm_data.corpus.table import MISSING
from lawm_data.corpus.writing.blocks import alike, read_block
from lawm_data.corpus.writing.digest import block_digests
from lawm_data.curation.derive import Derived, derive, through
from lawm_data.system.atomic import temporary_name
from lawm_data.system.output import new_output, remove_beside, require_free

By = Literal["trajectory", "source", "agent", "seed"]
"""What stays together: ``source`` and ``agent`` as in the provenance, ``seed`` of the run."""
UNITS: tuple[By, ...] = get_args(By)
SLACK = 1e-9
"""By how much rounding may push the sum of the shares above 1."""


def divide(corpus: Corpus, shares: Mapping[str, float], seed: int, by: By) -> dict[str, np.ndarray]:
    """Which trajectories of a view each part gets, (N,) bool by name.

    Groups that must stay together (see ``groups``) are put in an order that depends on the seed
    alone, and the parts are cut from it one after the other, each group going where its middle
    falls. So the first part with a smaller share is a subset of the first with a larger one.

    Args:
        corpus: the view to divide.
        shares: share of the trajectories by name of the part; together 1 at most, and what they
            leave is in no part.
        seed: key of the order.
        by: what is never divided. Equal observations and rewards are never divided either.

    Raises:
        ConfigError: names or shares that make no sense.
        CorpusError: a part would be empty.
    """
    for name, share in shares.items():
        if not NAME.fullmatch(name):
            raise ConfigError("cannot be the name of a part", repr(name), NAME_HINT)
        if not 0 < share <= 1:
            what = f"share {share} is not in (0, 1]"
            raise ConfigError(what, f"part {name!r}", "give a share such as 0.9")
    total = sum(shares.values())
    if not shares or total > 1 + SLACK:
        what = f"the shares add up to {total:g}" if shares else "no part is named"
        raise ConfigError(what, "split", "name parts whose shares add up to 1 at most")
    group = groups(corpus, by)
    names, member = np.unique(group, return_inverse=True)
    size = np.bincount(member, minlength=len(names))
    order = np.lexsort((names, ranks((name.encode() for name in names.tolist()), seed)))
    middle = np.empty(len(names))
    middle[order] = (np.cumsum(size[order]) - 0.5 * size[order]) / max(1, len(corpus))
    parts, start = {}, 0.0
    for name, share in shares.items():
        end = start + share
        inside = (middle >= start) & (middle < (end if end < 1 - SLACK else np.inf))
        parts[name], start = inside[member], end
        if not parts[name].any():
            raise _nothing_left(corpus, name, len(names), len(shares), by)
    return parts


def groups(corpus: Corpus, by: By) -> np.ndarray:
    """(N,) text: names of the groups of trajectories that must stay together.

    Trajectories of one source (agent, run's seed) form a group, and so do trajectories of equal
    observations and rewards; groups that share a trajectory are one.
    """
    if by not in UNITS:
        raise ConfigError(f"cannot split by {by!r}", "by", f"use one of {', '.join(UNITS)}")
    content = _contents(corpus)
    if by == "trajectory":
        return content
    values = [str(getattr(entry, by)) for entry in corpus.manifest.provenance]
    group = np.array(values or [""])[corpus.table.provenance]
    joined = dict(zip(group.tolist(), group.tolist(), strict=True))

    def root(name: str) -> str:
        while joined[name] != name:
            name = joined[name]
        return name

    first: dict[str, str] = {}
    for name, same in zip(group.tolist(), content.tolist(), strict=True):
        one, other = sorted((root(first.setdefault(same, name)), root(name)))
        joined[other] = one
    roots = {name: root(name) for name in joined}
    return np.array([roots[name] for name in group.tolist()])


def split_corpus(
    corpus: Corpus,
    shares: Mapping[str, float],
    out: str | Path,
    *,
    seed: int = 0,
    by: By = "trajectory",
    dry_run: bool = False,
) -> dict[str, Derived]:
    """Write each part into ``OUT/NAME``: all of them, or none.

    Where ``OUT`` is there already, the parts get their names one after the other. After a kill in
    between, the same split again finds those that it has made and makes the others.

    Args:
        corpus: the view to divide.
        shares: see ``divide``.
        out: a folder; what the parts are called is not in it yet.
        seed: see ``divide``.
        by: see ``divide``.
        dry_run: only report what would be written.

    Raises:
        ConfigError: names or shares that make no sense.
        CorpusError: a part would be empty, or the source was altered.
        StorageError: something is already there, or the file system refused; nothing is left.
    """
    out = Path(out)
    views = {
        name: corpus.filter(inside) for name, inside in divide(corpus, shares, seed, by).items()
    }
    settings = {
        name: {"part": name, "parts": dict(shares), "seed": seed, "by": by, **through(corpus)}
        for name in views
    }
    made = {name for name in views if _is_made(out / name, views[name], settings[name])}
    if len(made) == len(views):
        made = set()  # it is done, and not to be done again
    remove_beside(out)
    for name in views:
        if name in made:
            remove_beside(out / name)
        else:
            require_free(out / name)
    written = {}
    with ExitStack() as places:  # the parts get their names together, when all are written
        whole = out if dry_run or out.exists() else places.enter_context(new_output(out))
        for name, view in views.items():
            place = whole / name
            if name in made:
                place = temporary_name(place)  # nothing is written there
            elif whole == out and not dry_run:
                place = places.enter_context(new_output(place))
            known = dry_run or name in made
            part = derive([view], place, "split", settings[name], dry_run=known)
            if name in made:
                part = part._replace(fingerprint=read_manifest(out / name).fingerprint)
            written[name] = part._replace(path=out / name)
    return written


def _is_made(part: Path, view: Corpus, settings: Mapping[str, object]) -> bool:
    """Whether a part of this very split is there already."""
    try:
        there = open_corpus(part)
    except LawmError:
        return False
    parents = (view.manifest.fingerprint,)
    step = LineageStep(operation="split", parents=parents, settings=dict(settings))
    same = [made.to_json() for made in there.manifest.lineage[-1:]] == [step.to_json()]
    return same and there.table.id.tolist() == view.table.id.tolist()


def parse_shares(texts: list[str]) -> dict[str, float]:
    """``["train=0.9", "validation=0.1"]`` as shares by name.

    Raises:
        ConfigError: one that is not ``NAME=SHARE``, or a name twice.
    """
    shares: dict[str, float] = {}
    for text in texts:
        name, equals, number = text.partition("=")
        try:
            share = float(number)
        except ValueError:
            equals, share = "", 0.0
        if not equals or name in shares:
            what = "is there twice" if name in shares else "is not NAME=SHARE"
            raise ConfigError(what, f"part {text!r}", "write train=0.9 validation=0.1")
        shares[name] = share
    return shares


def _nothing_left(corpus: Corpus, part: str, there: int, parts: int, by: str) -> CorpusError:
    """Why a part would be empty: too small a share, or too little that may be divided."""
    what, hint = f"nothing is left for part {part!r} ({there} groups by {by})", "name fewer parts"
    if there >= parts:
        hint = "give it a larger share"
    elif by != "trajectory":
        hint += ", or divide it by trajectory"
        if there == 1:
            what = f"cannot be divided by {by}: all is of one, or shares trajectories with it"
    elif there == 1:
        what = "cannot be divided: all its trajectories are equal"
    return CorpusError(what, str(corpus.path), hint)


def _contents(corpus: Corpus) -> np.ndarray:
    """(N,) text: hash of each trajectory's observations and rewards; reads all of them."""
    layout, index = open_store(corpus.path).layout, corpus.index
    found = np.empty((len(corpus), DIGEST_BYTES), np.uint8)
    for number in np.unique(index.shard).tolist():
        here, shard = np.flatnonzero(index.shard == number), corpus.shards[number]
        columns = {name: column[here] for name, column in index._asdict().items()}
        columns["labels"] = np.full(len(here), MISSING)  # actions are not looked at
        for places in alike(shard, columns, layout):
            ends = np.zeros((2, len(places)), bool)  # nor is how it ended
            block = read_block(shard, columns, places)
            found[here[places]], _ = block_digests(block, layout, *ends)
    hexadecimal = found.tobytes().hex().encode()
    return np.frombuffer(hexadecimal, f"S{2 * DIGEST_BYTES}").astype("U")
