"""Rows of ``lawm plan``: repeated from themselves, on trajectories that nobody has trained on."""

import json
import shutil
from pathlib import Path

import pytest
from lawm_schemas import ConfigError
from small_agents import RECORD

from lawm_data import open_corpus
from lawm_models import configure, train
from lawm_models.collection.agent_folder import AgentFolder
from lawm_models.collection.collector import build_agent
from lawm_models.collection.reaching import reach_again, reach_goals

SMALL = {"samples": 20, "elites": 4, "iterations": 2}


@pytest.fixture(scope="module")
def acwm(made: Path) -> Path:
    """A short training."""
    settings = {
        "steps.model": 3,
        "batch_size": 4,
        "algorithm.settings.model": {"units": 8, "layers": 1},
    }
    config = configure(
        f"{made}/corpus@third", algorithm="acwm", preset="demo", seed=0, settings=settings
    )
    return train(config, made / "acwm", progress=False).path


@pytest.mark.parametrize("planner", ["cem", "icem", "mppi"])
def test_a_row_repeats_itself(acwm: Path, planner: str, tmp_path: Path) -> None:
    settings = SMALL if planner != "mppi" else {"samples": 20}
    row = reach_goals(
        acwm, goals=4, horizon=3, closed_loop=True, planner=planner, settings=settings, seed=5
    )
    (tmp_path / "row.json").write_text(json.dumps(row))
    again = reach_again(tmp_path / "row.json")
    assert again["again"]["largest_difference"] == 0
    changing = {"seconds", "again"}
    assert {k: v for k, v in row.items() if k not in changing} == {
        k: v for k, v in again.items() if k not in changing
    }


def test_a_row_of_another_run_or_corpus_is_not_repeated(acwm: Path, tmp_path: Path) -> None:
    row = reach_goals(acwm, goals=2, horizon=3, settings=SMALL)
    for key, match in (("weights", "was trained on since"), ("fingerprint", "has changed since")):
        (tmp_path / "row.json").write_text(json.dumps({**row, key: "0" * 64}))
        with pytest.raises(ConfigError, match=match):
            reach_again(tmp_path / "row.json")
    (tmp_path / "row.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"row\.json"):
        reach_again(tmp_path / "row.json")


def test_goals_are_held_out_where_some_are(run, acwm: Path, made: Path, tmp_path: Path) -> None:
    assert reach_goals(acwm, goals=2, horizon=3, settings=SMALL)["held_out"] is False
    shutil.copytree(made / "corpus", tmp_path / "more")
    words = "collect --env cartpole-swingup --trajectories 2 --action-repeat 40 --seed 7 --append"
    assert run("lawm-data", *words.split(), "--out", tmp_path / "more").code == 0
    row = reach_goals(acwm, tmp_path / "more", goals=8, horizon=3, settings=SMALL)
    assert row["held_out"] is True
    seen = set(open_corpus(made / "corpus").table.id.tolist())
    assert not seen & {one["trajectory"] for one in row["each"]}
    assert row["closed_against_random"] == pytest.approx(
        1 - row["distance"]["plan"]["mean"] / row["distance"]["random"]["mean"]
    )


def test_an_agent_that_collects_plans_too(made: Path, tmp_path: Path) -> None:
    folder = AgentFolder.open(tmp_path / "c.agent", RECORD)
    folder.save(build_agent(RECORD)[0], 12, {})
    row = reach_goals(folder.path, made / "corpus", goals=2, horizon=2, settings=SMALL)
    assert (row["algorithm"], row["planner"]["space"], row["held_out"]) == (
        "dreamer",
        "actions",
        None,
    )


def test_what_plans_nothing_is_refused(acwm: Path, made: Path) -> None:
    with pytest.raises(ConfigError, match="bc learns no world model to plan in"):
        reach_goals(made / "run")
    with pytest.raises(ConfigError, match="is that of the goals here; give --horizon"):
        reach_goals(acwm, settings={"horizon": 3})
