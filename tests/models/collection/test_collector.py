"""Collecting by learning agents: real dm_control, networks too small to learn."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from lawm_schemas import ConfigError, Role
from small_agents import CONFIG

from lawm_data import open_corpus
from lawm_data.corpus.integrity.validate import validate
from lawm_data.envs.rollout import rollout
from lawm_data.envs.suites import make
from lawm_models.collection.agent_folder import AgentFolder
from lawm_models.collection.agents import AGENTS
from lawm_models.collection.agents.plan2explore import Plan2ExploreConfig
from lawm_models.collection.collector import (
    agent_folder,
    build_agent,
    collect_learning,
    updates_before,
)
from lawm_models.collection.trained_policy import load_policy
from lawm_models.networks.ensemble import EnsembleConfig

pytest.importorskip("dm_control")

TASK, REPEAT = "cartpole-swingup", 40  # 25 steps per trajectory


CONFIGS = {
    "dreamer": CONFIG,
    "plan2explore": Plan2ExploreConfig(
        **dict(CONFIG), ensemble=EnsembleConfig(members=2, units=8, layers=1)
    ),
}


def collect(out, trajectories, agent="dreamer", environments=1, **options):
    options = {"processes": 1, **options}
    config = CONFIGS[agent].model_copy(update={"environments": environments})
    collect_learning(agent, TASK, out, trajectories, 0, REPEAT, config, **options)
    return open_corpus(out)


@pytest.fixture(scope="module", params=AGENTS.names())
def agent(request):
    return request.param


@pytest.fixture(scope="module")
def corpus(agent, tmp_path_factory):
    """Five trajectories, collected in one go by one process."""
    return collect(tmp_path_factory.mktemp("corpora") / "quiet", 5, agent)


def test_every_trajectory_of_the_training_is_kept_with_its_provenance(corpus, agent):
    assert len(corpus) == 5
    assert not validate(corpus.path)
    assert corpus.label_counts()["observed"] == 5
    (provenance,) = corpus.manifest.provenance
    assert (provenance.source, provenance.seed, provenance.origin) == (agent, 0, "training")
    assert {"mujoco", "dm_control", "torch", "lawm"} <= provenance.versions.keys()
    assert AGENTS.load(agent).Config.model_validate(provenance.settings) == CONFIGS[agent]
    # two random trajectories, then three updates, then two after each further one
    assert corpus.table.agent_step.tolist() == [0, 0, 3, 5, 7]
    assert [updates_before(CONFIG, k) for k in range(5)] == [0, 0, 3, 5, 7]
    assert len(set(corpus.table.seed.tolist())) == 5


@pytest.mark.slow
def test_second_process_gives_the_same_corpus(corpus, agent, tmp_path):
    assert collect(tmp_path / "two", 5, agent, processes=2).fingerprint == corpus.fingerprint


def test_collection_in_pieces_is_the_collection_in_one_go(corpus, agent, tmp_path):
    out = tmp_path / "pieces"
    for trajectories in (1, 3, 4, 5):
        collect(out, trajectories, agent)
    assert open_corpus(out).fingerprint == corpus.fingerprint


def test_collection_stopped_before_its_agent_was_saved_goes_on_exactly(
    corpus, agent, tmp_path, monkeypatch
):
    """The trajectory is committed, the agent that learns from it is not: the widest gap."""
    out, save = tmp_path / "stopped", AgentFolder.save

    def stop_once(self, agent, rounds, rest, snapshot=False):
        if rounds == 4 and not (tmp_path / "stop").exists():
            (tmp_path / "stop").touch()
            raise KeyboardInterrupt
        save(self, agent, rounds, rest, snapshot)

    monkeypatch.setattr(AgentFolder, "save", stop_once)
    with pytest.raises(KeyboardInterrupt):
        collect(out, 5, agent)
    assert len(open_corpus(out)) == 4
    assert AgentFolder.read(agent_folder(out)).rounds == 3
    assert collect(out, 5, agent).fingerprint == corpus.fingerprint


def test_the_agent_never_misses_the_physics(corpus, agent, tmp_path):
    bare = collect(tmp_path / "bare", 3, agent, physics=False)
    assert [spec.name for spec in bare.manifest.observations] == ["position", "velocity"]
    for one, other in zip(bare, corpus, strict=False):
        assert one.physics is None
        assert (one.actions == other.actions).all()
        assert (one.observations.state == other.observations.state).all()
    with pytest.raises(ConfigError, match="holds position, velocity, not position, velocity, phy"):
        collect(tmp_path / "bare", 4, agent)


def test_settings_that_an_older_version_did_not_know_have_their_defaults(corpus, agent, tmp_path):
    """A collection that was begun before there was ``target_every`` goes on."""
    out = tmp_path / "corpus"
    collect(out, 3, agent)
    record = agent_folder(out) / "agent.json"
    known = json.loads(record.read_text())
    assert known["config"]["agent"].pop("target_every") == 1
    del known["checksum"]
    record.write_text(json.dumps(known))
    manifest = json.loads((out / "corpus.json").read_text())
    assert manifest["provenance"][0]["settings"]["agent"].pop("target_every") == 1
    del manifest["checksum"]
    (out / "corpus.json").write_text(json.dumps(manifest))
    assert collect(out, 5, agent).fingerprint == corpus.fingerprint


@pytest.mark.parametrize("change", ["seed", "config", "agent"])
def test_another_collection_is_refused(corpus, agent, change):
    kind = next(kind for kind in AGENTS.names() if (kind == agent) != (change == "agent"))
    config = CONFIGS[kind].model_copy(update={"updates": 3} if change == "config" else {})
    seed = 1 if change == "seed" else 0
    before = corpus.fingerprint
    with pytest.raises(ConfigError, match=rf"{change} differs.*choose another --out"):
        collect_learning(kind, TASK, corpus.path, 6, seed, REPEAT, config, processes=1)
    assert open_corpus(corpus.path).fingerprint == before


def test_lost_corpus_is_not_started_again_under_its_agent(tmp_path):
    out = tmp_path / "lost"
    collect(out, 3)
    for path in sorted(out.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    out.rmdir()
    with pytest.raises(ConfigError, match=r"has learned from 3 trajectories.*restore the corpus"):
        collect(out, 4)
    assert not out.exists()


def test_collecting_agent_acts_again(corpus, agent):
    trained = load_policy(agent_folder(corpus.path))
    environments = make(TASK, action_repeat=REPEAT)
    assert (trained.name, trained.environment) == (agent, environments.info)
    assert trained.state == tuple(s for s in environments.observations if s.role is Role.state)
    first, again = (rollout(environments, trained.actor, [7])[0]["actions"] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    noisy = load_policy(agent_folder(corpus.path), deterministic=False).actor
    assert not np.array_equal(first, rollout(environments, noisy, [7])[0]["actions"])


@pytest.mark.parametrize(
    ("agent", "message"),
    [("nobody", "no agent .nobody.; known ones: dreamer, plan2explore"), ("dreamer", "ensemble")],
)
def test_unfit_agent_is_refused(tmp_path, agent, message):
    config = CONFIGS["plan2explore"]
    with pytest.raises(ConfigError, match=message):
        collect_learning(agent, TASK, tmp_path / "none", 1, 0, REPEAT, config)
    assert not (tmp_path / "none").exists()


def test_nothing_is_learned_where_actions_have_no_bounds(tmp_path):
    with pytest.raises(ConfigError, match=r"lqr-lqr_2_1: .*; collect with --agent random"):
        collect_learning("dreamer", "lqr-lqr_2_1", tmp_path / "none", 1, 0, REPEAT)
    assert not (tmp_path / "none").exists()
    assert not agent_folder(tmp_path / "none").exists()


def test_snapshots_are_kept(tmp_path):
    out = tmp_path / "long"
    collect(out, 10)
    assert [p.name for p in (agent_folder(out) / "snapshots").iterdir()] == ["00010"]
    agent = load_policy(agent_folder(out))
    assert len(agent.weights) == 64


@pytest.fixture(scope="module")
def together(agent, tmp_path_factory):
    """Eight trajectories from three environments: the last round lacks one."""
    return collect(tmp_path_factory.mktemp("corpora") / "together", 8, agent, 3)


def test_a_round_is_of_one_policy_and_keeps_the_ratio_of_gradient_steps(together):
    # the round with the last random trajectory is random; then 3 updates, and 2 a trajectory
    assert together.table.agent_step.tolist() == [0, 0, 0, 5, 5, 5, 11, 11]
    assert together.table.agent_step[6] == updates_before(CONFIG, 6)
    assert len(set(together.table.seed.tolist())) == 8
    folder = AgentFolder.read(agent_folder(together.path))
    assert folder.rounds == 6


def test_environments_together_start_as_one_alone_does(corpus, together):
    for alone, one in zip(corpus, together, strict=False):
        assert alone.info.seed == one.info.seed
        assert (alone.physics[0] == one.physics[0]).all()


def test_rounds_in_pieces_are_the_rounds_in_one_go(together, agent, tmp_path):
    out = tmp_path / "pieces"
    for trajectories in (2, 7, 8):
        collect(out, trajectories, agent, 3)
    assert open_corpus(out).fingerprint == together.fingerprint
    assert collect(tmp_path / "two", 8, agent, 3, processes=2).fingerprint == together.fingerprint


def test_a_round_stopped_before_its_agent_was_saved_goes_on_exactly(
    together, agent, tmp_path, monkeypatch
):
    out, save, stopped = tmp_path / "stopped", AgentFolder.save, []

    def stop_once(self, agent, rounds, rest, snapshot=False):
        if rounds == 6 and not stopped:
            stopped.append(rounds)
            raise KeyboardInterrupt
        save(self, agent, rounds, rest, snapshot)

    monkeypatch.setattr(AgentFolder, "save", stop_once)
    with pytest.raises(KeyboardInterrupt):
        collect(out, 8, agent, 3)
    assert (len(open_corpus(out)), AgentFolder.read(agent_folder(out)).rounds) == (6, 3)
    assert collect(out, 8, agent, 3).fingerprint == together.fingerprint


def test_another_number_of_environments_is_another_collection(together, agent):
    with pytest.raises(ConfigError, match=r"config differs.*choose another --out"):
        collect(together.path, 9, agent, 2)


def test_a_snapshot_is_kept_after_the_round_that_passes_its_trajectory(tmp_path):
    out = tmp_path / "long"
    collect(out, 12, environments=4)
    assert [p.name for p in (agent_folder(out) / "snapshots").iterdir()] == ["00012"]


LEARN_FROM_PIXELS = """
import sys
from pathlib import Path
from lawm_data import open_corpus
from lawm_models.collection.collector import collect_learning
from small_agents import CONFIG
out, *sizes = sys.argv[1:]
for size in sizes:
    collect_learning(
        "dreamer", "cartpole-swingup", Path(out), int(size), 0, 100, CONFIG, processes=1,
        pixels=16, observe="pixels",
    )
