"""Evaluation: whole episodes in the environment that the corpus names."""

import json
from importlib.util import find_spec
from typing import ClassVar

import numpy as np
import pytest
from lawm_schemas import ConfigError, Evaluation, Provenance

from lawm_data import CorpusWriter
from lawm_data.envs import suites as envs
from lawm_data.envs.policy import RandomPolicy
from lawm_data.envs.rollout import rollout
from lawm_data.system.video import frames
from lawm_models.collection.trained_policy import load_policy
from lawm_models.training.evaluate import Evaluator, environment, evaluate
from lawm_models.training.trainer import train

pytest.importorskip("dm_control")


@pytest.fixture(scope="module")
def cartpole(tmp_path_factory):
    """Two random trajectories of cartpole-swingup."""
    path = tmp_path_factory.mktemp("corpora") / "cartpole"
    environments = envs.make("cartpole-swingup", num_envs=2)
    with CorpusWriter.create(
        path,
        observations=environments.observations,
        action=environments.action,
        environment=environments.info,
    ) as writer:
        for recorded in rollout(environments, RandomPolicy(environments.action), (0, 1)):
            writer.add(**recorded, provenance=Provenance(source="random"))
    return path


@pytest.fixture(scope="module")
def run(experiment, cartpole, tmp_path_factory):
    config = experiment(
        "bc",
        corpora=[{"path": str(cartpole)}],
        labeled_ratio=None,
        evaluate_every=6,
        evaluation_episodes=2,
    )
    return train(config, tmp_path_factory.mktemp("runs") / "run")


def test_training_evaluates_on_its_way_and_at_the_end(run):
    lines = [line for line in run.metrics() if "return_mean" in line]
    assert [line["step"] for line in lines] == [6, 12]
    final = run.evaluation()
    assert (final.episodes, len(final.returns)) == (2, 2)
    assert final.return_mean == lines[-1]["return_mean"] == np.mean(final.returns)
    assert final.normalized == pytest.approx(final.return_mean / 10)
    assert final.environment == "dm_control:cartpole-swingup"


def test_lost_evaluation_is_made_again(run):
    """A kill between the last checkpoint and ``evaluation.json``."""
    before, metrics = run.evaluation(), run.metrics()
    (run.path / "evaluation.json").unlink()
    assert not run.is_finished()
    train(run.config, run.path)
    assert run.evaluation() == before
    strip = [{k: v for k, v in line.items() if k != "elapsed"} for line in metrics]
    assert [{k: v for k, v in line.items() if k != "elapsed"} for line in run.metrics()] == strip


def test_evaluation_is_the_returns_of_the_policy(run):
    result = evaluate(run.path, episodes=2, seed=5)
    trained = load_policy(run.path)
    environments = envs.make("cartpole-swingup", num_envs=1)
    alone = [rollout(environments, trained.actor, [seed])[0]["rewards"].sum() for seed in (5, 6)]
    assert result.returns == pytest.approx(alone, rel=1e-4)
    assert result.return_std == pytest.approx(np.std(alone), rel=1e-2)
    assert trained.environment == run.record.environment
    assert Evaluation.parse(json.loads(result.to_json()), "json") == result


def test_corpus_without_environment_cannot_be_evaluated(experiment, tmp_path):
    run = train(experiment("bc"), tmp_path / "run")
    with pytest.raises(ConfigError, match="the corpus names no environment"):
        evaluate(run, episodes=1)
    with pytest.raises(ConfigError, match="not a run folder"):
        load_policy(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "cartpole-swingdown"}, "cartpole-sw"),
        ({"task": "walker-walk"}, r"it observes orientations\[14\].* the corpus position\[3\]"),
        ({"suite": "atari"}, "atari"),
    ],
)
def test_unfit_environment_is_refused_before_training(run, changes, message):
    environment = run.record.environment.model_copy(update=changes)
    record = run.record.model_copy(update={"environment": environment})
    with pytest.raises(ConfigError, match=message):
        Evaluator(record, 1)
    with pytest.raises(ConfigError, match="episodes: 0 is below 1"):
        Evaluator(run.record, 0)


