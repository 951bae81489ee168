"""How much of the variance of actions inferred ones leave unexplained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

ROUNDING = float(np.finfo(np.float32).eps)
"""A standard deviation of this share of the largest value is none: the numbers are rounded."""


def unexplained(
    truth: Float[np.ndarray, "M A"], inferred: Float[np.ndarray, "M A"]
) -> tuple[float | None, ...]:
    """Mean squared error over the variance of the truth, per dimension; 1 minus that is R².

    None for a dimension that does not vary, which has no R². The unit does not matter.
    """
    truth, inferred = truth.astype(np.float64), inferred.astype(np.float64)
    varies = truth.std(0) > ROUNDING * np.abs(truth).max(0)
    error = np.square(inferred - truth).mean(0) / np.where(varies, truth.var(0), 1.0)
    return tuple(e if v else None for e, v in zip(error.tolist(), varies.tolist(), strict=True))


def r_squared(errors: Sequence[float | None]) -> float | None:
    """1 minus the mean over the dimensions that vary; None where none does."""
    known = [error for error in errors if error is not None]
    return 1 - float(np.mean(known)) if known else None