print(open_corpus(out).fingerprint)
"""


@pytest.mark.slow
def test_an_agent_learns_from_what_it_sees(egl, tmp_path):
    """Its world model's convolutions change; in pieces it is the collection in one go."""
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    prints = []
    for name, sizes in (("whole", ["4"]), ("pieces", ["3", "4"])):
        command = [sys.executable, "-c", LEARN_FROM_PIXELS, str(tmp_path / name), *sizes]
        done = subprocess.run(
            command, capture_output=True, text=True, env={**egl, "PYTHONPATH": path}
        )
        assert done.returncode == 0, done.stderr
        prints.append(done.stdout)
    assert prints[0] == prints[1]
    folder = AgentFolder.read(agent_folder(tmp_path / "whole"))
    assert [spec.name for spec in folder.record.state] == ["pixels"]
    trained, fresh = build_agent(folder.record)[0], build_agent(folder.record)[0]
    folder.load(trained)
    one, other = (dict(agent.world.encoder.named_parameters()) for agent in (trained, fresh))
    moved = [name for name in one if "convolutions" in name]
    assert moved
    assert not any(torch.equal(one[name], other[name]) for name in moved)
    images = open_corpus(tmp_path / "whole")[0].observations["pixels"]
    assert np.isfinite(load_policy(folder.path).act({"pixels": images[0]})).all()


