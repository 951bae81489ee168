"""What one array of a step holds: its name, shape, type, bounds and role."""

from __future__ import annotations

from enum import StrEnum
from math import prod
from typing import Any, Literal

import numpy as np
from pydantic import (
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

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
    exogenous = "exogenous"
    """What distractors in the pictures did: for probes, never an input to a model."""


class Drawing(Schema):
    """How a simulator drew camera images: enough to draw more of the same."""

    by: Literal["fast", "shadows", "suite"] = "fast"
    """``fast``: without shadows, mirrors and multisampling, from coarse meshes. ``shadows``: the
    suite's picture but for a smaller shadow map. ``suite``: as the suite itself draws."""
    camera: int | str | None = None
    """Number or name in the simulator's model; none is the usual one."""
    distractors: tuple[str, ...] = ()
    """What else moves in them: ``video:FILE``, ``agents``, ``noise``."""
    seed: int = 0
    """Of the distractors."""
    film: str | None = None
    """SHA-256 of the film."""

    def __str__(self) -> str:
        camera = "" if self.camera is None else f", camera {self.camera}"
        return self.by + camera + "".join(f", {text}" for text in self.distractors)


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
    drawing: Drawing | None = None
    """Of pixels: how they were drawn. None where no simulator drew them, and of corpora that are
    older than this entry, which the suite drew."""

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
        if len(self.shape) > 31:  # HDF5 has 32, and the first is time
            raise ValueError(f"{len(self.shape)} axes are more than 31")
        if self.size >= 1 << 31:
            raise ValueError(f"{self.size} elements are more than fit in a step")
        for bound in (self.low, self.high):
            if bound is not None and len(bound) != self.size:
                raise ValueError(f"{len(bound)} bounds for {self.size} elements")
        if self.role is Role.pixels and (self.dtype not in PICTURES or len(self.shape) != 3):
            raise ValueError("pixels are uint8 or uint16 of shape (height, width, channels)")
        if self.drawing is not None and self.role is not Role.pixels:
            raise ValueError("only pixels are drawn")
        return self

    @model_serializer(mode="wrap")
    def _without_nothing(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # earlier versions know no drawing, and read what has none
        data = handler(self)
        if data.get("drawing", ...) is None:
            del data["drawing"]
        return data

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
