"""Pictures are drawn without a display unless somebody says how."""

import os

import pytest

from lawm_data.envs.renderer import choose_renderer


@pytest.fixture(autouse=True)
def headless(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.setenv(name, "")  # so that whatever is set is undone
        monkeypatch.delenv(name)
    monkeypatch.setattr("sys.platform", "linux")


def test_egl_draws_where_there_is_no_display() -> None:
    choose_renderer()
    assert os.environ["MUJOCO_GL"] == "egl"


@pytest.mark.parametrize(
    "given", [{"MUJOCO_GL": "osmesa"}, {"MUJOCO_GL": "disable"}, {"DISPLAY": ":0"}]
)
def test_what_is_set_is_kept(given: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    choose_renderer()
    assert os.environ == before
