"""A corpus that differs from another in actions alone: what an audit trains on, too."""

from __future__ import annotations

import hashlib
from pathlib import Path

import h5py
import numpy as np
from lawm_schemas import MANIFEST, ArraySpec, Mask, Role, ShardInfo

from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.features import (
    ABOUT,
    ARRAYS,
    ENCODER,
    FEATURES,
    feature_names,
    read_feature_set,
)
from lawm_data.corpus.fingerprint import fingerprint_of
from lawm_data.corpus.layout import layout_of
from lawm_data.corpus.mask import save_mask
from lawm_data.corpus.overlay import ARRAYS as ACTIONS
from lawm_data.corpus.overlay import LABELS, OVERLAY, overlay_names, read_overlay
from lawm_data.corpus.store import SHARDS, Store, open_store
from lawm_data.system.atomic import read_file, storage_errors, write_file, write_folder

GARBAGE = (np.nan, np.inf, -np.inf, 1e30, -7.0)
"""Values that no arithmetic survives; half of the garbage looks like real actions instead."""


def write_with_other_actions(
    path: Path, mask: Mask | None, out: Path, seed: int, hidden: bool
) -> None:
    """Write a corpus whose hidden actions are garbage, or whose observed ones are others.

    With hidden actions the exogenous arrays, which no training may read either, become garbage.
    All else is the same, byte for byte, but for what is made of these actions: checksums, hashes
    and fingerprint. The true actions in their place are nowhere in it.

    Args:
        path: folder of the corpus.
        mask: what hides actions; without one only unobserved steps of a trajectory are hidden.
        out: the folder to write; the mask is written beside it.
        seed: of the other actions.
        hidden: whether hidden or observed actions are replaced.

    Raises:
        CorpusError: the corpus is damaged.
        StorageError: the file system refuses.
    """
    store = open_store(path)
    # not from what a view shows: whether that is right is the question
    readable = np.ones(len(store.table), bool)
    if mask is not None:
        readable = np.isin(store.table.id, mask.labeled)
    generator, infos, digests = np.random.default_rng(seed), [], np.array(store.digest)
    with storage_errors(out):
        (out / SHARDS).mkdir(parents=True)
    for number, info in enumerate(store.manifest.shards):
        here = np.flatnonzero(store.index.shard == number)
        file = path / SHARDS / info.file
        with storage_errors(file):
            content = bytearray(file.read_bytes())
        chosen = _chosen(store, number, here, readable, hidden)
        if chosen is not None:
            _replace(content, file, store, chosen, generator, wild=hidden)
            _renew(content, file, digests, here, store, chosen)
        if hidden:
            _replace_exogenous(content, file, store, here, generator)
        infos.append(_stored(out, content, info))
    fingerprint = fingerprint_of(store.manifest, store.table.ids, digests)
    manifest = store.manifest.model_copy(
        update={"shards": tuple(infos), "fingerprint": fingerprint}
    )
    write_file(out / MANIFEST, manifest.to_json().encode())
    _copy_beside(path, store, out, fingerprint)
    if mask is not None:
        save_mask(Corpus(open_store(out)), mask.model_copy(update={"corpus": fingerprint}))


def _copy_beside(path: Path, store: Store, out: Path, fingerprint: str) -> None:
    """What is beside a corpus and may be trained on, beside another: features, inferred actions."""
    for names, place, describe, parts, about in (
        (feature_names, FEATURES, read_feature_set, (ARRAYS, ENCODER), ABOUT),
        (overlay_names, LABELS, read_overlay, (ACTIONS,), OVERLAY),
    ):
        for name in names(path):
            folder = path / place / name
            info = describe(folder)
            if info.corpus == store.manifest.fingerprint:
                described = info.model_copy(update={"corpus": fingerprint}).to_json().encode()
                files = {part: read_file(folder / part) for part in parts}
                write_folder(out / place / name, {**files, about: described})


def _chosen(
    store: Store, number: int, here: np.ndarray, readable: np.ndarray, hidden: bool
) -> np.ndarray | None:
    """(Ra,) bool: which rows of a shard's actions are replaced; None where it has none."""
    shard = store.shards[number]
    if shard.actions is None:
        return None
    shown = np.zeros(len(shard.actions), bool)
    for i in here[readable[here] & (store.index.action_row[here] >= 0)]:
        first = int(store.index.action_row[i])
        shown[first : first + int(store.index.length[i])] = True
    if shard.action_observed is not None:
        shown &= shard.action_observed
    return ~shown if hidden else shown


def _replace(
    content: bytearray,
    file: Path,
    store: Store,
    chosen: np.ndarray,
    generator: np.random.Generator,
    wild: bool,
) -> None:
    """Other actions in the bytes of a shard."""
    action = layout_of(store.manifest).action
    stored = layout_of(store.manifest).action_dtype
    rows = np.frombuffer(content, stored, len(chosen) * action.size, _offset(file, "actions"))
    rows = rows.reshape(len(chosen), action.size)
    rows[chosen] = _garbage(action, (int(chosen.sum()), action.size), generator, wild)


def _replace_exogenous(
    content: bytearray, file: Path, store: Store, here: np.ndarray, generator: np.random.Generator
) -> None:
    """Random bytes in the exogenous arrays of a shard; hashes of trajectories stay."""
    for spec in store.manifest.observations:
        if spec.role is Role.exogenous:
            first, rows = _offset(file, f"fields/{spec.name}"), store.index.length[here] + 1
            size = int(rows.sum()) * spec.size * np.dtype(spec.dtype).itemsize
            content[first : first + size] = generator.bytes(size)


def _garbage(
    action: ArraySpec, shape: tuple[int, int], generator: np.random.Generator, wild: bool
) -> np.ndarray:
    """Actions within their bounds and, where ``wild``, impossible ones in every second row."""
    low, high = (np.ravel(bound) for bound in action.bounds() or (np.array(-1.0), np.array(1.0)))
    values = generator.uniform(low, high, shape)
    if wild and np.dtype(action.dtype).kind == "f":
        values[::2] = generator.choice(GARBAGE, values[::2].shape)
    return values.astype(action.dtype)


def _renew(
    content: bytearray,
    file: Path,
    digests: np.ndarray,
    here: np.ndarray,
    store: Store,
    chosen: np.ndarray,
) -> None:
    """Other hashes for the trajectories whose actions are others, in the shard and in ``digests``.

    They are hashes of the old ones, since those of the content would take reading all pictures; to
    a training any others will do.
    """
    table = np.frombuffer(content, np.uint8, 32 * len(here), _offset(file, "table/digest"))
    table = table.reshape(len(here), 32)
    for place, i in enumerate(here):
        first = int(store.index.action_row[i])
        if first >= 0 and chosen[first : first + int(store.index.length[i])].any():
            new = hashlib.sha256(table[place].tobytes()).digest()
            table[place] = digests[i] = np.frombuffer(new, np.uint8)


def _offset(file: Path, name: str) -> int:
    """First byte of an array in a shard."""
    with h5py.File(file, "r") as shard:
        dataset = shard[name]
        assert isinstance(dataset, h5py.Dataset)
        return int(dataset.id.get_offset())


def _stored(out: Path, content: bytearray, info: ShardInfo) -> ShardInfo:
    checksum = hashlib.sha256(content).hexdigest()
    name = f"{checksum[:32]}.h5"
    write_file(out / SHARDS / name, bytes(content))
    return info.model_copy(update={"file": name, "sha256": checksum})
