"""Environments made, or only named, by their names."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lawm_schemas import ConfigError

from lawm_data.envs import suites as envs


def test_info_is_enough_to_make_it_again() -> None:
    info = envs.make("hopper-hop", action_repeat=4).info
    again = envs.make(info.task, suite=info.suite, action_repeat=info.action_repeat)
    assert again.info == info
    assert info.max_return == 1000
    assert info.control_timestep == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "walker_walk"}, "walker_walk: unknown environment; nearest names: walker-walk"),
        ({"task": "swingup"}, "cartpole-swingup"),
        ({"task": "walker"}, "walker-"),
        ({"task": ""}, "unknown environment"),
        ({"task": "pendulum-swingup", "direct": True}, "cannot be stepped directly; can: cartpole"),
        (
            {"task": "walker-walk", "suite": "dm_contrl"},
            "no suite 'dm_contrl'; it is dm_control:walker-walk",
        ),
        ({"task": "walker-walk", "suite": "direct"}, "no suite"),
        ({"task": "gymn:Pendulum-v1"}, "gymn:Pendulum-v1: no suite 'gymn'; it is gym:Pendulum-v1"),
        ({"task": "Pendulum-v1"}, "Pendulum-v1: unknown environment; it is gym:Pendulum-v1"),
        (
            {"task": "gym:walker-walk"},
            "gym:walker-walk: is not registered.*; it is dm_control:walk",
        ),
        ({"task": "walker-walk", "suite": "_suite"}, "no suite"),
        ({"task": "walker-walk", "num_envs": 0}, "num_envs: 0 is below 1"),
        ({"task": "walker-walk", "action_repeat": 0}, "action_repeat: 0 is below 1"),
        ({"task": "walker-walk", "pixels": 0}, "pixels: is 0; give the edge of the image"),
    ],
)
def test_bad_settings_are_refused_in_one_line(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        envs.make(**settings)
    assert "\n" not in str(caught.value)


@given(
    st.sampled_from(["walker-walk", "dm_control:walker-walk", "gym:Pendulum-v1"]), st.integers(1, 4)
)
def test_a_name_means_the_same_to_collect_and_to_what_declares_it(name: str, repeat: int) -> None:
    assert envs.named_environment(name, repeat) == envs.make(name, action_repeat=repeat).info


@pytest.mark.parametrize("name", ["gym:Pendulum-v9", "walkr-walk", "gymn:Pendulum-v1", "", 7, None])
def test_a_wrong_name_is_no_environment(name: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        envs.named_environment(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("repeat", [0, -1, 1.5, "two"])
def test_an_environment_has_a_whole_action_repeat(repeat: Any) -> None:
    with pytest.raises(ConfigError, match="action_repeat"):
        envs.named_environment("walker-walk", repeat)
