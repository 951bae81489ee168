"""Gymnasium environments, made by name."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
from lawm_schemas import ConfigError, CorpusError, Provenance

from lawm_data import CorpusWriter, make_mask, open_corpus
from lawm_data.corpus.integrity.validate import validate
from lawm_data.curation.rerender import rerender_corpus
from lawm_data.envs import suites as envs
from lawm_data.envs.policy import RandomPolicy
from lawm_data.envs.rollout import rollout
from lawm_data.envs.spaces import observation_parts
from lawm_data.recording.collect import collect

DOCS = Path(__file__).parents[4] / "docs"
IDS = ("CartPole-v1", "Pendulum-v1", "Blackjack-v1")


@pytest.mark.parametrize("task", IDS)
def test_rollouts_are_gymnasiums_own(task: str) -> None:
    environments = envs.make(f"gym:{task}", num_envs=2, action_repeat=1)
    policy = RandomPolicy(environments.action)
    first, second = rollout(environments, policy, [3, 4])
    assert len(first["rewards"]) != len(second["rewards"]) or task != "CartPole-v1"
    for seed, made in ((3, first), (4, second)):
        env = gymnasium.make(task)
        parts = observation_parts(env.observation_space, task, single=True)
        observation, _ = env.reset(seed=seed)
        for t, action in enumerate(made["actions"]):
            for part in parts:
                assert np.array_equal(made["observations"][part.spec.name][t], part.of(observation))
            given = action.item() if action.ndim == 0 else action
            assert env.action_space.contains(given)
            observation, reward, terminated, truncated, _ = env.step(given)
            assert made["rewards"][t] == np.float32(reward)
        last = t == len(made["actions"]) - 1
        assert last
        assert (made["terminated"], made["truncated"]) == (terminated, truncated)
        assert terminated or truncated


class Narrow(gymnasium.Env):
    """Takes no action outside of its space, whose bounds float32 does not hold."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,))

    def __init__(self, width: float) -> None:
        self.action_space = gymnasium.spaces.Box(0.1 - width, 0.1, (1,), np.float64)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        assert self.action_space.contains(action)
        return np.zeros(1, np.float32), 0.0, False, False, {}


class Most:
    """A policy that asks for more than there is, in one direction and the other."""

    def start(self, num_envs: int, seed: int) -> None:
        self._sign = 1.0

    def act(self, observation: np.ndarray) -> np.ndarray:
        self._sign = -self._sign
        return np.full((len(observation), 1), self._sign, np.float32)


@pytest.mark.parametrize("width", [0.2, 0.0])
def test_actions_at_the_bounds_of_a_space_in_float64_are_in_it(
    monkeypatch: pytest.MonkeyPatch, width: float
) -> None:
    spec = gymnasium.envs.registration.EnvSpec(
        "Narrow-v0", Narrow, max_episode_steps=4, kwargs={"width": width}
    )
    monkeypatch.setitem(gymnasium.registry, "Narrow-v0", spec)
    environments = envs.make("gym:Narrow-v0", action_repeat=1)
    (made,) = rollout(environments, Most(), [0])
    assert made["actions"].dtype == np.float32
    np.testing.assert_allclose(made["actions"][:2, 0], [0.1 - width, 0.1], rtol=1e-6)


class Spoiling(Narrow):
    """Pays what it is given, and writes into it."""

    def __init__(self) -> None:
        self.action_space = gymnasium.spaces.Box(-1, 1, (1,))

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        observation, _, *rest = super().step(action)
        paid = float(action[0])
        action *= 0
        return observation, paid, *rest