@pytest.fixture
def square(tmp_path, monkeypatch):
    """Writes two trajectories of one that draws: ``square()``, ``square(pixels=16)``.

    With ``sees`` it observes pictures of its own, and cannot be told to draw.
    """
    gymnasium = pytest.importorskip("gymnasium")

    class Square(gymnasium.Env):
        metadata: ClassVar = {"render_modes": ["rgb_array"], "render_fps": 10}
        observation_space = gymnasium.spaces.Box(-1, 1, (1,))
        action_space = gymnasium.spaces.Box(-1, 1, (1,))

        def __init__(self, render_mode=None):
            self.render_mode, self.t = render_mode, 0

        def reset(self, *, seed=None, options=None):
            self.t = 0
            return np.zeros(1, np.float32), {}

        def step(self, action):
            self.t += 1
            return np.full(1, self.t / 50, np.float32), 1.0, False, False, {}

        def render(self):
            return np.full((32, 32, 3), 20 * self.t, np.uint8)

    class Seeing(Square):
        observation_space = gymnasium.spaces.Box(0, 255, (16, 32, 3), np.uint8)

        def __init__(self):
            super().__init__()

        def reset(self, *, seed=None, options=None):
            super().reset()
            return self.render()[:16], {}

        def step(self, action):
            _, *rest = super().step(action)
            return self.render()[:16], *rest

    def write(sees=False, pixels=None):
        name = "Seeing-v0" if sees else "Square-v0"
        made = Seeing if sees else Square
        spec = gymnasium.envs.registration.EnvSpec(name, made, max_episode_steps=10)
        monkeypatch.setitem(gymnasium.registry, name, spec)
        environments = envs.make(f"gym:{name}", num_envs=2, action_repeat=1, pixels=pixels)
        with CorpusWriter.create(
            tmp_path / "corpus",
            observations=environments.observations,
            action=environments.action,
            environment=environments.info,
        ) as writer:
            for recorded in rollout(environments, RandomPolicy(environments.action), (0, 1)):
                writer.add(**recorded, provenance=Provenance(source="random"))
        return tmp_path / "corpus"

    return write


@pytest.mark.parametrize("sees", [True, False])
def test_a_policy_on_pictures_is_judged_where_gymnasium_draws(experiment, square, tmp_path, sees):
    """Told to draw, or observing a picture of its own."""
    corpus = square(sees, None if sees else 16)
    config = experiment(
        "bc",
        corpora=[{"path": str(corpus)}],
        observe="pixels",
        labeled_ratio=None,
        evaluation_episodes=2,
    )
    run = train(config, tmp_path / "run")
    assert run.evaluation().returns == (10.0, 10.0)
    cameras = [spec.model_copy(update={"name": "wrist"}) for spec in run.reads()]
    shown = r"observation\[16, 32, 3\]" if sees else "nothing"
    with pytest.raises(ConfigError, match=rf"the policy sees wrist\[16, .* shows {shown}"):
        Evaluator(run.record, 1, reads=cameras)


def test_a_state_policy_is_filmed_where_gymnasium_draws(experiment, square, tmp_path):
    """Gymnasium has to be told when the environment is made; where it cannot, nobody acts."""
    only = [{"path": str(square())}]
    config = experiment("bc", corpora=only, labeled_ratio=None, evaluation_episodes=0)
    run = train(config, tmp_path / "run")
    found = evaluate(run, episodes=2, video=tmp_path / "film.gif")
    assert found.returns == (10.0, 10.0)
    shown = [frame.mean() / 20 for frame in frames(tmp_path / "film.gif")]
    assert shown == pytest.approx(range(1, 11), abs=0.3)
    where = environment(run.record, "gym:Pendulum-v1")
    if find_spec("pygame") is None:
        with pytest.raises(ConfigError, match="gym:Pendulum-v1: cannot be drawn: pygame"):
            evaluate(run, episodes=1, video=tmp_path / "other.gif", where=where)
    assert not (tmp_path / "other.gif").exists()
