from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from lawm_schemas import ConfigError

from lawm_data.exchange.formats import _settings


@pytest.mark.parametrize(
    "given",
    [{"low": 1}, {"high": 1}, {"low": 1, "high": 1}, {"low": "a", "high": 2}],
)
def test_bounds_are_two_numbers_in_order(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="give two numbers, low < high"):
        _settings.declared_bounds(given, 3)


def test_declared_bounds_come_before_those_of_the_numbers() -> None:
    recorded = [np.array([[0.5, -0.5]], np.float32)]
    shape, dtype = (2,), np.dtype("f4")
    declared = _settings.declared_action({"low": -3, "high": 3}, shape, dtype, "here", recorded)
    assert (declared.low, declared.high) == ((-3.0,) * 2, (3.0,) * 2)
    found = _settings.declared_action({}, shape, dtype, "here", recorded)
    assert (found.low, found.high) == ((-1.0,) * 2, (1.0,) * 2)
    wide = _settings.declared_action({}, shape, dtype, "here", [2 * np.ones((1, 2), np.float32)])
    assert wide.bounds() is None


def test_an_environment_is_declared_by_its_name() -> None:
    assert _settings.declared_environment({}) is None
    with pytest.raises(ConfigError, match="give env, too"):
        _settings.declared_environment({"action_repeat": 2})
    found = _settings.declared_environment({"env": "walker-walk", "action_repeat": 2})
    assert found is not None
    assert (found.task, found.action_repeat) == ("walker-walk", 2)
    found = _settings.declared_environment({"env": "gym:Pendulum-v1"})
    assert found is not None
    assert (found.suite, found.task, found.action_repeat) == ("gym", "Pendulum-v1", 1)
    with pytest.raises(ConfigError, match=r"gym:Pendulum-v2: .* nearest ids: Pendulum-v1"):
        _settings.declared_environment({"env": "gym:Pendulum-v2"})


@pytest.mark.parametrize("value", [0, 11, 1.5, True, "3"])
def test_whole_numbers_stay_in_their_range(value: Any) -> None:
    assert _settings.whole({}, "size", 1, 10, 7) == 7
    with pytest.raises(ConfigError, match="give a whole number from 1 to 10"):
        _settings.whole({"size": value}, "size", 1, 10, 7)


@pytest.mark.parametrize("value", [0, -1, 1001, float("nan"), float("inf"), True, "30"])
def test_rates_are_above_zero_and_finite(value: Any) -> None:
    assert _settings.rate({}, "fps", 15) == 15
    with pytest.raises(ConfigError, match="give a number above 0"):
        _settings.rate({"fps": value}, "fps", 15)


def test_choices_are_one_of_those_that_there_are() -> None:
    assert _settings.choice({}, "pixels", ("png", "mp4")) == "png"
    with pytest.raises(ConfigError, match="give one of png, mp4"):
        _settings.choice({"pixels": "gif"}, "pixels", ("png", "mp4"))


def test_what_says_nothing_here_is_refused() -> None:
    _settings.require_none({"size": 3}, ("fps", "pixels"), "exports")
    with pytest.raises(ConfigError, match="fps: is a setting of exports; leave it out"):
        _settings.require_none({"size": 3, "fps": 7}, ("fps", "pixels"), "exports")
