"""One gradient step made by several processes, each with its share of the windows of one batch.

Process r of N holds windows r::N. Inside ``share`` the functions below speak of the whole batch, so
that every process computes its loss, not one of its own windows: a mean divides by the count of all
labels, a variance is that of all rows, noise is drawn for all and each takes its part. Outside of
it, and with one process, they change nothing.

A sum over all processes passes gradients on as they are: all hold the same loss L = f(Σ_r s_r), so
that f'(Σ s_r) · ds_r/dw is the part of process r in the gradient of L, and the sum of all parts
(``sum_gradients``) is the whole. What a sum enters must therefore be the same on all processes: of
what each does with it to its own rows the others hear nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from jaxtyping import Shaped
from lawm_schemas import LawmError
from lawm_schemas.errors import reason_of
from torch import Tensor, nn

REFUSED = 2
"""Exit code of processes after the first when the first one says why all of them end."""


class Share(NamedTuple):
    """What of a batch is here."""

    rank: int
    """r, number of this process."""
    size: int
    """N, processes."""
    windows: int
    """Windows that each of them has."""


_share: Share | None = None


@contextmanager
def share(own: Share) -> Iterator[None]:
    """Inside, a gradient step is made on a share of a batch; all processes make the same calls."""
    global _share
    _share = own if own.size > 1 else None
    try:
        yield
    finally:
        _share = None


def total(*parts: Tensor) -> tuple[Tensor, ...]:
    """Sums over all processes, in one exchange; gradients reach this one's parts."""
    if _share is None:
        return parts
    flat = _Sum.apply(torch.cat([part.flatten() for part in parts]))
    pieces = flat.split([part.numel() for part in parts])
    return tuple(piece.view_as(part) for piece, part in zip(pieces, parts, strict=True))


def average(*parts: Tensor) -> tuple[Tensor, ...]:
    """Means over all processes of means of as many entries each."""
    return parts if _share is None else tuple(x / _share.size for x in total(*parts))


def whole(x: Shaped[Tensor, "n ..."]) -> Shaped[Tensor, "Nn ..."]:
    """The rows of all processes in the order of the batch, without gradients.

    Args:
        x: one row of each window, or several side by side.
    """
    if _share is None:
        return x
    own = x.detach().contiguous()
    rows = [torch.empty_like(own) for _ in range(_share.size)]
    with reaching():
        dist.all_gather(rows, own)
    return torch.stack([row.unflatten(0, _blocks(len(own))) for row in rows], 1).flatten(0, 2)


def part(x: Tensor, axis: int = 0) -> Tensor:
    """The rows of this process, of those of all.

    Args:
        x: the same on all processes.
        axis: of the rows.
    """
    if _share is None:
        return x
    shape = _blocks(x.shape[axis] // _share.size)
    blocks = x.unflatten(axis, (shape[0], _share.size, shape[1]))
    return blocks.select(axis + 1, _share.rank).flatten(axis, axis + 1)


def number(rows: int) -> int:
    """Rows of all processes, where each has so many."""
    return rows if _share is None else rows * _share.size


def sum_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Give every process the gradient of the whole batch.

    A parameter that had no part in the loss on any process keeps no gradient; where it had on some,
    the others count as zeros.
    """
    if _share is None:
        return
    known = torch.tensor([float(p.grad is not None) for p in parameters])
    found = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    flat = torch.cat([known.to(found[0]), *(grad.flatten() for grad in found)])
    with reaching():
        dist.all_reduce(flat)
    somewhere, *sums = flat.split([len(known), *(p.numel() for p in parameters)])
    for place, (parameter, summed) in enumerate(zip(parameters, sums, strict=True)):
        if parameter.grad is not None or somewhere[place] > 0:
            parameter.grad = summed.view_as(parameter)


def _blocks(rows: int) -> tuple[int, int]:
    """How rows are dealt: so many times so many side by side, all of a window or else one."""
    assert _share is not None
    windows = _share.windows
    return (windows, rows // windows) if rows % windows == 0 else (rows, 1)


class _Sum(torch.autograd.Function):
    """Σ over processes; see the module for why the gradient passes through."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        found = x.clone()
        with reaching():
            dist.all_reduce(found)
        return found

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return grads[0]


@contextmanager
def reaching() -> Iterator[None]:
    """What processes say to each other stands inside; the first one says so if another is gone.

    Raises:
        LawmError: in the first process, another one has ended.
        SystemExit: in the others.
    """
    try:
        yield
    except RuntimeError as error:
        if dist.get_rank():
            raise SystemExit(REFUSED) from None
        what = f"another process of this training cannot be reached: {reason_of(error)}"
        hint = "see what has ended it; the same command goes on from the newest checkpoint"
        raise LawmError(what, "torchrun", hint) from None
