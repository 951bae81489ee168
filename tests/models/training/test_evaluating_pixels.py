"""``evaluating_pixels.py`` in a process that draws."""

from collections.abc import Callable
from pathlib import Path


def test_evaluations_draw(run_where_it_draws: Callable[[Path], None]) -> None:
    run_where_it_draws(Path(__file__).with_name("evaluating_pixels.py"))
