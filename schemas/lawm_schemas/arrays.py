"""What one array of a step holds: its name, shape, type, bounds and role."""

from __future__ import annotations

from enum import StrEnum
from math import prod

import numpy as np
from pydantic import field_validator, model_validator

from lawm_schemas.base import Schema

DTYPES = ("float32", "float64", "uint8", "uint16", "int8", "int16", "int32", "int64", "bool")
PICTURES = ("uint8", "uint16")
"""Types of pictures; 16 bits are what depth cameras give, in millimetres mostly."""


class Role(StrEnum):
    """What an array is for."""

    state = "state"
    """A vector observed by the agent; all state fields together make ``batch.observation``."""
    pixels = "pixels"
    """A camera image, (height, width, channels), uint8, or uint16 as of depth cameras."""
    action = "action"
    physics = "physics"
    """The simulator's full state: for rendering and replay, never an input to a model."""


class ArraySpec(Schema):
    """One array of a step."""

    name: str
    """Field name as the environment calls it, e.g. ``orientations``."""
    shape: tuple[int, ...]
    """Shape of one step, without time."""
    dtype: str = "float32"
    """NumPy name of the stored type."""
    role: Role = Role.state
    """What the array is for."""
    low: tuple[float, ...] | None = None
    """Lower bounds, one per element, or none."""
    high: tuple[float, ...] | None = None
    """Upper bounds, one per element, or none."""

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not name or len(name) > 100 or not all(c.isalnum() or c in "_-." for c in name):
            raise ValueError(f"{name!r} is not a plain name (letters, digits, _ - .)")
        if name.startswith("."):
            raise ValueError(f"{name!r} starts with a dot")
        return name

    @field_validator("dtype")
    @classmethod
    def _known_dtype(cls, dtype: str) -> str:
        if dtype not in DTYPES:
            raise ValueError(f"{dtype!r} is not one of {', '.join(DTYPES)}")
        return dtype

    @model_validator(mode="after")
    def _consistent(self) -> ArraySpec:
        if any(n < 1 for n in self.shape):
            raise ValueError(f"shape {self.shape} has an empty axis")
        for bound in (self.low, self.high):
            if bound is not None and len(bound) != self.size:
                raise ValueError(f"{len(bound)} bounds for {self.size} elements")
        if self.role is Role.pixels and (self.dtype not in PICTURES or len(self.shape) != 3):
            raise ValueError("pixels are uint8 or uint16 of shape (height, width, channels)")
        return self

    @property
    def size(self) -> int:
        """Elements per step."""
        return prod(self.shape)

    def bounds(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Bounds as float64 arrays of the step's shape, or none when unbounded."""
        if self.low is None or self.high is None:
            return None
        low = np.asarray(self.low).reshape(self.shape)
        return low, np.asarray(self.high).reshape(self.shape)
