"""Expectiles (Newey & Powell 1987): what asymmetric squares are least at, as in IQL and LEQ."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def asymmetry(error: Float[Tensor, "*b"], expectile: float) -> Float[Tensor, "*b"]:
    """2 |τ − 1(x < 0)|, the weight of the square of an error; 1 everywhere for τ = ½."""
    return 2 * (expectile - (error < 0).to(error.dtype)).abs()


def expectile_loss(error: Float[Tensor, "*b"], expectile: float) -> Float[Tensor, "*b"]:
    """2 |τ − 1(x < 0)| x² of what was found minus what was expected, least at its τ-expectile."""
    square = error.square()
    return square if expectile == 0.5 else asymmetry(error, expectile) * square
