"""Which array of a trajectory lies where in a shard."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from lawm_schemas import ArraySpec, Manifest, Role


class Layout(NamedTuple):
    """The division of a step's arrays between the packed rows and datasets of their own."""

    packed: tuple[tuple[ArraySpec, slice], ...]
    """float32 state fields and their columns in ``steps``; the reward is in the last column."""
    apart: tuple[ArraySpec, ...]
    """Arrays with a dataset of their own under ``fields/``."""
    width: int
    """Columns of ``steps``."""
    action: ArraySpec

    state: tuple[ArraySpec, ...] = ()
    """State fields, in their order."""

    @property
    def action_dtype(self) -> np.dtype:
        """Type of ``actions`` on disk; its rows are flattened to (A,)."""
        return stored_dtype(self.action)


def layout_of(manifest: Manifest) -> Layout:
    """Divide the arrays of a manifest."""
    packed, apart, column = [], [], 0
    for spec in manifest.observations:
        if spec.role is Role.state and spec.dtype == "float32":
            packed.append((spec, slice(column, column + spec.size)))
            column += spec.size
        else:
            apart.append(spec)
    return Layout(tuple(packed), tuple(apart), column + 1, manifest.action, manifest.state)


def stored_dtype(spec: ArraySpec) -> np.dtype:
    """Little-endian type on disk; a bool is one byte."""
    return np.dtype("u1") if spec.dtype == "bool" else np.dtype(spec.dtype).newbyteorder("<")


def is_chunked(spec: ArraySpec) -> bool:
    """Whether the array is compressed: pixels are, nothing else is."""
    return spec.role is Role.pixels


def element_names(spec: ArraySpec) -> list[str]:
    """A name for each element of an array, e.g. ``position[2]``; of pixels, for each channel."""
    if spec.size == 1:
        return [spec.name]
    shape = spec.shape[-1:] if spec.role is Role.pixels else spec.shape
    return [f"{spec.name}[{','.join(map(str, place))}]" for place in np.ndindex(*shape)]
