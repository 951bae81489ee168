"""Masks: which trajectories keep their recorded actions."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from lawm_schemas import ConfigError, Manifest, Mask, MaskError, load_json

from lawm_data.corpus.shard import Shard
from lawm_data.corpus.store import Store
from lawm_data.corpus.table import OBSERVED, MetadataColumn, Table
from lawm_data.system.atomic import own_folder, storage_errors, write_file

if TYPE_CHECKING:
    from lawm_data.corpus.corpus import Corpus


def ranks(names: Iterable[bytes], seed: int) -> np.ndarray:
    """(n,) uint64: keyed hashes of the names; sorting by them is a shuffle that can be repeated.

    A name that joins or leaves does not change the order of the others, so choices that take the
    first ones are nested.
    """
    key = hashlib.sha256(str(seed).encode()).digest()
    digests = (hashlib.blake2b(name, digest_size=8, key=key).digest() for name in names)
    return np.frombuffer(b"".join(digests), ">u8")


MASKS = "masks"
NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]{0,99}")
"""Names of masks and overlays; they become names of files."""
NAME_HINT = "use up to 100 letters, digits, '_', '.' and '-', a letter or digit first"
RETURN_STRATA = 10
"""Quantile bins of the return when stratifying by it."""
ASIDE = "move it away, or let lawm-data repair set it aside"
"""What to do about something that stands where a mask or a folder should be."""
FILE_LIMIT = 1 << 28
"""Bytes; a larger mask file is not read."""


def make_mask(
    corpus: Corpus,
    fraction: float,
    seed: int,
    name: str,
    by: Literal["trajectories", "steps"] = "trajectories",
    stratify: Literal["return", "source"] | None = None,
) -> Mask:
    """Choose the trajectories that keep their actions; at least one.

    Trajectories are put in one order that depends on the seed alone, and a mask is a beginning of
    it: with one seed, smaller fractions are subsets of larger ones. Within a stratum the order is
    that of a keyed hash of the ids. Strata are interleaved by (place + 1/2) / size, which is
    Webster's method of apportionment: every beginning gives each stratum its share to within
    rounding, and, unlike largest remainders, a longer beginning never takes a place away.

    Args:
        corpus: the view to choose from. Only trajectories with every action observed can be
            labeled, but the fraction counts all of them.
        fraction: share that keeps its actions, in (0, 1].
        seed: key of the order.
        name: name of the mask.
        by: what the fraction counts.
        stratify: strata of equal shares: sources, or deciles of the return; trajectories whose
            rewards were not recorded have no return, and are a stratum of their own.

    Raises:
        MaskError: fraction out of range, or more than there are actions for; or strata of the
            return where no rewards were recorded.
    """
    if not 0 < fraction <= 1:
        hint = "give a share of the trajectories, such as 0.05"
        raise MaskError(f"fraction {fraction} is not in (0, 1]", name, hint)
    if not NAME.fullmatch(name):
        raise MaskError("cannot be the name of a mask", repr(name), NAME_HINT)
    table = corpus.table
    kept = choose(table, fraction, seed, by, stratify, str(corpus.path))
    data = {
        "name": name,
        "corpus": corpus.root_fingerprint,
        "fraction": fraction,
        "seed": seed,
        "by": by,
        "stratify": stratify,
        "chosen_from": corpus.fingerprint,
        "labeled": table.id[kept].tolist(),
    }
    try:
        return Mask.parse(data, f"mask {name!r}")
    except ConfigError as error:
        raise MaskError(error.what, error.where, error.hint) from None


def choose(
    table: Table,
    fraction: float,
    seed: int,
    by: Literal["trajectories", "steps"] = "trajectories",
    stratify: Literal["return", "source"] | None = None,
    where: str = "the corpus",
) -> np.ndarray:
    """(n,) int64: rows of the trajectories that keep their actions, ascending; see ``make_mask``.

    Raises:
        MaskError: names ``where``: no trajectory has all its actions, or too few have; or no
            rewards were recorded, by which to stratify.
    """
    complete = (table.labels == OBSERVED) & (table.num_observed == table.length)
    eligible = np.flatnonzero(complete)
    weight = table.length if by == "steps" else np.ones(len(table), np.int64)
    if not len(eligible):
        raise MaskError("no trajectory has all its actions", where, "collect some")
    wanted, there = fraction * weight.sum(), weight[eligible].sum()
    if wanted >= there + 0.5 * weight[eligible].max():
        most = np.floor(1e4 * there / weight.sum()) / 1e4
        what = f"fraction {fraction} asks for more than the {len(eligible)} trajectories that have"
        hint = f"give at most {most}"
        raise MaskError(f"{what} all their actions (of {len(table)})", where, hint)
    ids = table.ids[eligible]
    strata = _strata(table, stratify, where)[eligible]
    order = _order(ids, weight[eligible], strata, seed)
    return np.sort(eligible[order[: _count(weight[eligible][order], wanted)]])


def mask_of(corpus: Corpus, chosen: np.ndarray, name: str, where: str) -> Mask:
    """The mask that lets the actions of some trajectories be read, and hides all others.

    Args:
        corpus: the view to choose from.
        chosen: (N,) bool. Of these the ones with every action observed are labeled.
        name: name of the mask.
        where: what chose them, for whoever reads the mask.

    Raises:
        MaskError: none of them has all its actions, or the name cannot be one.
    """
    if not NAME.fullmatch(name):
        raise MaskError("cannot be the name of a mask", repr(name), NAME_HINT)
    table = corpus.table
    kept = chosen & (table.labels == OBSERVED) & (table.num_observed == table.length)
    if not kept.any():
        found = int(chosen.sum())
        what = f"chooses {found} trajectories, of which none has all its actions"
        raise MaskError(what, where, "choose others")
    data = {
        "name": name,
        "corpus": corpus.root_fingerprint,
        "fraction": float(kept.sum() / len(table)),
        "seed": 0,
        "where": where,
        "chosen_from": corpus.fingerprint,
        "labeled": table.id[kept].tolist(),
    }
    return Mask.parse(data, f"mask {name!r}")


def save_mask(corpus: Corpus, mask: Mask, replace: bool = False) -> Path:
    """Write ``masks/NAME.json``; saving the same mask again changes nothing.

    Args:
        corpus: the corpus that it was made for.
        mask: what is written.
        replace: another mask of this name gives way.

    Raises:
        MaskError: another mask has that name, or the mask is for another corpus.
    """
    if mask.corpus != corpus.root_fingerprint:
        raise _foreign(mask, corpus)
    path = corpus.path / MASKS / f"{mask.name}.json"
    if path.exists() and not replace:
        there = read_mask(path)
        # an older one does not say what it was chosen from
        if there in (mask, mask.model_copy(update={"chosen_from": None})):
            return path
        hint = "choose another name, or replace it (--replace)"
        raise MaskError("another mask has this name", str(path), hint)
    own_folder(path.parent)
    write_file(path, mask.to_json().encode())
    return path


def read_mask(path: Path) -> Mask:
    """Read a mask file.

    Raises:
        MaskError: it is missing or damaged.
    """
    try:
        with storage_errors(path):
            if path.is_dir():
                raise MaskError("is a folder, not a mask", str(path), ASIDE)
            if path.is_file() and path.stat().st_size > FILE_LIMIT:
                raise MaskError(f"is larger than {FILE_LIMIT} bytes", str(path), "make it again")
            mask = Mask.parse(load_json(path), str(path))
    except ConfigError as error:
        raise MaskError(error.what, error.where, "make it again") from None
    if mask.name != path.stem:
        raise MaskError(f"is named {mask.name!r} inside", str(path), "give it its own name")
    return mask


def mask_files(corpus_path: Path) -> list[Path]:
    """The mask files beside a corpus, sorted."""
    folder = corpus_path / MASKS
    with storage_errors(folder):
        paths = sorted(folder.glob("*.json")) if folder.is_dir() else []
    return [path for path in paths if not path.name.startswith(".")]


def find_mask(corpus_path: Path, name: str) -> Mask:
    """The mask of a name beside a corpus.

    Raises:
        MaskError: there is none, or it is damaged.
    """
    path = corpus_path / MASKS / f"{name}.json"
    if name.startswith(".") or "/" in name or not path.exists():
        there = ", ".join(file.stem for file in mask_files(corpus_path)) or "there are none yet"
        raise MaskError("no such mask", f"{corpus_path}: {name}", f"masks here: {there}")
    return read_mask(path)


def mask_sha256(mask: Mask) -> str:
    """Hash of the labeled ids: what a run or an overlay remembers of a mask."""
    return hashlib.sha256("\n".join(mask.labeled).encode()).hexdigest()


def readable_under(mask: Mask, corpus: Corpus, table: Table) -> np.ndarray:
    """(N,) bool: the rows of the whole corpus's table that a mask lets be read.

    Raises:
        MaskError: the mask is for another corpus, or names trajectories that it cannot show.
    """
    if mask.corpus != corpus.root_fingerprint:
        raise _foreign(mask, corpus)
    labeled = np.array([name.encode("ascii", "replace") for name in mask.labeled], "S")
    readable = np.isin(table.ids, labeled) if len(labeled) else np.zeros(len(table), bool)
    if readable.sum() != len(labeled):
        raise MaskError("names trajectories that are not there", mask.name, "make it again")
    if (readable & ((table.labels != OBSERVED) | (table.num_observed < table.length))).any():
        raise MaskError("names trajectories without all actions", mask.name, "make it again")
    return readable


def choice_fault(mask: Mask, table: Table, manifest: Manifest) -> str:
    """What is wrong with the choice of a mask, as far as it can be made again; empty if nothing is.

    Args:
        mask: a mask of this corpus.
        table: of the whole corpus.
        manifest: of the corpus.
    """
    if mask.where is not None:
        return ""  # no seed chose it
    stated = mask.chosen_from is not None
    # An older mask may have come along from another corpus, and then shows fewer.
    if mask.chosen_from != manifest.fingerprint and (stated or manifest.lineage):
        return ""
    try:
        again = _again(mask, table)
    except MaskError as error:
        return f"cannot have been chosen so: {error.what}"
    more, less = len({*mask.labeled} - {*again}), len({*again} - {*mask.labeled})
    if not more and not less:
        return "" if mask.labeled == again else "is not in the order of the corpus"
    return f"shows {more} trajectories that its seed does not choose, and lacks {less} that it does"


def _again(mask: Mask, table: Table) -> tuple[str, ...]:
    """The ids that the draw of a mask chooses."""
    if mask.stratify == "return" and not table.rewarded.all():
        # older masks took a return of 0 where no rewards were recorded
        older = replace(table, metadata=MetadataColumn.empty(len(table)))
        rows = choose(older, mask.fraction, mask.seed, mask.by, mask.stratify)
        if mask.labeled == (names := tuple(table.id[rows].tolist())):
            return names
    rows = choose(table, mask.fraction, mask.seed, mask.by, mask.stratify)
    return tuple(table.id[rows].tolist())


def _foreign(mask: Mask, corpus: Corpus) -> MaskError:
    return MaskError(
        f"belongs to corpus {mask.corpus[:12]}, not to {corpus.root_fingerprint[:12]}",
        f"mask {mask.name}",
        "make it for this corpus as it is now (--replace)",
    )


def _strata(table: Table, stratify: str | None, where: str) -> np.ndarray:
    if stratify == "source":
        return np.unique(table.source, return_inverse=True)[1]
    if stratify == "return":
        returns = table.episode_return[table.rewarded]
        if not len(returns):
            hint = "stratify by source, or not at all"
            raise MaskError("no rewards were recorded, so there are no returns", where, hint)
        # Ties are broken by position, so that equal returns still fill bins of one size.
        place = np.argsort(np.argsort(returns, kind="stable"), kind="stable")
        strata = np.full(len(table), RETURN_STRATA)
        strata[table.rewarded] = place * min(RETURN_STRATA, len(returns)) // len(returns)
        return strata
    if stratify is not None:
        raise MaskError(f"cannot stratify by {stratify!r}", "stratify", "use return or source")
    return np.zeros(len(table), np.int64)


def _order(ids: np.ndarray, weight: np.ndarray, strata: np.ndarray, seed: int) -> np.ndarray:
    """The order of which every mask with this seed is a beginning."""
    rank = ranks(ids.tolist(), seed)
    within = np.lexsort((ids, rank, strata))
    size, place = weight[within], np.empty(len(ids))
    group = strata[within]
    for stratum in np.unique(group):
        here = group == stratum
        end = np.cumsum(size[here])
        place[here] = (end - 0.5 * size[here]) / end[-1]
    keys = np.empty(len(ids))
    keys[within] = place
    return np.lexsort((ids, rank, keys))


def _count(weight: np.ndarray, wanted: float) -> int:
    """How long a beginning comes closest to the weight that is wanted; it grows with it."""
    total = np.cumsum(weight)
    below = int(np.searchsorted(total, wanted, side="right"))
    before = total[below - 1] if below else 0
    closer = below < len(total) and total[below] - wanted <= wanted - before
    return max(1, below + int(closer))


IN_MEMORY = 512 << 20
"""Bytes of readable actions of one shard above which the copy is mapped from a nameless file."""


class Masked:
    """A mask over a store.

    Args:
        store: the corpus.
        mask: the mask.
        readable: (N,) bool: the trajectories of the whole corpus whose actions it shows.
    """

    def __init__(self, store: Store, mask: Mask, readable: np.ndarray) -> None:
        self._store = store
        self.mask = mask
        self.readable = readable

    @property
    def shards(self) -> tuple[Shard, ...]:
        """Shards that hold no hidden action."""
        return self._content[0]

    @property
    def action_row(self) -> np.ndarray:
        """(N,) int64: row of each trajectory's actions in them, -1 where there are none."""
        return self._content[1]

    @cached_property
    def _content(self) -> tuple[tuple[Shard, ...], np.ndarray]:
        """The readable actions are copied when they are first needed."""
        return masked_shards(self._store, self.readable)


