"""What is known of a trajectory is plain numbers."""

import pytest
from documents import require_refused, require_round_trip
from lawm_schemas import LabelState, TrajectoryInfo

INFO = {
    "id": "a",
    "length": 3,
    "labels": "observed",
    "num_observed": 3,
    "episode_return": 1.5,
    "terminated": False,
    "truncated": True,
    "source": "random",
}


@pytest.mark.parametrize("state", LabelState)
def test_a_trajectory_is_in_one_of_the_states(state: LabelState) -> None:
    assert require_round_trip(TrajectoryInfo, {**INFO, "labels": state.value}).labels is state


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": "guessed"}, "labels"),
        ({"length": 0}, "length"),
        ({"num_observed": -1}, "num_observed"),
        ({"episode_return": float("nan")}, "episode_return"),
    ],
)
def test_anything_else_is_refused(change: dict, words: str) -> None:
    require_refused(TrajectoryInfo, INFO, change, words)
