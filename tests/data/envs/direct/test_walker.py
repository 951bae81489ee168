"""The planar walker is the suite's."""

import pytest
from compared import require_same, upright

from lawm_data.envs.direct import walker


@pytest.mark.parametrize("task", walker.TASKS)
def test_rewards_and_observations_are_the_suites(task: str) -> None:
    require_same(f"walker-{task}", lambda physics, rng: upright(physics, rng, 0, 9))
