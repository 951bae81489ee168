"""A study from Python; what the command does with it is in tests/cli/test_benchmark.py."""

import shlex
import shutil
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
        assert cell.cpu_seconds
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


@pytest.fixture
def relabeling(made: Path, tmp_path: Path) -> Study:
    """LAWM, and behaviour cloning with and without what it infers, on a corpus of its own."""
    shutil.copytree(made / "corpus", tmp_path / "cs")
    few = {"window": 8, "batch_size": 4, "evaluation_episodes": 1}
    bc = {"algorithm": "bc", "settings": {"steps.agent": 4, **few}}
    lawm = {"steps.model": 2, "steps.agent": 1, **few}
    data = {
        "preset": "demo",
        "corpora": {"cs": {"path": str(tmp_path / "cs")}},
        "algorithms": {
            "told": {**bc, "relabeled_by": "lawm"},
            "lawm": {"settings": lawm},
            "bc": bc,
        },
        "labels": [0.34],
    }
    return Study.parse(data, "study")


def test_inferred_actions_are_learned_from(
    relabeling: Study, run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, out = tmp_path / "cs", tmp_path / "out"
    # one of them brings the run that it needs, and no other
    (first,) = benchmark(relabeling, out, only=["*/told-*"], workers=1).cells
    assert (first.algorithm, first.state) == ("told", "done")
    every = benchmark(relabeling, out, workers=1)
    cells = {cell.algorithm: cell for cell in every.cells}
    assert {cell.state for cell in cells.values()} == {"done"}
    assert cells["told"] == first
    (saw,), (plain,) = (load_run(out / cells[a].run).record.corpora for a in ("told", "bc"))
    assert (saw.labels, saw.inferred, saw.labeled) == (first.inferred, 4, 2)
    assert (plain.labels, plain.inferred, plain.labeled) == (None, 0, 2)
    assert first.evaluation != cells["bc"].evaluation

    monkeypatch.chdir(out)
    relabel, train = (shlex.split(part)[1:] for part in first.command.split(" && "))
    relabel[-1] = train[train.index("--labels") + 1] = "again"
    train[-1] = str(tmp_path / "again")
    assert run("lawm", *relabel).code == run("lawm", *train).code == 0
    assert load_run(tmp_path / "again").evaluation == first.evaluation

    # a results file stands for the runs, and for what they were told
    shutil.rmtree(corpus / "labels")
    again = benchmark(relabeling, tmp_path / "other", known=[out / "results.json"])
    assert all(cell.state == "done" and cell.taken_from for cell in again.cells)
    assert not (corpus / "labels").exists()


@pytest.mark.slow  # processes of its own
def test_without_inferred_actions_nothing_is_learned_from_them(
    relabeling: Study, tmp_path: Path
) -> None:
    algorithms = dict(relabeling.algorithms)
    algorithms["lawm"] = algorithms["bc"].model_copy(update={"algorithm": "td3_bc"})
    study = relabeling.model_copy(update={"algorithms": algorithms})
    (told,) = benchmark(study, tmp_path / "out", only=["*/told-*"], workers=1).cells
    assert (told.state, told.cpu_seconds) == ("failed", 0)
    assert "infers no actions" in str(told.error)
