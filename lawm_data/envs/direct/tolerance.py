"""The suite's reward shapes for one number, in plain Python.

Each is 1 within its bounds and falls with the distance from them; ``dm_control.utils.rewards`` has
the general form. On single numbers ``math`` is many times faster than NumPy, and a conditional
faster than ``max``.
"""

from __future__ import annotations

from math import log


def gaussian_exponent(margin: float) -> float:
    """The k with which ``exp(k * x * x)`` is 1 at zero and 0.1 at ``±margin``."""
    return log(0.1) / margin**2


def linear(x: float, low: float, margin: float, value_at_margin: float) -> float:
    """1 from ``low`` on, below it a line to ``value_at_margin`` at ``low - margin``, then 0."""
    if x >= low:
        return 1.0
    value = 1.0 - (1.0 - value_at_margin) * (low - x) / margin
    return value if value > 0.0 else 0.0


def quadratic(x: float) -> float:
    """1 at zero, falling as a parabola to 0 at ±1."""
    return 1.0 - x * x if -1.0 < x < 1.0 else 0.0
