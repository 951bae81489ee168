"""Planners on the command line: evaluated, collected with, and sent to goals."""

from pathlib import Path

import pytest
from lawm_schemas import ConfigError

from lawm_data import open_corpus
from lawm_models import configure, load_run, train

QUICK = ("--set", "samples=8", "--set", "elites=2", "--set", "iterations=1")
TINY = {
    "algorithm.settings.model.rssm": {"deter": 8, "stoch": 4, "hidden": 8},
    "algorithm.settings.model.embed": 8,
    "algorithm.settings.model.units": 8,
    "algorithm.settings.model.latent_action": {"units": 8},
    "algorithm.settings.agent.units": 8,
    "steps.model": 3,
    "steps.agent": 3,
    "batch_size": 4,
    "window": 5,
    "evaluation_episodes": 0,
}


@pytest.fixture(scope="module")
def lawm(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny world model with a policy and values."""
    config = configure(f"{made}/corpus@third", preset="demo", settings=TINY)
    return train(config, tmp_path_factory.mktemp("planned") / "lawm", progress=False).path


def test_a_planner_is_evaluated_like_a_policy(require_documented, run, lawm: Path) -> None:
    words = ("evaluate", lawm, "--episodes", 2, "--planner", "cem", "--set", "horizon=2", *QUICK)
    found = run("lawm", *words, "--json").json
    require_documented("lawm evaluate", found)
    assert found["planner"] == {
        "name": "cem",
        "horizon": 2,
        "space": "latents",
        "value": True,
        "samples": 8,
        "iterations": 1,
        "std": 1.0,
        "elites": 2,
    }
    assert run("lawm", *words, "--json").json == found
    learned = run("lawm", "evaluate", lawm, "--episodes", 2, "--json").json
    assert learned["planner"] is None
    assert learned["returns"] != found["returns"]
    assert "cem: horizon 2" in run("lawm", *words).out


def test_a_corpus_says_what_planned_it(run, lawm: Path, tmp_path: Path) -> None:
    words = ("collect", "--env", "cartpole-swingup", "--agent", lawm, "--trajectories", 2)
    words = (*words, "--planner", "mppi", "--set", "samples=8", "--set", "horizon=2")
    assert run("lawm-data", *words, "--out", tmp_path / "c").code == 0
    (entry,) = open_corpus(tmp_path / "c").manifest.provenance
    assert entry.source == "lawm+mppi"
    assert entry.settings["planner"]["name"] == "mppi"
    assert entry.settings["planner"]["horizon"] == 2
    whole = open_corpus(tmp_path / "c")
    out = tmp_path / "by-workers"
    assert run("lawm-data", *words, "--workers", 1, "--out", out).code == 0
    assert open_corpus(out).fingerprint == whole.fingerprint


def test_goals_are_planned_for(require_documented, run, lawm: Path, tmp_path: Path) -> None:
    words = ("plan", lawm, "--goals", 3, "--horizon", 2, "--closed-loop", *QUICK)
    printed = run("lawm", *words, "--json")
    require_documented("lawm plan", printed.json)
    assert "the run was trained on these trajectories" in printed.err
    (tmp_path / "row.json").write_text(printed.out)
    again = run("lawm", "plan", "--again", tmp_path / "row.json", "--json").json
    require_documented("lawm plan", again)
    assert again["each"] == printed.json["each"]
    assert "3 goals 2 steps ahead, cem in latents, closed loop" in run("lawm", *words).out


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("plan", "{lawm}", "--goals", 0), "goals: 0 is below 1"),
        (("plan", "{lawm}", "--horizon", 26), "26 steps are more than any trajectory has"),
        (("plan", "{lawm}", "--planner", "cme"), "no planner 'cme'; nearest: cem"),
        (("plan", "{lawm}", "--set", "horizon=3"), "give --horizon"),
        (("plan", "{lawm}", "--set", "space=blind_controller"), "known ones: latents, actions"),
        (("plan", "{lawm}", "--film", "{out}.txt"), "unknown video format"),
        (("plan", "{lawm}", "--again", "{out}.json"), "RUN: does not go with --again"),
        (("plan",), "give a run, or --again FILE"),
        (("plan", "{bc}"), "bc learns no world model to plan in"),
        (("evaluate", "{bc}", "--planner", "cem"), "bc learns no world model to plan in"),
        (("evaluate", "{lawm}", "--set", "horizon=3"), "settings: goes with a planner"),
        (("evaluate", "{lawm}", "--planner", "cem", "--set", "elites=999"), "give 128 at most"),
    ],
)
def test_mistakes_are_one_line(
    run, lawm: Path, made: Path, tmp_path: Path, words: tuple, match: str
) -> None:
    places = {"lawm": lawm, "bc": made / "run", "out": tmp_path / "out"}
    result = run("lawm", *(str(word).format(**places) for word in words))
    assert result.code == 2
    assert match in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("--agent", "random", "--planner", "cem"), "--planner: does not go with --agent random"),
        (("--agent", "dreamer", "--planner", "cem"), "--planner: does not go with --agent dreamer"),
        (("--agent", "{lawm}", "--planner", "cem", "--noise"), "--noise: does not go with --plan"),
        (("--agent", "{lawm}", "--set", "horizon=2"), "--set: goes with --planner"),
    ],
)
def test_mistakes_in_collecting_are_one_line(
    run, lawm: Path, tmp_path: Path, words: tuple, match: str
) -> None:
    given = ("collect", "--env", "cartpole-swingup", "--out", tmp_path / "c")
    result = run("lawm-data", *given, *(word.format(lawm=lawm) for word in words))
    assert result.code == 2
    assert match in result.err
    assert not list(tmp_path.iterdir())


def test_a_planning_policy_is_a_policy_that_no_program_can_be(lawm: Path, tmp_path: Path) -> None:
    policy = load_run(lawm).policy(planner="cem", settings={"horizon": 2, "samples": 20})
    assert repr(policy).endswith("action float32[1], by cem)")
    observed = {"position": [[0.0, 1, 0], [0.1, 1, 0]], "velocity": [[0.0, 0], [0, 1]]}
    first = policy.act(observed)
    policy.reset()
    assert (policy.act(observed) == first).all()
    policy.reset(seed=1)
    assert (policy.act(observed) != first).any()
    with pytest.raises(ConfigError, match="searches by chance"):
        policy.export(tmp_path / "policy.pt2")
    goal = {name: rows[0] for name, rows in observed.items()}
    towards = load_run(lawm).policy(planner="icem", goal=goal, settings={"samples": 20})
    assert towards.act(observed).shape == (2, 1)
    with pytest.raises(ConfigError, match="goal: is a batch of observations"):
        load_run(lawm).policy(planner="icem", goal=observed)
    with pytest.raises(ConfigError, match="goal: goes with a planner"):
        load_run(lawm).policy(goal=goal)


def test_policies_are_ranked_in_world_models(
    require_documented, run, made: Path, lawm: Path, tmp_path: Path
) -> None:
    settings = {**TINY, "seed": 1}
    config = configure(f"{made}/corpus@third", preset="demo", settings=settings)
    other = train(config, tmp_path / "other", progress=False).path
    words = ("rank", lawm, other, "--starts", 2, "--steps", 3)
    printed = run("lawm", *words, "--json")
    require_documented("lawm rank", printed.json)
    table = run("lawm", *words).out.splitlines()
    assert table[0] == "returns of 2 episodes of 3 steps in 2 world models"
    assert [row.split()[0] for row in table[2:4]] == [r["run"] for r in printed.json["policies"]]
    refused = run("lawm", "rank", made / "run", "--model", made / "run")
    assert refused.code == 2
