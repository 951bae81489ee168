import json
import re
import shutil
from pathlib import Path

import pytest
from lawm_cli.app import app
from lawm_schemas import Manifest

from lawm_data import open_corpus

LAWM = (
    "steps={model: 2, agent: 2}",
    "algorithm.settings.model.rssm={deter: 4, stoch: 3, hidden: 5}",
    "algorithm.settings.model.embed=4",
    "algorithm.settings.model.units=4",
    "algorithm.settings.agent.units=4",
)


def settings(*pairs: str) -> list[str]:
    return [word for pair in pairs for word in ("--set", pair)]


@pytest.fixture
def train(corpus: Path, tmp_path: Path) -> tuple:
    """The words of a tiny training."""
    source = f"{corpus}@third"
    return ("train", "--corpus", source, "--algorithm", "bc", "--preset", "demo", "TINY", "--out")


@pytest.mark.parametrize("name", [c.name or c.callback.__name__ for c in app.registered_commands])
def test_every_command_has_help_with_an_example(run, name: str) -> None:
    result = run("lawm", name, "--help")
    assert result.code == 0
    assert f"lawm {name}" in result.out.partition("Example:")[2]
    assert max(map(len, result.out.splitlines())) <= 80
    assert "--json" in result.out


def test_train_says_what_it_left_behind(run, train: tuple, tmp_path: Path) -> None:
    out = tmp_path / "a"
    result = run("lawm", *train, out, "--json").json
    assert (result["run"], result["steps"], result["seed"]) == (str(out), {"agent": 3}, 0)
    assert [corpus["labeled"] for corpus in result["corpora"]] == [2]
    assert result["evaluation"] == json.loads((out / "evaluation.json").read_text())


def test_run_without_evaluation_says_so(run, train: tuple, corpus: Path, tmp_path: Path) -> None:
    words = (*train, tmp_path / "a", *settings("evaluation_episodes=0"))
    assert run("lawm", *words, "--json").json["evaluation"] is None
    printed = run("lawm", *words).out
    assert re.search("return +not evaluated: evaluation_episodes is 0", printed)
    manifest = corpus / "corpus.json"
    nameless = Manifest.read_json(manifest).model_copy(update={"environment": None})
    manifest.write_text(nameless.to_json())
    printed = run("lawm", *train, tmp_path / "b").out
    assert re.search(
        "return +not evaluated: the corpus names no environment; lawm evaluate", printed
    )
    refused = run("lawm", "evaluate", tmp_path / "b")
    assert (refused.code, "--env gym:ID" in refused.err) == (2, True)
    words = ("evaluate", tmp_path / "b", "--episodes", 1, "--json", "--action-repeat", 40)
    found = run("lawm", *words, "--env", "cartpole-swingup").json
    assert found["environment"] == "dm_control:cartpole-swingup"
    assert found["normalized"] == pytest.approx(found["return_mean"] / 10)
    refused = run("lawm", *words, "--env", "walker-walk")
    assert (refused.code, "it observes orientations" in refused.err) == (2, True)


