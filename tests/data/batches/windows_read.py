"""Batches, compared with the trajectories that they come from."""

from __future__ import annotations

from dataclasses import fields

import torch

from lawm_data import Batch


def identical(one: Batch, other: Batch) -> bool:
    """Bit for bit."""
    pairs = [(getattr(one, f.name), getattr(other, f.name)) for f in fields(Batch)]
    pairs = pairs[:-1] + [(one.pixels[name], other.pixels[name]) for name in one.pixels]
    return one.pixels.keys() == other.pixels.keys() and all(
        a.dtype == b.dtype and torch.equal(a, b) for a, b in pairs
    )
