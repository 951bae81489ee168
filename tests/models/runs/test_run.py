"""A run in Python: trained, loaded, asked, and acting in a loop of one's own."""

import os
import subprocess
import sys
import time
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from lawm_schemas import ConfigError, Provenance

from lawm_data import CorpusWriter, open_corpus
from lawm_data.envs import suites as envs
from lawm_data.envs.policy import RandomPolicy
from lawm_data.envs.rollout import rollout
from lawm_models.collection.trained_policy import load_policy
from lawm_models.runs.run import Run, load_run, train


@pytest.fixture(scope="module")
def run(experiment, tmp_path_factory) -> Run:
    return train(experiment("lawm"), tmp_path_factory.mktemp("runs") / "run", progress=False)


def test_a_loaded_run_is_the_trained_one(run: Run) -> None:
    again = load_run(str(run.path))
    assert repr(again) == repr(run)
    assert (again.config, again.record, again.metrics) == (run.config, run.record, run.metrics)
    with pytest.raises(ConfigError, match="not a run folder"):
        load_run(run.path.parent)


def test_training_shows_how_far_it_is(experiment, tmp_path, capsys) -> None:
    train(experiment("bc"), tmp_path / "seen")
    assert "agent: 12 of 12" in capsys.readouterr().err
    train(experiment("bc"), tmp_path / "silent", progress=False)
    assert capsys.readouterr().err == ""


def test_metrics_are_rows_and_a_table(run: Run) -> None:
    table = run.metrics.to_pandas()
    assert list(table.columns) == run.metrics.columns
    assert table.to_dict("records")[0].items() >= run.metrics[0].items()
    steps, losses = run.metrics.series("model", "loss")
    there = table[table.stage == "model"]
    assert (there.step.tolist(), there.loss.tolist()) == (steps, losses)
    assert table[table.stage == "agent"].loss.isna().all()
    assert repr(run.metrics) == f"Metrics({len(table)} rows: {', '.join(table.columns)})"


def test_it_says_what_it_is(run: Run, monkeypatch) -> None:
    monkeypatch.chdir(run.path.parent)
    shown = repr(load_run("run"))
    assert shown.startswith("Run(run: lawm on ")
    assert "@half (3 of 6 labeled), seed 0, 12 model, 12 agent steps, done)" in shown
    page = run._repr_html_()
    assert all(f">{name}</td>" in page for name in run.facts())


def test_state_is_that_of_its_trainer(experiment, tmp_path: Path) -> None:
    """Done, or running in another process, or stopped when that was killed."""
    config = experiment("bc", steps={"agent": 10**7})
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml())
    code = (
        "import sys; from lawm_schemas import ExperimentConfig; from pathlib import Path;"
        "from lawm_models.runs.run import train;"
        "train(ExperimentConfig.read_yaml(Path(sys.argv[1])), sys.argv[2])"
    )
    out = tmp_path / "run"
    command = [sys.executable, "-c", code, str(path), str(out)]
    trainer = subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ})
    try:
        while not list(out.glob("checkpoints/step_*")):
            assert trainer.poll() is None
            time.sleep(0.02)
        assert load_run(out).state == "running"
    finally:
        trainer.kill()
        trainer.wait()
    assert load_run(out).state == "stopped"


def test_relabels_a_corpus_or_its_folder(run: Run, make_corpus, tmp_path) -> None:
    corpus = open_corpus(make_corpus(tmp_path / "corpus"))
    found = run.relabel(corpus.with_mask("half"), name="one")
    again = run.relabel(corpus.path, name="two")
    assert {**found, "name": "", "path": ""} == {**again, "name": "", "path": ""}
    labeled = open_corpus(corpus.path).with_mask("half").with_labels("one")
    assert labeled.label_counts()["inferred"] == found["trajectories"] == 3
    with pytest.raises(ConfigError, match="is a part of a corpus"):
        run.relabel(corpus.filter(corpus.table.id[:3]), name="three")


def test_audit_passes(run: Run) -> None:
    found = run.audit(steps=2)
    assert found["passed"]
    assert all(check["passed"] for check in found["checks"])


def test_plot_has_a_panel_for_each_metric(written: Path) -> None:
    run = load_run(written / "whole")
    figure = run.plot()
    shown = {axes.get_title(loc="left") for axes in figure.axes if axes.axison}
    metrics = {f"{row['stage']}: {name}" for row in run.metrics for name in row}
    kept = {name.replace("_", " ") for name in metrics if name.split()[1] not in WITHOUT}
    assert shown == kept | {"agent: return in the environment"}
    assert load_run(written / "half").plot().axes


WITHOUT = ("stage", "step", "elapsed", "return_mean", "return_std")


def test_a_loop_of_ones_own_gets_what_evaluation_gets(written: Path) -> None:
    run, env = load_run(written / "whole"), gymnasium.make("Pendulum-v1")
    policy = run.policy()
    for seed in (3, 4):
        policy.reset()
        observation, _ = env.reset(seed=seed)
        total = 0.0
        for _ in range(env.spec.max_episode_steps):
            action = policy.act({"observation": observation})
            assert env.action_space.contains(action)
            observation, reward, *_ = env.step(action)
            total += reward
        assert run.evaluate(1, seed=seed).returns[0] == pytest.approx(total, rel=1e-5)


def test_corpus_is_not_needed_to_act(written: Path) -> None:
    observation = np.ones(3)
    before = load_policy(written / "whole").act(observation)
    (written / "corpus").rename(written / "gone")
    assert load_run(written / "whole").policy().act(observation) == before


def test_discrete_actions_are_ints(experiment, tmp_path) -> None:
    made = envs.make("gym:CartPole-v1", num_envs=2, action_repeat=1)
    with CorpusWriter.create(
        tmp_path / "corpus",
        observations=made.observations,
        action=made.action,
        environment=made.info,
    ) as writer:
        for recorded in rollout(made, RandomPolicy(made.action), (0, 1)):
            writer.add(**recorded, provenance=Provenance(source="random"))
    config = experiment("bc", corpora=[{"path": str(tmp_path / "corpus")}], evaluation_episodes=1)
    run = train(config, tmp_path / "run", progress=False)
    policy, env = run.policy(), gymnasium.make("CartPole-v1")
    observation, _ = env.reset(seed=run.evaluation.seed)
    terminated = truncated = False
    total = 0.0
    while not (terminated or truncated):
        observation, reward, terminated, truncated, _ = env.step(policy.act(observation))
        total += reward
    assert run.evaluation.returns == (total,)


@pytest.mark.parametrize("name", ["gym:Pendulum-v1", "gym:CartPole-v1", "gym:Nowhere-v0"])
def test_evaluates_where_it_is_told(written: Path, name: str) -> None:
    run = load_run(written / "whole")
    if name == "gym:Pendulum-v1":
        found = run.evaluate(2, env=name)
        assert found == run.evaluate(2)
        return
    with pytest.raises(ConfigError, match=r"it observes observation|is not registered"):
        run.evaluate(2, env=name)