@pytest.mark.parametrize(
    ("observe", "line"),
    [
        ("pixels", "--observe pixels: no pixels are drawn; give --pixels 64, too"),
        ("features:ae", "--observe: is 'features:ae'; give state, pixels or pixels.state"),
    ],
)
def test_what_an_agent_cannot_observe_is_refused(tmp_path, observe, line):
    with pytest.raises(ConfigError, match=line):
        collect(tmp_path / "corpus", 2, observe=observe)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["dreamer", "plan2explore"])
def test_where_episodes_end_the_agent_foresees_it(kind, tmp_path):
    """And one that an earlier version began without goes on without."""
    pytest.importorskip("mujoco")
    task, config, metrics = "gym:InvertedPendulum-v5", CONFIGS[kind], []

    def collect(out, trajectories):
        on_round = lambda *seen: metrics.append(seen[2])  # noqa: E731
        collect_learning(kind, task, out, trajectories, 0, 1, config, on_round, processes=1)
        return AgentFolder.read(agent_folder(out))

    folder = collect(tmp_path / "new", 4)
    assert open_corpus(tmp_path / "new").table.terminated.all()
    assert folder.record.terminates
    assert {"continuation", "dreamed_continuation"} <= metrics[-1].keys()

    old = tmp_path / "old"
    AgentFolder.open(agent_folder(old), folder.record.model_copy(update={"terminates": False}))
    metrics.clear()
    assert not collect(old, 4).record.terminates
    assert "continuation" not in metrics[-1]


