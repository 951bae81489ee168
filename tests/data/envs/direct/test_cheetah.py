"""The planar cheetah is the suite's."""

import pytest
from compared import require_same, upright

from lawm_data.envs.direct import cheetah


@pytest.mark.parametrize("task", cheetah.TASKS)
def test_rewards_and_observations_are_the_suites(task: str) -> None:
    require_same(f"cheetah-{task}", lambda physics, rng: upright(physics, rng, -1, 12))
