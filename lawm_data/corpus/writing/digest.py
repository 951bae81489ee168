"""Content hashes: of one trajectory, and of all trajectories of a block at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from lawm_data.corpus.layout import Layout
from lawm_data.corpus.shard import DIGEST_BYTES, Shard
from lawm_data.corpus.writing.blocks import Block, alike, read_block

HASHED = 1 << 20
"""Bytes of an array that are copied at once to be hashed: columns of a row do not lie together."""


def content_hash(steps: np.ndarray, fields: Mapping[str, np.ndarray], layout: Layout) -> Any:
    """Running sha256 over observations and rewards, each tagged with name, type and shape.

    Args:
        steps: (T+1, W).
        fields: (T+1, *shape), by name.
        layout: of these.
    """
    content = hashlib.sha256()
    for name, array in _content(steps, fields, layout):
        _feed(content, name, array)
    return content


def full_digest(
    content: Any,
    actions: np.ndarray | None,
    observed: np.ndarray,
    terminated: bool,
    truncated: bool,
) -> bytes:
    """sha256 over everything that a trajectory is, given ``content_hash`` of its first part."""
    digest = content.copy()
    digest.update(bytes([terminated, truncated]))
    if actions is not None:
        _feed(digest, "actions", actions)
        _feed(digest, "action_observed", observed)
    return digest.digest()


def digests(shard: Shard, columns: Mapping[str, np.ndarray], layout: Layout) -> np.ndarray:
    """(n, 32) uint8: ``full_digest`` of every trajectory of a shard, as its arrays are.

    Args:
        shard: the arrays.
        columns: its part of the table.
        layout: of the shard.
    """
    found = np.empty((len(columns["length"]), DIGEST_BYTES), np.uint8)
    for places in alike(shard, columns, layout):
        ends = columns["terminated"][places], columns["truncated"][places]
        found[places] = block_digests(read_block(shard, columns, places), layout, *ends)[1]
    return found


def block_digests(
    block: Block, layout: Layout, terminated: np.ndarray, truncated: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(n, 32) uint8 each: digest of ``content_hash`` and ``full_digest`` of every trajectory.

    Args:
        block: the arrays.
        layout: of these.
        terminated: (n,).
        truncated: (n,).
    """
    if len(block.steps) == 1:  # however long it is, it is not copied
        fields = {name: array[0] for name, array in block.fields.items()}
        content = content_hash(block.steps[0], fields, layout)
        actions = None if block.actions is None else block.actions[0]
        ends = bool(terminated[0]), bool(truncated[0])
        pairs = [(content.digest(), full_digest(content, actions, block.observed[0], *ends))]
    else:
        begun: list[bytes | np.ndarray] = []
        for name, array in _content(block.steps, block.fields, layout):
            begun += [_tag(name, array.dtype, array.shape[1:]), array]
        rest: list[bytes | np.ndarray] = [np.stack([terminated, truncated], 1).astype(np.uint8)]
        if block.actions is not None:
            for name, array in (("actions", block.actions), ("action_observed", block.observed)):
                rest += [_tag(name, array.dtype, array.shape[1:]), array]
        count = len(block.steps)
        rows = zip(_side_by_side(begun, count), _side_by_side(rest, count), strict=True)
        pairs = [_in_two(*row) for row in rows]
    first, second = (b"".join(some) for some in zip(*pairs, strict=True))
    shape = len(pairs), DIGEST_BYTES
    return (
        np.frombuffer(first, np.uint8).reshape(shape),
        np.frombuffer(second, np.uint8).reshape(shape),
    )


def _in_two(content: np.ndarray, rest: np.ndarray) -> tuple[bytes, bytes]:
    running = hashlib.sha256(content.data)
    begun = running.digest()
    running.update(rest.data)
    return begun, running.digest()


def _side_by_side(parts: Sequence[bytes | np.ndarray], count: int) -> np.ndarray:
    """What is hashed of each trajectory, one a row; texts are the same in every row."""
    columns = []
    for part in parts:
        if isinstance(part, bytes):
            columns.append(np.broadcast_to(np.frombuffer(part, np.uint8), (count, len(part))))
        else:
            flat = np.ascontiguousarray(part).reshape(count, part[0].size)
            columns.append(flat.view(np.uint8))
    return np.concatenate(columns, axis=1)


def _content(
    steps: np.ndarray, fields: Mapping[str, np.ndarray], layout: Layout
) -> Iterator[tuple[str, np.ndarray]]:
    """Observations and rewards by name, of one trajectory or of a block."""
    for spec, columns in layout.packed:
        yield spec.name, steps[..., columns]
    for spec in layout.apart:
        yield spec.name, fields[spec.name]
    yield "rewards", steps[..., :-1, -1]


def _tag(name: str, dtype: np.dtype, shape: tuple[int, ...]) -> bytes:
    kind = "|u1" if dtype == np.bool_ else dtype.newbyteorder("<").str
    return f"\0{name}\0{kind}\0{shape}\0".encode()


def _feed(digest: Any, name: str, array: np.ndarray) -> None:
    digest.update(_tag(name, array.dtype, array.shape))
    if not array.size:
        return
    rows = max(1, HASHED * len(array) // array.nbytes)
    for start in range(0, len(array), rows):
        digest.update(np.ascontiguousarray(array[start : start + rows]).data)