def test_paths_below_the_current_folder_are_shown_as_they_are_written(
    run, train: tuple, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    printed = run("lawm", *train, "a").out
    assert re.search("^data +corpus@third: 2 of 6 labeled$", printed, re.MULTILINE)
    assert str(corpus) not in run("lawm", "audit", "a", "--steps", 1).out


def test_finished_run_returns_at_once_and_unchanged(run, train: tuple, tmp_path: Path) -> None:
    first = run("lawm", *train, tmp_path / "a", "--json").json
    metrics = (tmp_path / "a" / "metrics.jsonl").read_bytes()
    assert run("lawm", *train, tmp_path / "a", "--json").json == first
    assert (tmp_path / "a" / "metrics.jsonl").read_bytes() == metrics


def test_run_is_made_again_from_its_own_configuration(run, trained: Path, tmp_path: Path) -> None:
    again = run("lawm", "train", trained / "config.yaml", "--out", tmp_path / "b", "--json").json
    assert again["evaluation"] == json.loads((trained / "evaluation.json").read_text())
    other = ("train", trained / "config.yaml", "--seed", 1, "--out", tmp_path / "c", "--json")
    assert run("lawm", *other).json["evaluation"] != again["evaluation"]


def test_another_policy_in_the_same_world_model(run, corpus: Path, tmp_path: Path) -> None:
    data = ("--corpus", f"{corpus}@third", "--preset", "demo", "TINY")
    first, near = tmp_path / "a", settings("algorithm.settings.support=1")
    assert run("lawm", "train", *data, *settings(*LAWM), "--out", first).code == 0
    whole = run("lawm", "train", *data, *settings(*LAWM), *near, "--out", tmp_path / "b", "--json")
    assert whole.json["taken"] is None

    words = ("train", "--from", first, *near, "--out", tmp_path / "c")
    result = run("lawm", *words, "--json").json
    assert result["evaluation"] == whole.json["evaluation"]
    assert (result["taken"]["run"], result["taken"]["stages"]) == (str(first), ["model"])
    assert f"model from {first}" in run("lawm", *words).out.replace("\n", "")
    # with the whole command line, too
    words = ("train", "--from", first, *data, *settings(*LAWM), *near, "--out", tmp_path / "d")
    assert run("lawm", *words, "--json").json["evaluation"] == result["evaluation"]

    # the same command again needs no other run
    shutil.move(first, tmp_path / "elsewhere")
    words = ("train", "--from", first, *near, "--out", tmp_path / "c")
    assert run("lawm", *words, "--json").json == result
    shutil.move(tmp_path / "elsewhere", first)

    for words, line in (
        (("--from", first, "--preset", "small"), f"lawm: {first}: does not go with --corpus,"),
        (("--from", first, "--seed", 1), f"lawm: {first}: seed was 0 in this run and is now 1;"),
        (("--from", tmp_path), f"lawm: {tmp_path}: not a run folder;"),
    ):
        refused = run("lawm", "train", *words, "--out", tmp_path / "e")
        assert (refused.code, len(refused.err.splitlines())) == (2, 1)
        assert refused.err.startswith(line)
        assert not (tmp_path / "e").exists()


def test_lawm_on_two_corpora_then_evaluate_and_relabel(run, corpus: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(corpus, other)
    data = ("--corpus", f"{corpus}@third", "--corpus", f"{other}@third*0.5")
    words = ("train", *data, "--preset", "demo", "TINY", *settings(*LAWM), "--out", tmp_path / "a")
    result = run("lawm", *words, "--json").json
    assert [part["labeled"] for part in result["corpora"]] == [2, 2]

    evaluation = run("lawm", "evaluate", tmp_path / "a", "--episodes", 2, "--json").json
    assert evaluation["episodes"] == len(evaluation["returns"]) == 2
    assert evaluation["normalized"] == pytest.approx(evaluation["return_mean"] / 10)
    assert "cartpole-swingup" in run("lawm", "evaluate", tmp_path / "a", "--episodes", 1).out

    words = ("relabel", tmp_path / "a", "--corpus", corpus, "--name", "idm")
    labels = run("lawm", *words, "--truth-from-withheld", "--json").json
    assert labels["r2"] == pytest.approx(1 - sum(labels["nmse_per_dimension"]))
    view = open_corpus(corpus).with_mask("third").with_labels("idm")
    assert labels["trajectories"] == view.label_counts()["inferred"] == 4
    again = run("lawm", *words)
    assert (again.code, "another overlay has this name" in again.err) == (2, True)
    # and learned from as if they had been recorded
    words = ("train", "--preset", "demo", "TINY", "--algorithm", "bc", "--out", tmp_path / "b")
    one = ("--corpus", f"{corpus}@third", "--labels", "idm")
    assert "@third+idm: 2 of 6 labeled, 4 inferred" in run("lawm", *words, *one).out
    assert "--corpus PATH+LABELS for each" in run("lawm", *words, *data, "--labels", "idm").err
    same = run("lawm", *words, "--corpus", f"{corpus}@third+idm", "--json").json
    assert (same["corpora"][0]["labels"], same["corpora"][0]["inferred"]) == ("idm", 4)
    audited = run("lawm", "audit", tmp_path / "b", "--steps", 1)
    assert "it saw the observed actions, inferred ones and no others" in audited.out


def test_tables_for_people(run, train: tuple, tmp_path: Path) -> None:
    corpus = train[2].removesuffix("@third")
    out = run("lawm", *train, tmp_path / "a").out
    assert "2 of 6 labeled" in out
    assert "return" in out
    words = ("relabel", tmp_path / "a", "--corpus", corpus, "--name", "x")
    out = run("lawm", *words).out
    assert "trajectories" in out
    assert str(Path(corpus) / "labels" / "x") in out
    assert "R²" not in out
    assert "R²" in run("lawm", *words, "--truth-from-withheld", "--replace").out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("train --out {new}", "give --corpus"),
        ("train --corpus {corpus} --mask nobody --out {new}", "masks here: third"),
        ("train --corpus {corpus} --preset nobody --out {new}", "known ones: demo, longer, paper"),
        ("train --corpus {corpus} --algorithm nobody --out {new}", "nobody"),
        ("train --corpus {corpus} --device nobody --out {new}", "nobody is not available here"),
        ("train --corpus {corpus} --set windw=3 --out {new}", "windw: no such setting"),
        ("train --corpus {corpus} --set window=500 --set short=drop --out {new}", "has 25"),
        ("train --corpus {corpus}*x --out {new}", "weight"),
        ("train {run}/config.yaml --preset demo --out {new}", "use --set"),
        ("train {run}/config.yaml --seed 7 --out {run}", "seed was 0 in this run and is now 7"),
        ("train --corpus {corpus} --out {corpus}", "is not a run"),
        ("train --corpus {corpus} --out {corpus}/run", "{corpus}/run: lies in the corpus"),
        ("train --corpus {corpus} --out {corpus}/masks/deep/run", "lies in the corpus"),
        ("demo --out {corpus}", "lies in the corpus"),
        ("evaluate {run} --video {corpus}/a.gif", "lies in the corpus"),
        ("evaluate {new}", "{new}: not a run folder"),
        ("evaluate {run} --episodes 0", "--episodes"),
        ("evaluate {run} --seed 4294967296", "--seed"),
        ("evaluate {run} --video {new}/a.mp4", "{new}: there is no such folder"),
        ("evaluate {run} --video {new}.avi", "unknown video format '.avi'"),
        ("relabel {run} --corpus {new} --name x", "{new}: does not exist"),
        ("relabel {run} --corpus {corpus} --name ../x", "'../x': cannot be the name"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    run, corpus: Path, trained: Path, tmp_path: Path, words: str, line: str
) -> None:
    places = {"corpus": str(corpus), "run": str(trained), "new": str(tmp_path / "new")}
    before = sorted(tmp_path.rglob("*"))
    result = run("lawm", *words.format(**places).split())
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1), result.err
    assert line.format(**places) in result.err
    assert sorted(tmp_path.rglob("*")) == before
