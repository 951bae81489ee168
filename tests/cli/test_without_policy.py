"""An algorithm that learns neither from actions nor how to act: trained, and refused elsewhere."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from lawm_schemas import Provenance
from lawm_schemas.plain_yaml import dump_yaml

from lawm_data import CorpusWriter, open_corpus
from lawm_models.training.run_folder import RunFolder

SOURCE = Path(__file__).with_name("filmed.py")
SETTINGS = {"batch_size": 4, "window": 5, "log_every": 5, "checkpoint_every": 10}


@pytest.fixture(autouse=True)
def filmed(install: Callable[..., Path]) -> None:
    """The package that brings it."""
    files = {"lab/__init__.py": "", "lab/filmed.py": SOURCE.read_text(encoding="utf-8")}
    install("lab 1.0", files, {"lawm.algorithms": {"filmed": "lab.filmed"}})


@pytest.fixture
def unlabeled(corpus: Path, tmp_path: Path) -> Path:
    """The corpus without a single action or reward, in a simulator that is known."""
    source, path = open_corpus(corpus), tmp_path / "unlabeled"
    manifest = source.manifest
    with CorpusWriter.create(
        path,
        observations=manifest.state,
        action=manifest.action,
        environment=manifest.environment,
    ) as writer:
        for trajectory in source:
            writer.add(
                trajectory.arrays(manifest.state),
                rewards=0 * trajectory.rewards,
                actions=None,
                provenance=Provenance(source="film"),
                metadata={"rewards": "none"},
            )
    return path


@pytest.fixture
def train(run, unlabeled: Path, tmp_path: Path) -> Callable[..., RunFolder]:
    """Trains it, with episodes to evaluate a policy in, if there were one."""

    def call(name: str = "run", **settings: object) -> RunFolder:
        words = [f"--set={key}={value}" for key, value in {**SETTINGS, **settings}.items()]
        out, data = tmp_path / name, ("--corpus", unlabeled, "--preset", "demo")
        result = run(
            "lawm", "train", *data, "--algorithm", "filmed", *words, "--out", out, "--json"
        )
        assert result.code == 0, result.err
        assert result.json["evaluation"] is None
        return RunFolder.open(out)

    return call


def test_it_is_trained_and_finished_without_an_evaluation(train) -> None:
    trained = train()
    assert trained.config.evaluation_episodes == 10
    assert trained.record.environment is not None
    losses = [line["loss"] for line in trained.metrics()]
    assert losses[-1] < losses[0]
    assert trained.is_finished()
    before = trained.metrics_path.read_bytes()
    assert train().metrics_path.read_bytes() == before


def test_the_encoder_is_chosen_by_its_settings(train) -> None:
    raw, standard = (
        train(scale, **{"algorithm.settings.encoder.scale": scale}) for scale in ("raw", "standard")
    )
    assert raw.metrics()[-1]["loss"] != standard.metrics()[-1]["loss"]
    assert (standard.algorithm().encoder.normalizer.std != 1).all()


def test_every_command_that_needs_a_policy_says_so_in_one_line(
    run, train, unlabeled: Path, corpus: Path, tmp_path: Path
) -> None:
    path = train().path
    study = {
        "preset": "demo",
        "corpora": {"cs": {"path": str(corpus)}},
        "algorithms": {"filmed": {}},
        "labels": ["all"],
    }
    (tmp_path / "study.yaml").write_text(dump_yaml(study))
    collect = ("collect", "--env", "cartpole-swingup", "--agent", path, "--trajectories", 1)
    for program, words, line in (
        ("lawm", ("evaluate", path), f"{path}: filmed learns no policy; give a run of an"),
        ("lawm-data", (*collect, "--out", tmp_path / "new"), "filmed learns no policy"),
        (
            "lawm",
            ("benchmark", tmp_path / "study.yaml", "--out", tmp_path / "new"),
            "algorithms.filmed: filmed learns no policy, and returns are compared here",
        ),
        (
            "lawm",
            ("relabel", path, "--corpus", unlabeled, "--name", "x"),
            "algorithm.name: infers no actions; relabel with a run of another algorithm",
        ),
    ):
        result = run(program, *words)
        assert (result.code, result.out, result.err.count("\n")) == (2, "", 1), result.err
        assert line in result.err
    assert not (tmp_path / "new").exists()
    assert not (unlabeled / "labels").exists()


def test_the_audit_expects_no_difference_by_actions(run, train, corpus: Path, tmp_path) -> None:
    """Other observed actions change the weights of everything else; of this they need not."""
    words = [f"--set={key}={value}" for key, value in SETTINGS.items()]
    data = ("--corpus", f"{corpus}@third", "--preset", "demo", "--algorithm", "filmed")
    assert run("lawm", "train", *data, *words, "--out", tmp_path / "labeled").code == 0
    result = run("lawm", "audit", tmp_path / "labeled", "--steps", 2, "--json")
    assert (result.code, result.json["passed"]) == (0, True), json.dumps(result.json["checks"])
    (check,) = (c for c in result.json["checks"] if c["name"] == "other observed actions")
    assert check["what"] == "the same weights after 2 gradient steps, which need no action"


def test_those_that_need_labels_are_told_that_there_are_none(run, unlabeled, tmp_path) -> None:
    words = ("--corpus", unlabeled, "--preset", "demo", "--algorithm", "bc", "TINY")
    result = run("lawm", "train", *words, "--out", tmp_path / "bc")
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert "not a single trajectory has readable actions" in result.err
