"""A study from Python; what the command does with it is in tests/cli/test_benchmark.py."""

import shlex
import shutil
from pathlib import Path

import pytest
from lawm_schemas import ConfigError, Results, Study
from lawm_schemas.study import StudyAlgorithm

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
    lawm = {"steps.model": 2, "steps.agent": 1, **few}
    bc = {"algorithm": "bc", "settings": {"steps.agent": 4, **few}}
    data = {
        "preset": "demo",
        "corpora": {"cs": {"path": str(tmp_path / "cs")}},
        "algorithms": {
            "told": {**bc, "relabeled_by": "lawm"},
            "lawm": {"settings": lawm},
            "bc": bc,
        },
        "labels": [0.34],
        "seeds": [0, 1],
    }
    return Study.parse(data, "study")


def test_inferred_actions_are_learned_from(relabeling: Study, tmp_path: Path) -> None:
    out, corpus = tmp_path / "out", open_corpus(tmp_path / "cs")
    assert {cell.state for cell in benchmark(relabeling, out, dry_run=True).cells} == {"open"}
    # one of them brings the run that it needs, and no other
    first = benchmark(relabeling, out, only=["*/told-*-seed0"], workers=1)
    assert [(cell.algorithm, cell.state) for cell in first.cells] == [("told", "done")]
    every = {(cell.algorithm, cell.seed): cell for cell in benchmark(relabeling, out).cells}
    assert {cell.state for cell in every.values()} == {"done"}
    assert every["told", 0] == first.cells[0]
    for seed in (0, 1):
        told, plain, lawm = (load_run(out / every[a, seed].run) for a in ("told", "bc", "lawm"))
        (saw,), (plainly,) = told.record.corpora, plain.record.corpora
        assert saw.labels == every["told", seed].inferred
        assert (saw.inferred, plainly.inferred, saw.labeled) == (4, 0, 2)
        seen = corpus.with_mask(saw.mask).with_labels(saw.labels)
        assert (
            seen.overlay.model == lawm.record.weights if hasattr(lawm.record, "weights") else True
        )
        assert told.evaluation != plain.evaluation
    assert every["told", 0].inferred != every["told", 1].inferred


def test_commands_do_what_a_study_does(relabeling: Study, run, tmp_path: Path, monkeypatch) -> None:
    cells = benchmark(relabeling, tmp_path / "out", only=["*/told-*-seed1"]).cells
    monkeypatch.chdir(tmp_path / "out")
    relabel, train = (shlex.split(part)[1:] for part in cells[0].command.split(" && "))
    relabel[-1] = train[train.index("--labels") + 1] = "again"
    train[-1] = str(tmp_path / "again")
    assert run("lawm", *relabel).code == run("lawm", *train).code == 0
    assert load_run(tmp_path / "again").evaluation == cells[0].evaluation


def test_known_results_stand_for_runs_and_what_they_were_told(
    relabeling: Study, tmp_path: Path
) -> None:
    benchmark(relabeling, tmp_path / "out")
    known = [tmp_path / "out" / "results.json"]
    shutil.rmtree(tmp_path / "cs" / "labels")
    again = benchmark(relabeling, tmp_path / "other", known=known)
    assert {cell.state for cell in again.cells} == {"done"}
    assert not (tmp_path / "cs" / "labels").exists()
    assert all(cell.taken_from for cell in again.cells)


def test_without_the_run_that_infers_nothing_is_learned(relabeling: Study, tmp_path: Path) -> None:
    algorithms = dict(relabeling.algorithms)
    algorithms["lawm"] = StudyAlgorithm(algorithm="td3_bc", settings={"steps.agent": 2})
    study = relabeling.model_copy(update={"algorithms": algorithms, "seeds": (0,)})
    cells = {cell.algorithm: cell for cell in benchmark(study, tmp_path / "out").cells}
    assert {name: cell.state for name, cell in cells.items()} == {
        **dict.fromkeys(("lawm", "bc"), "done"),
        "told": "failed",
    }
    assert "infers no actions" in cells["told"].error
    assert cells["told"].cpu_seconds == 0
