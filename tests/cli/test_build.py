"""``lawm-data build`` on a tiny study: what is done stays done, what was stopped goes on."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from lawm_schemas import CorpusError
from lawm_schemas.plain_yaml import dump_yaml

from lawm_data import open_corpus, write_overlay
from lawm_data.corpus.store import read_manifest
from lawm_data.curation.shipped import unpack_corpus
from lawm_models.studies.recipes import jobs, read_jobs, step

MANY = 400
"""Trajectories that take longer than the second after which they are committed."""
COLLECT = {"env": "cartpole-swingup", "trajectories": 6, "action_repeat": 40, "num_envs": 2}
STUDY = {
    "seeds": [0, 1],
    "steps": [
        {"make": "parts/random-{seed}", "collect": COLLECT},
        {
            "make": "parts/good-{seed}",
            "filter": {"corpus": "parts/random-{seed}", "where": "return >= 0"},
        },
        {"make": "all", "merge": {"corpora": ["parts/good-{seed}"]}},
        {
            "make": "replay",
            "tier": {
                "corpora": ["parts/random-{seed}"],
                "tier": "medium-replay",
                "trajectories": 8,
            },
        },
        {"make": "replay@half", "mask": {"fraction": 0.5, "stratify": "return"}},
    ],
}
NAMES = ["parts/random-0", "parts/random-1", "parts/good-0", "parts/good-1", "all", "replay"]


def write(path: Path, study: dict) -> Path:
    path.write_text(dump_yaml(study))
    return path


def changed(verb: str, **settings: object) -> dict:
    """The study with other settings of one kind of step."""
    steps = [
        {**one, verb: {**one[verb], **settings}} if verb in one else one for one in STUDY["steps"]
    ]
    return {**STUDY, "steps": steps}


def files(folder: Path) -> dict[str, int]:
    found = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in found}


def states(result: dict) -> list[str]:
    return [one["state"] for one in result["steps"]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from lawm_cli import data_app

    folder = tmp_path_factory.mktemp("build")
    study = write(folder / "study.yaml", STUDY)
    assert data_app.main(["build", str(study), "--out", str(folder / "out")]) == 0
    return folder


@pytest.fixture
def study(made: Path, tmp_path: Path) -> Path:
    """A copy of the finished study, with its recipe inside."""
    shutil.copytree(made / "out", tmp_path / "out", copy_function=shutil.copy2)
    shutil.copy(made / "study.yaml", tmp_path / "study.yaml")
    return tmp_path


def test_a_study_comes_out_as_its_recipe_says(run, study: Path) -> None:
    result = run("lawm-data", "build", study / "study.yaml", "--out", study / "out", "--json").json
    assert [one["name"] for one in result["steps"]] == [*NAMES, "replay@half"]
    assert result["done"]
    assert result["missing"] == 0
    for name in NAMES:
        corpus = open_corpus(study / "out" / name, verify=True)
        (one,) = [one for one in result["steps"] if one["name"] == name]
        assert one["fingerprint"] == corpus.fingerprint
        assert one["trajectories"] == len(corpus)
    replay = open_corpus(study / "out" / "replay")
    assert replay.with_mask("half").label_counts()["observed"] == 4
    parts = [open_corpus(study / "out" / name) for name in NAMES[:2]]
    for part in parts:
        assert len(set(replay.table.id) & set(part.table.id)) == 4
    assert set(open_corpus(study / "out" / "all").table.id) == {
        name for part in parts for name in part.table.id
    }
    # each seed alone makes the same
    alone = study / "alone"
    words = "--env cartpole-swingup --trajectories 6 --action-repeat 40 --num-envs 2 --seed 1"
    assert run("lawm-data", "collect", *words.split(), "--out", alone).code == 0
    assert read_manifest(alone).fingerprint == parts[1].fingerprint


def test_the_recipe_to_try_is_done_as_it_stands_in_the_documentation(run, tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "curation.md").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"```yaml\n(# try.yaml\n.*?)```", text, re.DOTALL)
    (tmp_path / "try.yaml").write_text(recipe)
    result = run(
        "lawm-data", "build", tmp_path / "try.yaml", "--out", tmp_path / "try", "--json"
    ).json
    assert result["done"]
    made = {one["name"]: one["trajectories"] for one in result["steps"]}
    # how many are lively depends on the simulator's version
    assert made.pop("lively") < 40
    assert made == {"random-0": 20, "random-1": 20, "all": 40, "replay": 30, "replay@10pct": 30}


def test_what_is_done_is_not_touched(run, study: Path) -> None:
    before = files(study / "out")
    result = run("lawm-data", "build", study / "study.yaml", "--out", study / "out")
    assert result.code == 0
    assert "step " not in result.err
    assert files(study / "out") == before


def test_what_is_gone_is_made_again_and_comes_out_the_same(run, study: Path) -> None:
    before = files(study / "out")
    shutil.rmtree(study / "out" / "replay")
    (study / "out" / "all.made.json").unlink()
    shutil.rmtree(study / "out" / "all")
    words = ("build", study / "study.yaml", "--out", study / "out")
    planned = run("lawm-data", *words, "--dry-run", "--json").json
    assert states(planned) == ["done"] * 4 + ["open"] * 3
    result = run("lawm-data", *words)
    assert re.findall(r"^step (\d)", result.err, re.M) == ["5", "6", "7"]
    assert files(study / "out").keys() == before.keys()
    assert states(run("lawm-data", *words, "--json").json) == ["done"] * 7


def test_a_record_from_before_a_setting_was_there_still_holds(run, study: Path) -> None:
    path = study / "out" / "parts/random-0.made.json"
    record = json.loads(path.read_text())
    assert record["settings"].pop("physics") is True
    path.write_text(json.dumps(record))
    words = ("build", study / "study.yaml", "--out", study / "out", "--dry-run", "--json")
    assert states(run("lawm-data", *words).json) == ["done"] * 7
    record["settings"]["physics"] = False
    path.write_text(json.dumps(record))
    assert states(run("lawm-data", *words).json)[0] == "changed"


def test_a_dry_run_writes_nothing(run, study: Path, tmp_path: Path) -> None:
    result = run(
        "lawm-data", "build", study / "study.yaml", "--out", tmp_path / "new", "--dry-run", "--json"
    ).json
    assert states(result) == ["open"] * 7
    assert not result["done"]
    assert not (tmp_path / "new").exists()


def test_other_settings_are_refused_and_replaced_on_request(run, study: Path) -> None:
    before = files(study / "out")
    other = write(study / "other.yaml", changed("tier", trajectories=6))
    words = ("build", other, "--out", study / "out")
    result = run("lawm-data", *words)
    assert result.code == 2
    assert "replay: was made with trajectories 8, not 6; make it again (--replace)" in result.err
    assert result.err.count("\n") == 1
    assert files(study / "out") == before
    assert states(run("lawm-data", *words, "--dry-run", "--json").json)[5] == "changed"
    replaced = run("lawm-data", *words, "--replace", "--json").json
    assert replaced["done"]
    replay = open_corpus(study / "out" / "replay")
    assert (len(replay), len(replay.with_mask("half").filter(lambda i: i.num_observed > 0))) == (
        6,
        3,
    )


def test_collections_are_never_thrown_away(run, study: Path) -> None:
    before = files(study / "out")
    other = write(study / "other.yaml", changed("collect", num_envs=3))
    for words in ((), ("--replace",)):
        result = run("lawm-data", "build", other, "--out", study / "out", *words)
        assert result.code == 2
        assert "random-0: was made with num_envs 2, not 3; remove it yourself" in result.err
    assert files(study / "out") == before


def test_collections_grow(run, study: Path) -> None:
    other = write(study / "other.yaml", changed("collect", trajectories=8))
    ids = open_corpus(study / "out" / NAMES[0]).table.id.tolist()
    words = ("build", other, "--out", study / "out")
    result = run("lawm-data", *words, "--dry-run", "--json").json
    assert states(result)[:2] == ["begun", "begun"]
    result = run("lawm-data", *words, "--replace", "--json").json
    assert result["done"]
    assert open_corpus(study / "out" / NAMES[0]).table.id.tolist()[:6] == ids
    assert len(open_corpus(study / "out" / "all")) == 16


def test_what_was_altered_or_is_foreign_is_not_used(run, study: Path) -> None:
    words = ("build", study / "study.yaml", "--out", study / "out")
    more = "collect --env cartpole-swingup --trajectories 2 --action-repeat 40 --append --out"
    assert run("lawm-data", *more.split(), study / "out" / NAMES[0]).code == 0
    result = run("lawm-data", *words)
    assert result.code == 2
    assert "random-0: has changed since it was made" in result.err
    (study / "out" / "parts/random-0.made.json").unlink()
    assert "random-0: is there, but not from a recipe" in run("lawm-data", *words).err


def test_a_killed_build_goes_on(run, tmp_path: Path) -> None:
    one = {**STUDY, "seeds": [0]}
    one["steps"] = [
        {**STUDY["steps"][0], "collect": {**COLLECT, "trajectories": MANY}},
        *STUDY["steps"][1:],
    ]
    words = ["build", str(write(tmp_path / "study.yaml", one)), "--out", str(tmp_path / "out")]
    code = "import sys; from lawm_cli.data_app import main; sys.exit(main())"
    process = subprocess.Popen([sys.executable, "-c", code, *words], stderr=subprocess.DEVNULL)
    corpus = tmp_path / "out" / NAMES[0]
    while process.poll() is None:
        if (corpus / "corpus.json").exists() and read_manifest(corpus).trajectories >= 4:
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.02)
    assert process.wait() == -signal.SIGKILL
    there = read_manifest(corpus).trajectories
    assert 4 <= there < MANY
    # what else a killed build can leave: a corpus that was not finished
    (tmp_path / "out" / ".tmp-1-00000000-all" / "shards").mkdir(parents=True)
    left = run("lawm-data", *words, "--dry-run", "--json").json
    assert states(left)[:2] == ["begun", "open"]
    result = run("lawm-data", *words, "--json")
    assert f"random: {there:,} of {MANY:,}" in result.err
    assert result.json["done"]
    assert not list((tmp_path / "out").glob(".tmp-*"))


def test_what_people_made_is_never_thrown_away(run, study: Path) -> None:
    words = ("build", study / "study.yaml", "--out", study / "out", "--replace")
    record = study / "out" / "all.made.json"
    text = record.read_text()
    record.unlink()
    before = files(study / "out")
    result = run("lawm-data", *words)
    assert result.code == 2
    assert "all: is there, but not from a recipe; remove it yourself" in result.err
    record.write_text(text)
    replay = open_corpus(study / "out" / "replay").with_mask("half")
    labels = [(t.info.id, np.zeros((25, 1)), np.zeros((25, 1))) for t in replay if not t.is_labeled]
    write_overlay(replay, labels, name="idm", model="0" * 64, algorithm="bc")
    other = write(study / "other.yaml", changed("tier", trajectories=6))
    result = run("lawm-data", "build", other, "--out", study / "out", "--replace")
    assert result.code == 2
    assert "replay: has inferred actions of its own (idm)" in result.err
    assert files(study / "out").keys() > before.keys()


def test_a_kill_before_or_after_an_output_appears_is_the_same(run, study: Path) -> None:
    out = study / "out"
    before = step.read_record(out, job := read_jobs(str(study / "study.yaml"))[4])
    assert before is not None
    step.write_record(out, job, before.model_copy(update={"seconds": 0.0}))
    words = ("build", study / "study.yaml", "--out", out, "--dry-run", "--json")
    assert states(run("lawm-data", *words).json) == ["done"] * 7
    shutil.rmtree(out / "all")
    assert states(run("lawm-data", *words).json) == [*["done"] * 4, "open", "done", "done"]
    assert step.derive(out, job, dry_run=True) == (before.output, 0)


def test_what_a_tier_could_not_be_given_is_told(run, study: Path) -> None:
    other = write(study / "other.yaml", changed("tier", trajectories=14))
    result = run("lawm-data", "build", other, "--out", study / "out", "--replace", "--json")
    assert result.code == 0
    assert "random-0: has 6 of 7 trajectories" in result.err
    assert result.json["missing"] == 2
    assert result.json["done"]


def test_snapshots_of_a_tier_are_those_of_its_stretch_of_training(tmp_path: Path) -> None:
    unpack_corpus(tmp_path / "cs")
    steps = [{"make": "cs", "collect": {**COLLECT, "num_envs": 1, "agent": "dreamer"}}]
    for tier in ("expert", "medium", "medium-replay"):
        agent = f"cs.agent@snapshots:{tier}"
        steps.append({"make": tier, "collect": {**COLLECT, "agent": agent}})
    steps.append({"make": "all", "collect": {**COLLECT, "agent": "cs.agent@snapshots:10:20"}})
    _, *made, rest = jobs({"steps": steps})
    assert [job.inputs for job in made] == [("cs",)] * 3
    agents = [step.collection(tmp_path, job).agent for job in made]
    assert agents == [f"{tmp_path}/cs.agent@snapshots:{r}" for r in ("83:149", "50:78", "0:78")]
    assert step.collection(tmp_path, rest).agent == f"{tmp_path}/cs.agent@snapshots:10:20"
    (tmp_path / "cs" / "corpus.json").write_text("{}")
    with pytest.raises(CorpusError):
        step.collection(tmp_path, made[0])
