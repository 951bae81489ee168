"""A study from Python; what the command does with it is in tests/cli/test_benchmark.py."""

from pathlib import Path

import pytest
from lawm_schemas import ConfigError, Results, Study

from lawm_data import open_corpus
from lawm_models.runs.run import load_run
from lawm_models.studies.benchmark import benchmark


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Two small runs on a corpus of CartPole."""
    from lawm_schemas import Provenance

    from lawm_data import CorpusWriter
    from lawm_data.envs import suites as envs
    from lawm_data.envs.policy import RandomPolicy
    from lawm_data.envs.rollout import rollout

    made = envs.make("gym:CartPole-v1", num_envs=4, action_repeat=1)
    with CorpusWriter.create(
        tmp_path / "corpus",
        observations=made.observations,
        action=made.action,
        environment=made.info,
    ) as writer:
        for recorded in rollout(made, RandomPolicy(made.action), range(4)):
            writer.add(**recorded, provenance=Provenance(source="random"))
    data = {
        "preset": "small",
        "corpora": {"pole": {"path": str(tmp_path / "corpus")}},
        "algorithms": {"bc": {"settings": {"steps.agent": 2, "evaluation_episodes": 1}}},
        "labels": [0.5, "all"],
    }
    return Study.parse(data, "study")


def test_a_study_is_run_once(study: Study, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert {cell.state for cell in benchmark(study, out, dry_run=True).cells} == {"open"}
    assert not out.exists()
    first = benchmark(study, out, only=["*-all-*"], workers=1)
    assert [cell.state for cell in first.cells] == ["done"]
    every = benchmark(study, str(out), workers=1)
    assert [cell.state for cell in every.cells] == ["done", "done"]
    assert first.cells[0] in every.cells
    assert every == Results.read_json(out / "results.json") == benchmark(study, out, dry_run=True)
    for cell in every.cells:
        run = load_run(out / cell.run)
        assert (run.state, run.evaluation) == ("done", cell.evaluation)
    assert set(open_corpus(tmp_path / "corpus").masks()) == {every.cells[0].mask}


def test_a_wrong_study_is_told_before_anything_runs(study: Study, tmp_path: Path) -> None:
    wrong = study.model_copy(update={"algorithms": {"bb": study.algorithms["bc"]}})
    with pytest.raises(ConfigError, match=r"out: algorithms\.bb"):
        benchmark(wrong, tmp_path / "out")
    with pytest.raises(ConfigError, match="no run of the study has such a name"):
        benchmark(study, tmp_path / "out", only=["*/lawm-*"])
    assert not (tmp_path / "out").exists()
