"""``rerender`` draws, in a process that can: the laws are in ``rerendering.py``."""

from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def test_rerender_draws(run_where_it_draws: Callable[[Path], None]) -> None:
    run_where_it_draws(Path(__file__).with_name("rerendering.py"))
