"""A policy in a loop of one's own: one robot or many, by name or in one array."""

import numpy as np
import pytest
import torch
from lawm_schemas import ArraySpec, ConfigError, Role

from lawm_data.envs.convert import nearest
from lawm_models.acting.observation import read_observation
from lawm_models.acting.policy import Policy
from lawm_models.algorithms import ALGORITHMS
from lawm_models.networks.policies import StepPolicy

STEPS, N = 4, 3
POLICIES = [n for n in ALGORITHMS.names() if hasattr(ALGORITHMS.load(n).Algorithm, "policy")]
ACTIONS = ("box", "discrete", "many")


def observations(seed: int = 0) -> list[dict]:
    """What N robots observe, step by step, by dotted names."""
    draws = np.random.default_rng(seed)
    return [
        {
            "position": draws.normal(size=(N, 2)),
            "arm.angle": draws.normal(size=N),
            "arm.grip.0": draws.integers(0, 5, (N, 1)),
            "camera": draws.integers(0, 255, (N, 8, 8, 3)),
        }
        for _ in range(STEPS)
    ]


def of(robot: int, observation: dict) -> dict:
    return {name: field[robot] for name, field in observation.items()}


def nested(observation: dict) -> dict:
    """The same as a Gymnasium Dict with a Dict and a Tuple in it."""
    return {
        "arm": {"grip": (observation["arm.grip.0"],), "angle": observation["arm.angle"]},
        "position": observation["position"],
    }


def flat(observation: dict) -> np.ndarray:
    robots = np.shape(observation["arm.angle"])
    fields = [observation[name] for name in ("position", "arm.angle", "arm.grip.0")]
    return np.concatenate([np.reshape(field, (*robots, -1)) for field in fields], axis=-1)


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("action", ACTIONS)
def test_a_batch_acts_as_its_robots_do_alone(make_policy, name: str, action: str) -> None:
    policy = make_policy(name, action)
    spec = policy.action
    together = [policy.act(observation) for observation in observations()]
    for step in together:
        assert (step.shape, step.dtype) == ((N, *spec.shape), spec.dtype)
        low, high = spec.bounds()
        assert ((low <= step) & (step <= high)).all()
    for robot in range(N):
        policy.reset()
        alone = [policy.act(of(robot, observation)) for observation in observations()]
        assert all(type(one) is int or one.shape == spec.shape for one in alone)
        for one, step in zip(alone, together, strict=True):
            np.testing.assert_allclose(one, step[robot], rtol=1e-4, atol=1e-5)


def test_a_number_is_a_number(make_policy) -> None:
    """Gymnasium's ``Discrete`` wants an ``int``."""
    assert type(make_policy("bc", "discrete").act(of(0, observations()[0]))) is int


@pytest.mark.parametrize("form", [nested, flat], ids=["nested", "flat"])
@pytest.mark.parametrize("robot", [None, 1], ids=["batch", "alone"])
def test_however_it_is_observed(make_policy, form, robot: int | None) -> None:
    policy, seen = make_policy(), observations()
    seen = seen if robot is None else [of(robot, observation) for observation in seen]
    first = [policy.act(observation) for observation in seen]
    policy.reset()
    again = [policy.act(form(observation)) for observation in seen]
    np.testing.assert_array_equal(first, again)


def test_reset_forgets_all_or_some(make_policy) -> None:
    policy, (first, *rest) = make_policy(), observations()
    fresh = policy.act(first)
    for observation in rest:
        went_on = policy.act(observation)
    policy.reset([True, False, True])
    mixed = policy.act(first)
    np.testing.assert_allclose(mixed[[0, 2]], fresh[[0, 2]], rtol=1e-5)
    assert not np.allclose(mixed[1], fresh[1])
    policy.reset()
    np.testing.assert_array_equal(policy.act(first), fresh)
    assert not np.array_equal(went_on, policy.act(rest[-1]))


@pytest.mark.parametrize("name", ["lawm", "bc"])
def test_noise_comes_from_the_seed(make_policy, name: str) -> None:
    policy, observation = make_policy(name, deterministic=False), observations()[0]

    def act(seed: int) -> np.ndarray:
        policy.reset(seed=seed)
        return policy.act(observation)

    np.testing.assert_array_equal(act(3), act(3))
    assert not np.array_equal(act(3), act(4))