@pytest.mark.parametrize("repeat", [1, 2])
def test_every_repeated_step_is_given_the_action(
    monkeypatch: pytest.MonkeyPatch, repeat: int
) -> None:
    spec = gymnasium.envs.registration.EnvSpec("Spoiling-v0", Spoiling, max_episode_steps=4)
    monkeypatch.setitem(gymnasium.registry, "Spoiling-v0", spec)
    environments = envs.make("gym:Spoiling-v0", action_repeat=repeat)
    (made,) = rollout(environments, Most(), [0])
    assert made["rewards"].tolist() == [-repeat, repeat, -repeat, repeat][: 4 // repeat]
    assert made["actions"][:2, 0].tolist() == [-1, 1]


def test_a_time_limit_truncates_and_a_fall_terminates() -> None:
    pole, pendulum = (envs.make(f"gym:{task}", action_repeat=1) for task in IDS[:2])
    (fallen,) = rollout(pole, RandomPolicy(pole.action), [0])
    (timed,) = rollout(pendulum, RandomPolicy(pendulum.action), [0])
    assert (fallen["terminated"], fallen["truncated"]) == (True, False)
    assert (timed["terminated"], timed["truncated"]) == (False, True)
    assert len(timed["rewards"]) == pendulum.steps_per_episode == 200


def test_a_collected_corpus_is_exact_and_resumes(tmp_path: Path) -> None:
    def gather(path: Path, *counts: int) -> Any:
        environments = envs.make("gym:CartPole-v1", num_envs=2, action_repeat=1)
        writer = CorpusWriter.create(
            path,
            observations=environments.observations,
            action=environments.action,
            environment=environments.info,
        )
        with writer:
            for count in counts:
                policy = RandomPolicy(environments.action)
                collect(environments, policy, writer, count, 0, Provenance(source="random"))
        return open_corpus(path)

    whole, parts = gather(tmp_path / "a", 5), gather(tmp_path / "b", 3, 5)
    assert whole.fingerprint == parts.fingerprint
    assert whole.manifest.action.dtype == "int64"
    assert set(np.concatenate([t.actions for t in whole])) == {0, 1}
    assert not list(validate(tmp_path / "a"))
    info = whole.manifest.environment
    assert (info.suite, info.task, info.control_timestep) == ("gym", "CartPole-v1", 0.02)


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("gym:CartPole-v9", "nearest ids: CartPole-v1"),
        ("gym:os:CartPole-v1", "is not registered"),
        ("gym:", "is not registered"),
        (
            "gym:MyRobot-v0",
            r"own is known once its module is imported \(docs/exchange.md#gymnasium",
        ),
    ],
)
def test_only_registered_ids_are_made(task: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        envs.make(task)


ROBOT = """
import gymnasium
gymnasium.register("MyRobot-v0", "gymnasium.envs.classic_control:PendulumEnv", max_episode_steps=5)
"""


def test_a_module_of_ones_own_is_imported_before_a_command(tmp_path: Path) -> None:
    """As docs/exchange.md has it."""
    (tmp_path / "myrobot.py").write_text(ROBOT)
    code = "import sys, myrobot; from lawm_cli.data_app import main; sys.exit(main())"
    assert f'python -c "{code}" collect --env gym:' in (DOCS / "exchange.md").read_text()
    words = [sys.executable, "-c", code, "collect", "--env", "gym:MyRobot-v0"]
    words += ["--trajectories", "1", "--out", "corpus"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert open_corpus(tmp_path / "corpus").manifest.environment.task == "MyRobot-v0"


class Square(gymnasium.Env):
    """Draws its own step, and needs no package for that."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 10}
    observation_space = gymnasium.spaces.Box(-1, 1, (1,))
    action_space = gymnasium.spaces.Box(-1, 1, (1,))

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode, self.t = render_mode, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        self.t += 1
        return np.zeros(1, np.float32), 0.0, False, False, {}

    def render(self) -> Any:
        return np.full((32, 32, 3), self.t, np.uint8)


class Blind(Square):
    """Takes no word on how it is drawn."""

    def __init__(self) -> None:
        super().__init__()


class Text(Square):
    """Draws no pictures."""

    def render(self) -> Any:
        return "a square"


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    for made in (Square, Blind, Text):
        name = f"{made.__name__}-v0"
        spec = gymnasium.envs.registration.EnvSpec(name, made, max_episode_steps=4)
        monkeypatch.setitem(gymnasium.registry, name, spec)


def test_it_is_drawn_where_that_is_told(registered: None) -> None:
    seen = envs.make("gym:Square-v0", action_repeat=1, pixels=8)
    told = envs.make("gym:Square-v0", action_repeat=1, draws=True)
    for made in (seen, told):
        made.reset([0])
        assert not made.render(0, 8, 8).any()
        made.step(np.zeros((1, 1), np.float32))
        assert (made.render(0, 8, 8) == 1).all()
    assert [spec.name for spec in told.observations] == ["observation"]
    untold = envs.make("gym:Square-v0")
    untold.reset([0])
    with pytest.raises(ConfigError, match="was not made to draw pictures"):
        untold.render(0, 8, 8)


NO_PYGAME = pytest.mark.skipif(find_spec("pygame") is not None, reason="pygame is there")


@pytest.mark.filterwarnings("ignore::UserWarning")  # Gymnasium's own, of environments that draw no
@pytest.mark.parametrize("how", [{"pixels": 8}, {"draws": True}], ids=["pixels", "draws"])
@pytest.mark.parametrize(
    ("task", "words"),
    [
        pytest.param(
            "Pendulum-v1",
            r"cannot be drawn: pygame is not installed; pip install \"gymnasium\[classic",
            marks=NO_PYGAME,
        ),
        pytest.param(
            "Blackjack-v1",
            r"cannot be drawn: pygame is not installed; pip install \"gymnasium\[toy",
            marks=NO_PYGAME,
        ),
        ("HalfCheetah-v5", "cannot render: MUJOCO_GL=disable; set MUJOCO_GL=egl"),
        ("Blind-v0", "draws no picture; do without pictures of it"),
        ("Text-v0", "draws no picture; do without pictures of it"),
    ],
)
def test_what_cannot_be_drawn_is_not_made_to_be(
    registered: None, monkeypatch: pytest.MonkeyPatch, task: str, words: str, how: dict
) -> None:
    monkeypatch.setenv("MUJOCO_GL", "disable")
    with pytest.raises(ConfigError, match=f"gym:{task}: {words}"):
        envs.make(f"gym:{task}", **how)
    envs.make(f"gym:{task}").reset([0])


@pytest.mark.skipif(find_spec("Box2D") is not None, reason="Box2D is there")
def test_every_package_that_is_missing_is_named() -> None:
    with pytest.raises(ConfigError, match=r"pip install swig && pip install \"gymnasium\[box2d\]"):
        envs.make("gym:LunarLander-v3")


def test_pictures_that_cannot_be_drawn_later_have_to_be_collected(
    registered: None, tmp_path: Path
) -> None:
    environments = envs.make("gym:Square-v0", action_repeat=1)
    with CorpusWriter.create(
        tmp_path / "corpus",
        observations=environments.observations,
        action=environments.action,
        environment=environments.info,
    ) as writer:
        policy = RandomPolicy(environments.action)
        collect(environments, policy, writer, 2, 0, Provenance(source="random"))
    whole = open_corpus(tmp_path / "corpus")
    masked = whole.with_mask(make_mask(whole, 0.5, 0, "half"))
    words = "not every action is shown to replay it; environments of Gymnasium keep no such state"
    with pytest.raises(CorpusError, match=f"{words}; collect it with --pixels"):
        rerender_corpus(masked, tmp_path / "out", size=8)
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]
