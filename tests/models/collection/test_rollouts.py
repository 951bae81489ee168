"""Collecting with workers: real dm_control, real processes, a tiny agent with two snapshots."""

import multiprocessing
import os
import signal
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from lawm_schemas import ConfigError
from small_agents import CONFIG

from lawm_data import Corpus, CorpusWriter, open_corpus
from lawm_data.corpus.integrity.validate import validate
from lawm_data.envs.rollout import rollout
from lawm_data.envs.suites import make
from lawm_data.recording.collect import add_rollouts
from lawm_data.recording.parallel import parallel_rollouts
from lawm_data.system.parts import parts_folder
from lawm_data.system.workers import executor
from lawm_models.collection.agent_folder import AgentFolder
from lawm_models.collection.collector import agent_folder, collect_learning, updates_before
from lawm_models.collection.rollouts import RolloutSettings, open_context, plan_rollouts
from lawm_models.collection.trained_policy import load_policy, load_snapshot

pytest.importorskip("dm_control")

TASK, REPEAT = "cartpole-swingup", 40  # 25 steps per trajectory
RANDOM = RolloutSettings("random", TASK, trajectories=9, seed=0, action_repeat=REPEAT, num_envs=2)


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An agent that has learned for twenty rounds."""
    out = tmp_path_factory.mktemp("agents") / "c"
    collect_learning("dreamer", TASK, out, 20, 5, REPEAT, CONFIG, processes=1)
    return agent_folder(out)


def collect(
    out: Path, settings: RolloutSettings, workers: int | None = None, backend: str = "processes"
) -> Corpus:
    """Collect; without ``workers`` in this process."""
    planned = plan_rollouts(settings)
    envs = planned.context.envs
    with (
        CorpusWriter.append(out)
        if out.exists()
        else CorpusWriter.create(
            out, observations=envs.observations, action=envs.action, environment=envs.info
        )
    ) as writer:
        rollouts = planned.rollouts(settings.trajectories, writer.manifest.trajectories)
        if workers is None:
            rolled = ((each, each.run(planned.context)) for each in rollouts)
        else:
            context = partial(open_context, settings)
            execute = executor(backend)
            rolled = parallel_rollouts(
                out, context, envs, rollouts, planned.provenance, execute, workers
            )
        add_rollouts(writer, rolled, planned.provenance)
    return open_corpus(out)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """What one process collects."""
    return collect(tmp_path_factory.mktemp("corpora") / "alone", RANDOM)


def same(a: Corpus, b: Corpus) -> bool:
    columns = ("seed", "agent_step", "episode_return")
    equal = all(np.array_equal(getattr(a.table, c), getattr(b.table, c)) for c in columns)
    return equal and a.fingerprint == b.fingerprint


@pytest.mark.slow  # the next test is of processes, too
@pytest.mark.parametrize(("backend", "workers"), [("processes", 2), ("ray", 2)])
def test_workers_do_not_change_the_corpus(
    tmp_path: Path, alone: Corpus, backend: str, workers: int
) -> None:
    if backend == "ray":
        pytest.importorskip("ray")
    corpus = collect(tmp_path / "c", RANDOM, workers, backend)
    assert same(corpus, alone)
    assert corpus.manifest.provenance == alone.manifest.provenance
    assert not validate(corpus.path)
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_killed_worker_changes_nothing(tmp_path: Path, alone: Corpus) -> None:
    """One is killed as soon as the first trajectories are there, in the middle of others."""
    planned, killed = plan_rollouts(RANDOM), []

    def rollouts():
        for each in planned.rollouts(RANDOM.trajectories, 0):
            if each.place == 4:  # the third rollout: both workers are at work
                victim = multiprocessing.active_children()[0]
                os.kill(victim.pid, signal.SIGKILL)
                killed.append(victim.pid)
            yield each

    envs = planned.context.envs
    with CorpusWriter.create(
        tmp_path / "c", observations=envs.observations, action=envs.action, environment=envs.info
    ) as writer:
        context = partial(open_context, RANDOM)
        source = planned.provenance
        rolled = parallel_rollouts(writer.path, context, envs, rollouts(), source, executor(), 2)
        add_rollouts(writer, rolled, planned.provenance)
    assert len(killed) == 1
    corpus = open_corpus(tmp_path / "c")
    assert same(corpus, alone)
    assert corpus.manifest.provenance == alone.manifest.provenance
    assert not validate(corpus.path)
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_collection_goes_on_with_the_parts_that_are_there(tmp_path: Path, alone: Corpus) -> None:
    """As after a kill: two trajectories are committed, a later rollout waits as a part."""
    out, other, planned = tmp_path / "c", tmp_path / "other", plan_rollouts(RANDOM)
    context, run_again = partial(open_context, RANDOM), []
    envs = planned.context.envs
    late = [each for each in planned.rollouts(9, 0) if each.place == 6]
    next(parallel_rollouts(other, context, envs, late, planned.provenance, executor(), 1))
    parts_folder(other).rename(parts_folder(out))
    (dead,) = parts_folder(out).iterdir()
    (dead / ".tmp-dead").mkdir()

    def observed(prepare, items, workers=None, heartbeat=None):
        for name in executor()(prepare, items, workers, heartbeat):
            run_again.append(name)
            yield name

    collect(out, RANDOM._replace(trajectories=2))
    with CorpusWriter.append(out) as writer:
        rest = planned.rollouts(9, 2)
        rolled = parallel_rollouts(out, context, envs, rest, planned.provenance, observed, 1)
        add_rollouts(writer, rolled, planned.provenance)
    assert run_again == ["00000002-2", "00000004-2", "00000008-1"]
    assert same(open_corpus(out), alone)
    assert not parts_folder(out).exists()


def test_parts_of_another_collection_are_not_used(tmp_path: Path) -> None:
    out = tmp_path / "c"
    stale = parts_folder(out) / "0123456789abcdef" / "00000000-2"
    stale.mkdir(parents=True)
    corpus = collect(out, RANDOM._replace(trajectories=2), 1)
    assert len(corpus) == 2
    assert not stale.exists()


def test_snapshots_act_in_their_order_with_their_noise(tmp_path: Path, agent: Path) -> None:
    settings = RolloutSettings(f"{agent}@snapshots", TASK, trajectories=7, seed=1, num_envs=3)
    corpus = collect(tmp_path / "c", settings)
    first, last = (updates_before(CONFIG, rounds) for rounds in (10, 20))
    assert corpus.table.agent_step.tolist() == [first] * 3 + [last] * 4
    (provenance,) = corpus.manifest.provenance
    assert (provenance.source, provenance.origin) == ("dreamer@snapshots", "rollout")
    assert provenance.seed == 1
    assert provenance.settings == {
        "noise": True,
        "num_envs": 3,
        "trajectories": 7,
        "agent_seed": 5,
        "snapshots": {"00010": first, "00020": last},
    }
    rollouts = list(plan_rollouts(settings).rollouts(7, 0))
    assert [(r.policy, len(r.chosen)) for r in rollouts] == [("00010", 3), *[("00020", 2)] * 2]
    # Each trajectory is what that snapshot does, from that seed, with that noise.
    envs = make(TASK, num_envs=3, action_repeat=REPEAT)
    for played in rollouts:
        policy = load_snapshot(agent, played.policy, deterministic=False)
        again = rollout(envs, policy, played.seeds, played.noise_seed)
        for i, trajectory in enumerate(again):
            recorded = corpus[played.place + i]
            np.testing.assert_array_equal(recorded.actions, trajectory["actions"])
            assert recorded.info.seed == played.chosen[i]


@pytest.mark.slow
def test_snapshots_by_workers_are_the_same(tmp_path: Path, agent: Path) -> None:
    settings = RolloutSettings(f"{agent}@snapshots", TASK, trajectories=7, seed=1, num_envs=3)
    assert same(collect(tmp_path / "away", settings, 1), collect(tmp_path / "here", settings))


def test_collections_of_snapshots_never_repeat_a_trajectory(tmp_path: Path, agent: Path) -> None:
    whole = RolloutSettings(f"{agent}@snapshots", TASK, trajectories=4, seed=1)
    others = [
        whole,
        whole._replace(trajectories=5),
        whole._replace(seed=2),
        whole._replace(agent=f"{agent}@snapshots:1:10"),
        whole._replace(noise=False),
    ]
    planned = [each for s in others for each in plan_rollouts(s).rollouts(s.trajectories, 0)]
    seeds = [seed for rollout in planned for seed in rollout.chosen]
    assert len(set(seeds)) == len(seeds) == 21


def test_agent_without_snapshots_and_no_agent_are_refused(tmp_path: Path, agent: Path) -> None:
    with pytest.raises(ConfigError, match=r"c: holds no collecting agent; give the OUT.agent"):
        plan_rollouts(RolloutSettings(f"{agent.with_suffix('')}@snapshots", TASK, 1, 0))
    young = tmp_path / "young.agent"
    AgentFolder.open(young, AgentFolder.read(agent).record)
    with pytest.raises(ConfigError, match="this agent has no snapshots yet"):
        plan_rollouts(RolloutSettings(f"{young}@snapshots", TASK, 1, 0))
    with pytest.raises(ConfigError, match="the agent observes position, velocity, not what"):
        plan_rollouts(RolloutSettings(f"{agent}@snapshots", "walker-walk", 1, 0))


@pytest.fixture
def square(monkeypatch: pytest.MonkeyPatch) -> str:
    """An environment that draws without a display: the brighter, the more was done."""
    gymnasium = pytest.importorskip("gymnasium")

    class Square(gymnasium.Env):
        metadata: ClassVar = {"render_modes": ["rgb_array"], "render_fps": 10}
        observation_space = gymnasium.spaces.Box(-9, 9, (1,))
        action_space = gymnasium.spaces.Box(-1, 1, (1,))

        def __init__(self, render_mode=None):
            self.render_mode, self.x = render_mode, np.zeros(1, np.float32)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.x = self.np_random.uniform(-1, 1, 1).astype(np.float32)
            return self.x.copy(), {}

        def step(self, action):
            self.x += action / 8
            return self.x.copy(), float(self.x[0]), False, False, {}

        def render(self):
            return np.full((16, 16, 3), 128 + 40 * self.x[0], np.uint8)

    spec = gymnasium.envs.registration.EnvSpec("Square-v0", Square, max_episode_steps=5)
    monkeypatch.setitem(gymnasium.registry, "Square-v0", spec)
    return "gym:Square-v0"


@pytest.mark.parametrize("observe", ["pixels", "pixels+state"])
def test_what_learned_from_pictures_acts_on_them(
    observe: str, square: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lawm_models.collection.collector.SNAPSHOT_EVERY", 1)
    collect_learning(
        *("dreamer", square, tmp_path / "c", 4, 0, 1, CONFIG),
        processes=1,
        pixels=16,
        observe=observe,
    )
    folder = agent_folder(tmp_path / "c")
    policy = load_policy(folder)
    settings = RolloutSettings(str(folder), square, trajectories=2, seed=1)
    corpus = collect(tmp_path / "latest", settings)
    for trajectory in corpus:
        policy.reset()
        for t, action in enumerate(trajectory.actions):
            seen = {spec.name: trajectory.observations[spec.name][t] for spec in policy.state}
            np.testing.assert_allclose(policy.act(seen), action, atol=1e-5)
    told = collect(tmp_path / "told", settings._replace(pixels=16))
    assert told.fingerprint == corpus.fingerprint
    snapshots = settings._replace(agent=f"{folder}@snapshots", num_envs=1)
    along = collect(tmp_path / "along", snapshots)
    assert [spec.shape for spec in along.manifest.observations] == [(1,), (16, 16, 3)]
    for agent in (folder, f"{folder}@snapshots"):
        with pytest.raises(ConfigError, match=r"sees render\[16, .* shows render\[8, .*pixels 16"):
            plan_rollouts(settings._replace(agent=str(agent), pixels=8))
