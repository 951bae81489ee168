"""``rerender`` draws, in a process that can: the laws are in ``rerendering.py``."""

from collections.abc import Callable
from pathlib import Path

import pytest

LAWS = Path(__file__).with_name("rerendering.py")


def test_rerender_draws(run_where_it_draws: Callable[..., None]) -> None:
    run_where_it_draws(LAWS)


@pytest.mark.slow
def test_rerender_draws_with_workers_and_after_kills(
    run_where_it_draws: Callable[..., None],
) -> None:
    run_where_it_draws(LAWS, "-m", "slow")
