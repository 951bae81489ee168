"""A search in a model: its costs, its goals, its settings."""

import numpy as np
import pytest
import torch
from jaxtyping import Float
from lawm_schemas import ConfigError
from torch import Tensor

from lawm_models.networks.planning_model import PlanningModel
from lawm_models.networks.scaling import ActionScale
from lawm_models.planning.planner import Goal, ModelPlanner, shifted
from lawm_models.planning.planners import PLANNERS
from lawm_models.planning.policy import PlanningPolicy

A, B = np.array([[1.0, 0.4], [-0.2, 0.9]]), np.array([[0.1], [0.5]])


class Linear(PlanningModel):
    """s' = A s + B a, seen as it is; pays −|s|², and its values are −s₀²."""

    def __init__(self, goes_on: float = 1.0) -> None:
        self.goes_on = goes_on
        self.scale = ActionScale([-2.0], [2.0])
        self.like = torch.zeros(1, dtype=torch.float64)
        self.memory_dim, self.pays, self.discount = 0, True, 0.9
        self.spaces = {"actions": 1}

    def infer(self, observation: Float[Tensor, "N O"], memory: Float[Tensor, "N M"]) -> Tensor:
        return observation

    def remember(self, state: Tensor, action: Tensor) -> Tensor:
        return state[:, :0]

    def step(self, state: Tensor, choice: Tensor, space: str) -> Tensor:
        return state @ torch.from_numpy(A).T + choice @ torch.from_numpy(B).T

    def action(self, state: Tensor, choice: Tensor, space: str) -> Tensor:
        return choice

    def predicted(self, state: Tensor) -> Tensor:
        return state

    def target(self, observation: Tensor) -> Tensor:
        return observation

    def reward(self, state: Tensor) -> Tensor:
        return -state.square().sum(-1)

    def continuation(self, state: Tensor) -> Tensor:
        return self.goes_on * super().continuation(state)

    def value(self, state: Tensor) -> Tensor:
        return -state[:, 0].square()


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def quadratic(start: np.ndarray, steps: int, weight: np.ndarray) -> np.ndarray:
    """The actions that minimise Σ_k weight_k |x_k|² of the states (K, 2) after start, unbounded."""
    free = np.stack([np.linalg.matrix_power(A, k + 1) @ start for k in range(steps)])
    moved = np.zeros((steps, 2, steps))
    for k in range(steps):
        for j in range(k + 1):
            moved[k, :, j] = (np.linalg.matrix_power(A, k - j) @ B)[:, 0]
    root = np.sqrt(weight)
    return np.linalg.lstsq(
        (root[..., None] * moved).reshape(-1, steps), -(root * free).ravel(), rcond=None
    )[0]


@pytest.mark.parametrize(("value", "goes_on"), [(True, 1.0), (False, 1.0), (True, 0.5)])
def test_it_maximises_discounted_rewards_and_the_value_at_the_end(
    value: bool, goes_on: float
) -> None:
    starts, steps = np.array([[0.3, -0.2], [-0.1, 0.25]]), 3
    rate = 0.9 * goes_on
    weight = np.repeat(rate ** np.arange(steps)[:, None], 2, 1)
    weight[-1, 0] += rate**steps * value
    settings = {"samples": 400, "iterations": 15, "value": value, "horizon": steps}
    planner = ModelPlanner(Linear(goes_on), "cem", settings)
    found = planner.plan(torch.from_numpy(starts), planner.nothing(2), generator())
    expected = [quadratic(start, steps, weight) for start in starts]
    assert np.abs(expected).max() < 1
    np.testing.assert_allclose(found.plan[..., 0].numpy(), expected, atol=0.02)


def test_towards_a_goal_only_the_end_counts_in_its_units() -> None:
    goals = torch.tensor([[0.2, 0.1], [-0.3, 0.2]], dtype=torch.float64)
    planner = ModelPlanner(Linear(), "cem", {"samples": 400, "iterations": 15}, goals=True)
    goal = Goal(goals, torch.tensor([1.0, 1e3], dtype=torch.float64))
    start = torch.zeros(2, 2, dtype=torch.float64)
    plan = planner.plan(start, planner.nothing(2, 2), generator(), goal).plan
    state = start
    for choice in plan.unbind(1):
        state = planner.model.step(state, choice, "actions")
    np.testing.assert_allclose(state[:, 0], goals[:, 0], atol=1e-3)
    assert (state[:, 1] - goals[:, 1]).abs().min() > 0.01
    torch.testing.assert_close(planner.actions(start, plan), plan)


def test_nobody_plans_beyond_what_the_model_has() -> None:
    model = Linear()
    with pytest.raises(ConfigError, match=r"has no 'latents' to search.*actions"):
        ModelPlanner(model, "cem", {"space": "latents"})
    with pytest.raises(ConfigError, match=r"horzon.*known keys: horizon"):
        ModelPlanner(model, "icem", {"horzon": 3})
    model.pays = False
    with pytest.raises(ConfigError, match="predicts no rewards to plan for"):
        ModelPlanner(model, "mppi")
    assert ModelPlanner(model, "mppi", goals=True).config.space == "actions"


@pytest.mark.parametrize("name", PLANNERS.names())
def test_a_policy_drives_the_state_to_rest_and_to_a_goal(name: str) -> None:
    settings = {"horizon": 4, "samples": 100}
    state = torch.tensor([[0.6, 0.5], [-0.4, 0.1], [0.0, -0.7]], dtype=torch.float64)
    policy = PlanningPolicy(ModelPlanner(Linear(), name, settings))
    policy.start(3, 0)
    first = state
    for _ in range(12):
        action = torch.from_numpy(policy.act(state.numpy()))
        assert action.abs().max() <= 2
        state = state @ torch.from_numpy(A).T + action / 2 @ torch.from_numpy(B).T
    assert (state.norm(dim=1) < 0.2 * first.norm(dim=1)).all()

    still = np.linalg.solve(np.eye(2) - A, B)[:, 0] * 0.3  # where 0.3 keeps it
    planner = ModelPlanner(Linear(), name, settings, goals=True)
    policy = PlanningPolicy(planner, torch.from_numpy(still)[None])
    policy.start(1, 0)
    state = torch.zeros(1, 2, dtype=torch.float64)
    for _ in range(15):
        action = torch.from_numpy(policy.act(state.numpy())) / 2
        state = planner.model.step(state, action, "actions")
    assert np.linalg.norm(state.numpy() - still) < 0.3 * np.linalg.norm(still)


@pytest.mark.parametrize("name", PLANNERS.names())
def test_a_robot_that_begins_anew_forgets_its_plan_and_no_other_does(name: str) -> None:
    policy = PlanningPolicy(ModelPlanner(Linear(), name, {"horizon": 3, "samples": 30}))
    policy.start(2, 0)
    observation = np.array([[0.3, 0.1], [-0.2, 0.4]])
    policy.act(observation)
    before = policy._memory.clone()
    policy.forget(np.array([True, False]))
    assert torch.equal(policy._memory[1], before[1])
    assert not policy._memory[0].any()
    assert before[1].any()


def test_a_plan_moves_on_by_a_step() -> None:
    kept = torch.arange(2 * 2 * 3.0).view(2, 2, 3, 1)
    moved = shifted(kept)
    assert torch.equal(moved[:, :, :2], kept[:, :, 1:])
    assert not moved[:, :, 2].any()
