"""Whatever shows progress is asked in the same way."""

import inspect

import pytest

from lawm_data.system.progress import NoBar, ProgressBar
from lawm_data.system.terminal import Bars


@pytest.mark.parametrize("kind", [NoBar, Bars])
def test_bars_take_what_is_asked_of_a_bar(kind: type) -> None:
    for name in ("start", "reach", "stop"):
        asked = inspect.signature(getattr(ProgressBar, name))
        assert inspect.signature(getattr(kind, name)).parameters == asked.parameters
