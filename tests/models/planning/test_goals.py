"""Goals of recorded trajectories: where they are from, and that the simulator gets there."""

from pathlib import Path

import numpy as np
import pytest
import torch
from lawm_schemas import ConfigError, CorpusError

from lawm_data import open_corpus
from lawm_data.envs import suites as envs
from lawm_models.algorithms import ALGORITHMS
from lawm_models.algorithms._protocol import ModelSpec
from lawm_models.planning import goals
from lawm_models.planning.goals import choose_starts, reach_goals
from lawm_models.planning.planner import ModelPlanner

HORIZON = 4


@pytest.fixture(scope="module")
def corpus(made: Path):
    """Six trajectories of 25 steps of cartpole-swingup."""
    return open_corpus(made / "corpus")


@pytest.fixture(scope="module")
def planner(corpus) -> ModelPlanner:
    """In a model that has learned nothing; what it does is only to be the same twice."""
    return made_planner(corpus)


def made_planner(corpus, **model) -> ModelPlanner:
    module = ALGORITHMS.load("acwm")
    torch.manual_seed(0)
    spec = ModelSpec(corpus.manifest.state, corpus.manifest.action)
    algorithm = module.Algorithm(module.Config(model={"units": 8, "layers": 1, **model}), spec)
    algorithm.prepare([corpus])
    settings = {"horizon": HORIZON, "samples": 20, "elites": 4, "iterations": 2}
    return ModelPlanner(algorithm.planning_model(), "cem", settings, goals=True)


def reach(planner, corpus, **options):
    given = {"goals": 5, "horizon": HORIZON, **options}
    return reach_goals(planner, corpus.manifest.state, corpus, **given)


def test_starts_are_drawn_from_all_before_any_twice(corpus) -> None:
    starts = choose_starts(corpus, 14, 3, seed=0)
    places = [start.place for start in starts]
    assert sorted(places[:6]) == sorted(places[6:12]) == list(range(6))
    assert all(corpus.table.id[start.place] == start.trajectory for start in starts)
    assert all(0 <= start.step <= 25 - 3 for start in starts)
    assert starts == choose_starts(corpus, 14, 3, seed=0)
    assert starts != choose_starts(corpus, 14, 3, seed=1)
    assert {start.step for start in choose_starts(corpus, 40, 24, seed=0)} == {0, 1}


@pytest.mark.parametrize(
    ("goal_count", "horizon", "match"),
    [
        (0, 3, "goals: 0 is below 1"),
        (5, 0, "horizon: 0 is below 1"),
        (5, 26, "26 steps are more than any trajectory has; give 25 at most"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(corpus, goal_count, horizon, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        choose_starts(corpus, goal_count, horizon, seed=0)


def test_recorded_actions_lead_from_every_start_to_its_goal(corpus) -> None:
    info, starts = corpus.manifest.environment, choose_starts(corpus, 7, HORIZON, seed=3)
    simulator = envs.make(info.task, num_envs=7, action_repeat=info.action_repeat)
    scene = goals._Scene(simulator, corpus, starts, HORIZON, corpus.manifest.state)
    recorded = np.stack([corpus[s.place].actions[s.step : s.step + HORIZON] for s in starts])
    reached = scene.act_out(goals._decided(recorded))
    for spec in corpus.manifest.state:
        np.testing.assert_allclose(reached[spec.name], scene.goals[spec.name], atol=1e-5)
        first = [corpus[s.place].observations[spec.name][s.step] for s in starts]
        np.testing.assert_array_equal(scene.observed[spec.name], first)


def test_distances_are_in_standard_deviations_and_nothing_depends_on_the_batch(
    corpus, planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = reach(planner, corpus)
    states = np.concatenate([t.observations.state for t in corpus]).astype(np.float64)
    unit = states.std(0) + 1e-3
    for start, distance in zip(found.starts, found.start, strict=True):
        rows = corpus[start.place].observations.state[[start.step, start.step + HORIZON]]
        assert distance == pytest.approx(np.sqrt(((np.diff(rows, axis=0) / unit) ** 2).mean()))
    again = reach(planner, corpus)
    np.testing.assert_array_equal(found[1:], again[1:])
    assert (found.plan != found.no_action).all()
    monkeypatch.setattr(goals, "AT_ONCE", 2)
    apart = reach(planner, corpus)
    assert apart.starts == found.starts
    np.testing.assert_allclose(apart.start, found.start)
    np.testing.assert_allclose(apart.no_action, found.no_action)


def test_a_closed_loop_begins_as_an_open_one_and_then_looks(corpus, planner) -> None:
    once = {"goals": 3, "horizon": 1}
    np.testing.assert_array_equal(
        reach(planner, corpus, **once).plan, reach(planner, corpus, closed_loop=True, **once).plan
    )
    longer = {"goals": 3, "horizon": 5}
    assert not np.array_equal(
        reach(planner, corpus, **longer).plan,
        reach(planner, corpus, closed_loop=True, **longer).plan,
    )


def test_a_model_of_several_observations_is_told_those_before_the_start(
    corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    planner = made_planner(corpus, context=3)
    model, began = planner.model, []

    def plan(state, *given):
        began.append(state)
        return ModelPlanner.plan(planner, state, *given)

    monkeypatch.setattr(planner, "plan", plan)
    found = reach(planner, corpus)
    rows = np.stack(
        [corpus[s.place].observations.state[s.step - 2 : s.step + 1] for s in found.starts]
    )
    targets = [model.target(torch.from_numpy(rows[:, k])) for k in range(3)]
    torch.testing.assert_close(began[0], torch.cat(targets, 1))
    assert {start.step for start in choose_starts(corpus, 40, 22, seed=0, before=2)} == {2, 3}
    with pytest.raises(ConfigError, match=r"24 steps are more than .*; give 23 at most"):
        reach(planner, corpus, horizon=24)


def test_without_recorded_physics_nothing_begins(run, planner, tmp_path: Path) -> None:
    words = "collect --env cartpole-swingup --trajectories 1 --action-repeat 40 --no-physics --out"
    assert run("lawm-data", *words.split(), tmp_path / "bare").code == 0
    with pytest.raises(CorpusError, match="has no states of the simulator"):
        reach(planner, open_corpus(tmp_path / "bare"))


@pytest.mark.parametrize(
    ("task", "match"),
    [
        ("pendulum-swingup", r"does not observe position\[3\]"),
        ("cartpole-two_poles", r"does not observe position\[3\]"),
    ],
)
def test_a_corpus_of_another_environment_is_refused(
    run, planner, corpus, tmp_path: Path, task: str, match: str
) -> None:
    words = f"collect --env {task} --trajectories 1 --action-repeat 100 --out {tmp_path}/other"
    assert run("lawm-data", *words.split()).code == 0
    with pytest.raises(CorpusError, match=match):
        reach_goals(planner, corpus.manifest.state, open_corpus(tmp_path / "other"), 2, HORIZON)