def masked_shards(store: Store, readable: np.ndarray) -> tuple[tuple[Shard, ...], np.ndarray]:
    """Shards that hold the actions of readable trajectories and no others.

    A mask over the index alone would leave the hidden actions one slice away, in
    ``Shard.actions``. So the readable ones are copied: they are the few percent that are labeled,
    and reading them touches no page of the others.

    Args:
        store: the corpus.
        readable: (N,) bool, over the whole corpus.

    Returns:
        The shards, and the row of each trajectory's actions in them, -1 where there are none.
    """
    shown = readable & (store.index.action_row >= 0)
    rows = np.full(len(shown), -1, np.int64)
    shards = []
    for number, shard in enumerate(store.shards):
        here = np.flatnonzero(shown & (store.index.shard == number))
        length, first = store.index.length[here], store.index.action_row[here]
        if shard.actions is not None and length.sum() == len(shard.actions):
            rows[here] = first
            shards.append(shard)
            continue
        begin = np.cumsum(length) - length
        rows[here] = begin
        if not len(here) or shard.actions is None:
            shards.append(replace(shard, actions=None, action_observed=None))
            continue
        taken = np.repeat(first - begin, length) + np.arange(length.sum())
        observed = shard.action_observed
        shards.append(
            replace(
                shard,
                actions=_copy(shard.actions, taken),
                action_observed=None if observed is None else observed[taken],
            )
        )
    return tuple(shards), rows


def _copy(actions: np.ndarray, rows: np.ndarray) -> np.ndarray:
    shape = (len(rows), actions.shape[1])
    if len(rows) * actions.strides[0] <= IN_MEMORY:
        kept = actions[rows]
    else:
        with tempfile.TemporaryFile() as file:
            kept = np.memmap(file, actions.dtype, "w+", shape=shape)
        for start in range(0, len(rows), 1 << 20):
            kept[start : start + (1 << 20)] = actions[rows[start : start + (1 << 20)]]
    kept.flags.writeable = False
    return kept
