"""The planar hopper is the suite's."""

import pytest
from compared import require_same, upright

from lawm_data.envs.direct import hopper


@pytest.mark.parametrize("task", hopper.TASKS)
def test_rewards_and_observations_are_the_suites(task: str) -> None:
    require_same(f"hopper-{task}", lambda physics, rng: upright(physics, rng, 0.5, 2.5))
