"""The cart with one pole is the suite's."""

import numpy as np
import pytest
from compared import require_same

from lawm_data.envs.direct import cartpole


def scatter(physics, rng: np.random.Generator) -> None:
    data = physics.data
    if rng.random() < 0.3:  # anywhere
        data.qpos[:] = rng.uniform([-1, -np.pi], [1, np.pi])
        data.qvel[:] = rng.uniform(-6, 6, 2)
    else:  # about the bounds of the sparse reward
        data.qpos[:] = rng.choice([-1, 1]) * rng.uniform(0.2, 0.3), rng.uniform(-0.11, 0.11)


@pytest.mark.parametrize("task", cartpole.TASKS)
def test_rewards_and_observations_are_the_suites(task: str) -> None:
    require_same(f"cartpole-{task}", scatter)
