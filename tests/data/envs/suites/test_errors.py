"""Errors of dm_control become a line with a remedy; others stay what they are."""

import pytest
from lawm_schemas import ConfigError

from lawm_data.envs.suites import _errors


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (AttributeError("'MjModel' object has no attribute 'flex_vertedge'"), "mujoco>=3.17,<4"),
        (AttributeError("'NoneType' object has no attribute 'glGetError'"), "MUJOCO_GL=disable"),
        (ImportError("Cannot initialize a EGL device display."), "MUJOCO_GL=disable"),
    ],
)
def test_what_dm_control_says_is_turned_into_a_hint(error: Exception, message: str) -> None:
    with pytest.raises(ConfigError, match=message), _errors.loading("walker-walk"):
        raise error


def test_other_errors_are_not_swallowed() -> None:
    with pytest.raises(AttributeError, match="oops"), _errors.loading("walker-walk"):
        raise AttributeError("oops")
    with pytest.raises(RuntimeError, match="oops"), _errors.simulating("walker-walk"):
        raise RuntimeError("oops")