@pytest.mark.parametrize("kind", ["dreamer", "plan2explore"])
@pytest.mark.parametrize("space", ["discrete", "several", "matrix", "double"])
def test_an_agent_learns_from_actions_of_any_shape(kind, space, tmp_path, monkeypatch):
    gymnasium = pytest.importorskip("gymnasium")
    made = {
        "discrete": gymnasium.spaces.Discrete(3, start=-1),
        "several": gymnasium.spaces.MultiDiscrete([2, 4]),
        "matrix": gymnasium.spaces.Box(-1, 1, (2, 2)),
        "double": gymnasium.spaces.Box(-0.1, 0.1, (2,), np.float64),
    }

    class Sum(gymnasium.Env):
        """Adds up actions of one space, and takes no others."""

        observation_space = gymnasium.spaces.Box(-99, 99, (2, 2))
        action_space = made[space]

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.x = self.np_random.uniform(-1, 1, (2, 2)).astype(np.float32)
            return self.x.copy(), {}

        def step(self, action):
            assert self.action_space.contains(action)
            self.x += np.float32(np.sum(action))
            return self.x.copy(), float(np.sum(action)), False, False, {}

    # shorter than a window, and longer
    for limit in (5, 12):
        spec = gymnasium.envs.registration.EnvSpec("Sum-v0", Sum, max_episode_steps=limit)
        monkeypatch.setitem(gymnasium.registry, "Sum-v0", spec)
        out = tmp_path / f"corpus-{limit}"
        collect_learning(kind, "gym:Sum-v0", out, 4, 0, 1, CONFIGS[kind], processes=1)
        assert open_corpus(out).table.length.tolist() == [limit] * 4
        assert AgentFolder.read(agent_folder(out)).rounds == 4