def test_acts_as_the_rollout_of_its_actor(make_policy) -> None:
    """What a user's loop gets is what evaluation and collection get."""
    policy, actor = make_policy("lawm", "many"), make_policy("lawm", "many").actor
    actor.start(N, 0)
    for observation in observations():
        vector, _ = read_observation(observation, policy.state)
        expected = nearest(actor.act(vector), policy.action, "test")
        np.testing.assert_array_equal(policy.act(observation), expected)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"position": None}, "observation: there is no 'position' among arm.angle, .*; give posi"),
        (
            {"position": np.zeros((N, 3))},
            r"field position: has shape \(3, 3\); give \(2,\) for one robot, or \(N, 2\) for N",
        ),
        ({"position": np.zeros((N + 1, 2))}, r"different numbers of robots; .* position\[4, 2\]"),
        ({"position": "left"}, "field position: is no array of numbers"),
        ({"position": [[1], [1, 2]]}, "field position: is no array of numbers"),
        ({"position": np.full((N, 2), np.nan)}, "field position, robots 0, 1, 2: is not finite"),
        ({"arm.angle": np.array([0, 0, np.inf])}, "field arm.angle, robot 2: is not finite"),
    ],
)
def test_wrong_observations_are_told_in_one_line(make_policy, change: dict, words: str) -> None:
    observation = observations()[0] | change
    observation = {name: field for name, field in observation.items() if field is not None}
    with pytest.raises(ConfigError, match=words):
        make_policy().act(observation)


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("robot", [None, 1], ids=["batch", "alone"])
def test_a_reading_that_is_not_finite_leaves_no_trace(
    make_policy, name: str, robot: int | None
) -> None:
    """A sensor fails for a step: who skips that reading goes on as if it had not been."""
    policy = make_policy(name, deterministic=False)
    seen = observations() if robot is None else [of(robot, each) for each in observations()]
    expected = [policy.act(observation) for observation in seen]
    policy.reset()
    bads = (np.nan, np.inf, -np.inf, 1e300)
    for observation, action, bad in zip(seen, expected, bads, strict=True):
        for form in (nested, flat):
            broken = {k: np.array(v, np.float64) for k, v in observation.items()}
            broken["position"][..., 1].flat[-1] = bad
            whose = f", robot {N - 1}" if robot is None else ""
            with pytest.raises(ConfigError, match=f"observation, field position{whose}: is not"):
                policy.act(form(broken))
        np.testing.assert_array_equal(policy.act(observation), action)


class Reciprocal(StepPolicy):
    """Acts by what it has seen in sum, and divides by what it sees."""

    def step(self, observation, memory, generator):
        memory = memory + observation
        return memory / observation, memory


def test_an_action_that_is_not_finite_leaves_no_trace() -> None:
    policy = Policy(
        Reciprocal(1, torch.zeros(1)),
        name="mine",
        weights="0" * 64,
        state=[ArraySpec(name="x", shape=(1,))],
        action=ArraySpec(name="action", shape=(1,), role=Role.action),
    )
    assert policy.act([2.0]) == 1
    with pytest.raises(ConfigError, match="mine: the policy returned an action that is not finite"):
        policy.act([0.0])
    assert policy.act([4.0]) == 1.5
    with pytest.raises(ConfigError, match="mine: the policy returned an action that is not finite"):
        policy.act([1e-44])
    assert policy.act([6.0]) == 2


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros(5), r"observation: has shape \(5,\); give \(4,\) for one robot, or \(N, 4\)"),
        (np.zeros((0, 4)), r"observation: has shape \(0, 4\)"),
        (np.zeros((2, 4)), "observation: is of a batch of 2, after one robot; call reset"),
    ],
)
def test_wrong_arrays_are_told_in_one_line(make_policy, array: np.ndarray, words: str) -> None:
    policy = make_policy()
    policy.act(np.zeros(4))
    with pytest.raises(ConfigError, match=words):
        policy.act(array)


@pytest.mark.parametrize("ended", [[True], [1, 0, 1], True], ids=["too few", "no booleans", "one"])
def test_wrong_ends_are_told_in_one_line(make_policy, ended) -> None:
    policy = make_policy()
    with pytest.raises(ConfigError, match="ended: is of a batch, and none acts"):
        policy.reset(ended)
    policy.act(observations()[0])
    with pytest.raises(ConfigError, match=r"ended: has shape .*; give 3 booleans"):
        policy.reset(ended)
