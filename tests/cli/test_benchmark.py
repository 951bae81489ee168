"""``lawm benchmark`` with real training: killed and resumed, failing, checked beforehand."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from lawm_schemas import Results
from lawm_schemas.plain_yaml import dump_yaml
from small_runs import SETTINGS, write_corpus

from lawm_data import open_corpus
from lawm_data.curation.derive import derive
from lawm_models.algorithms import ALGORITHMS
from lawm_models.studies import running
from lawm_models.studies.cell import RUNS
from lawm_models.studies.plan import Plan, read_study
from lawm_models.training.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[2]
FEW = {"batch_size": 4, "window": 5, "checkpoint_every": 2, "evaluation_episodes": 1}
LIKE_OTHERS = {"idm_iql", "idm_rebrac", "iql", "rebrac"}  # but for their learner
HERE = """
def executor():
    def run(prepare, items, workers=None, heartbeat=None, lost=None):
        return map(prepare(), items)
    return run
"""
"""A backend that works in this process: each of the others' loads PyTorch anew."""


def steps(name: str, count: int) -> dict[str, int]:
    return {f"steps.{stage}": count for stage in ALGORITHMS.load(name).Algorithm.stages}


def tiny(name: str, count: int) -> dict[str, Any]:
    """So few steps, of the smallest networks."""
    sizes = {f"algorithm.settings.{name}": value for name, value in SETTINGS[name].items()}
    return {**steps(name, count), **sizes}


def bc(**settings: object) -> dict[str, Any]:
    return {"algorithm": "bc", "settings": {**steps("bc", 4), **settings}}


@pytest.fixture
def run(run: Callable[..., Any], install: Callable[..., Path]) -> Callable[..., Any]:
    """Runs a command line; what a benchmark trains it trains here, unless a backend is given."""
    install("here 1.0", {"lawm_here.py": HERE}, {"lawm.workers": {"here": "lawm_here"}})

    def call(program: str, name: str, *words: object) -> Any:
        here = name == "benchmark" and not {"--backend", "--help"} & {*words}
        return run(program, name, *words, *("--backend", "here") * here)

    return call


@pytest.fixture
def study(corpus: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes a study of the small corpus; behaviour cloning unless something else is said."""

    def write(**changes: Any) -> Path:
        data = {
            "preset": "demo",
            "corpora": {"cs": {"path": str(corpus)}},
            "algorithms": {"bc": bc()},
            "labels": [0.34],
            "settings": FEW,
            **changes,
        }
        path = tmp_path / "study.yaml"
        path.write_text(dump_yaml(data))
        return path

    return write


def files(folder: Path) -> dict[str, int]:
    found = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in found}


def states(result: dict) -> dict[str, str]:
    return {Path(cell["run"]).name: cell["state"] for cell in result["cells"]}


def test_corpora_that_a_recipe_makes_are_told_with_it(
    run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("lawm", "benchmark", "two-cores", "--dry-run")
    assert (result.code, result.out) == (2, "")
    lines = result.err.splitlines()
    assert len(lines) == 6
    assert all(line.endswith("; make it with lawm-data build two-cores") for line in lines)

    lines = run("lawm", "benchmark", "unseen", "--dry-run").err.splitlines()
    hint = "; make it with lawm-data build unseen --out corpora/claim"
    assert len(lines) == 2
    assert all(line.endswith(hint) for line in lines)


def test_a_study_is_killed_and_resumed(run, study, corpus: Path, tmp_path: Path) -> None:
    """The whole: algorithms, few labels and all, a kill in the middle, table and pictures."""
    names = ("bc", "idm_td3_bc", "lawm")
    entries = {name: {"settings": tiny(name, 4)} for name in names}
    path, out = study(algorithms=entries, labels=[0.34, 0.67, 1]), tmp_path / "out"
    words = ["benchmark", str(path), "--out", str(out)]
    code = "import sys; from lawm_cli.app import main\nif __name__ == '__main__': sys.exit(main())"
    (tmp_path / "lawm.py").write_text(code)
    command = [sys.executable, str(tmp_path / "lawm.py"), *words, "--workers", "2"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        if len(list(out.glob(f"{RUNS}/*/*/evaluation.json"))) >= 2:
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.005)
    assert process.wait() == -signal.SIGKILL
    listed = run("lawm", *words, "--dry-run", "--json").json
    cells = 3 * len(names)
    assert 2 <= listed["done"] < cells == len(listed["cells"])
    finished = {
        cell["run"]: files(out / cell["run"]) for cell in listed["cells"] if cell["seconds"]
    }
    done = {cell["run"] for cell in listed["cells"] if cell["state"] == "done"}

    result = run("lawm", *words, "--json")
    assert (result.code, result.json["done"], result.json["failed"]) == (0, cells, 0)
    assert all(files(out / name) == finished[name] for name in done)
    results = Results.read_json(out / "results.json")
    for cell in results.cells:
        trained = RunFolder.open(out / cell.run)
        assert cell.evaluation == trained.evaluation()
        assert cell.fingerprint == trained.record.corpora[0].fingerprint
        assert cell.mask_sha256 == trained.record.corpora[0].mask_sha256
        assert cell.versions == trained.record.versions
        assert cell.labeled == {0.34: 2, 0.67: 4, "all": 6}[cell.labels]
    before = files(out / RUNS)
    again = run("lawm", *words)
    assert (again.code, files(out / RUNS)) == (0, before)
    assert "runs done" not in again.err

    made = run("lawm", "table", out / "results.json", "--out", out / "table")
    assert made.code == 0
    assert "LAWM (34%)" in made.out
    for name in ("bars.png", "labels.png", "profiles.png"):
        assert (out / "table" / name).read_bytes().startswith(b"\x89PNG")
    # the table needs nothing but the file
    moved = shutil.move(out / "results.json", tmp_path / "elsewhere.json")
    shutil.rmtree(out)
    shutil.rmtree(corpus)
    alone = run("lawm", "table", moved)
    assert alone.out == made.out[: len(alone.out)]


def test_what_fails_is_told_and_the_others_go_on(run, study, tmp_path: Path) -> None:
    out = tmp_path / "out"
    wild = {"algorithm.settings.learning_rate": 1e38}
    path = study(algorithms={"wild": bc(**wild), "inside": bc(batch_size=5), "bc": bc()})
    # a file where a run folder belongs
    (out / RUNS / "cs").mkdir(parents=True)
    (out / RUNS / "cs" / "inside-34pct-seed0").write_text("")
    words = ("benchmark", path, "--out", out)
    result = run("lawm", *words)
    assert result.code == 1
    assert "1 done, 2 failed" in result.out
    again = run("lawm", *words, "--dry-run", "--json")
    assert again.code == 0
    cells = {cell["algorithm"]: cell for cell in again.json["cells"]}
    assert [cells[name]["state"] for name in ("wild", "inside", "bc")] == [
        "failed",
        "failed",
        "done",
    ]
    # the step, the term and the batch
    (batch,) = (out / cells["wild"]["run"]).glob("nonfinite_step_*.safetensors")
    assert "action is " in cells["wild"]["error"]
    assert batch.name in cells["wild"]["error"]
    assert "exists and is a file" in cells["inside"]["error"]
    assert cells["wild"]["error"] in result.out
    assert "BC (34%)" in run("lawm", "table", out / "results.json").out

    (out / RUNS / "cs" / "inside-34pct-seed0").unlink()
    again = run("lawm", *words, "--json")
    assert (again.code, again.json["done"], again.json["failed"]) == (1, 2, 1)


def test_content_decides_what_is_done(run, study, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("benchmark", study(), "--out", out, "--json")
    (cell,) = run("lawm", *words).json["cells"]
    # the command that it tells does the same
    *alone, _ = shlex.split(cell["command"])[1:]
    result = run("lawm", *alone, tmp_path / "alone", "--json").json
    assert result["evaluation"]["return_mean"] == cell["return_mean"]

    def now(**changes: Any) -> list[str]:
        study(**changes)
        result = run("lawm", *words, "--dry-run").json
        return [cell["state"] for cell in result["cells"]]

    assert now() == ["done"]
    assert now(algorithms={"renamed": {**bc(), "title": "something else"}}) == ["done"]
    assert now(seeds=[1, 0]) == ["open", "done"]
    assert now(labels=[0.34, 1]) == ["done", "open"]
    assert now(masks={"seed": 3}) == ["open"]
    assert now(algorithms={"bc": bc(batch_size=5)}) == ["open"]
    # the same corpus and the same labels, wherever they are and whatever they are called
    (mask,) = (corpus / "masks").glob("study-*.json")
    moved = tmp_path / "moved"
    shutil.copytree(corpus, moved)
    assert now(corpora={"other": str(moved)}, labels=[mask.stem]) == ["done"]
    more = "collect --env cartpole-swingup --trajectories 1 --action-repeat 40 --append --out"
    assert run("lawm-data", *more.split(), corpus).code == 0
    assert now() == ["open"]
    assert run("lawm", *words).json["done"] == 1
    assert sorted(path.name for path in (out / RUNS / "cs").iterdir()) == [
        "bc-34pct-seed0",
        "bc-34pct-seed0-2",
    ]


def test_runs_of_an_earlier_version_count_and_are_not_gone_on_with(
    run, study, corpus: Path, tmp_path: Path
) -> None:
    """They name the corpus by a fingerprint that covers hidden actions, as their batches did."""
    out = tmp_path / "out"
    words = ("benchmark", study(), "--out", out, "--json")
    first = run("lawm", *words).json

    def as_of_earlier(document: Path, keys: Sequence[str | int]) -> None:
        content = json.loads(document.read_text())
        seen = content
        for key in keys:
            seen = seen[key]
        seen["fingerprint"] = open_corpus(corpus).fingerprint
        seen.pop("unlabeled", None)
        content.pop("checksum", None)
        document.write_text(json.dumps(content))

    as_of_earlier(out / "results.json", ("cells", 0))
    shutil.copy(out / "results.json", tmp_path / "known.json")
    (folder,) = (out / RUNS / "cs").iterdir()
    as_of_earlier(folder / "run.json", ("corpora", 0))
    assert run("lawm", *words).json["cells"] == first["cells"]
    other = (*words[:2], "--out", tmp_path / "other", "--known", tmp_path / "known.json")
    told = run("lawm", *other, "--dry-run", "--json").json
    assert [cell["state"] for cell in told["cells"]] == ["done"]
    (folder / "evaluation.json").unlink()  # it is no longer done, and cannot be gone on with
    assert run("lawm", *words).json["done"] == 1
    assert len(list((out / RUNS / "cs").iterdir())) == 2


def test_a_corpus_that_grows_meanwhile_fails_the_run(
    run, study, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has learned from another corpus than results.json says; the same again finds it."""
    more = "collect --env cartpole-swingup --trajectories 1 --action-repeat 40 --append --out"
    train = running.run

    def grown(*given: Any) -> Any:
        assert run("lawm-data", *more.split(), corpus).code == 0
        return train(*given)

    monkeypatch.setattr(running, "run", grown)
    words = ("benchmark", study(labels=["all"]), "--out", tmp_path / "out", "--json")
    result = run("lawm", *words)
    (cell,) = result.json["cells"]
    assert (result.code, cell["state"], cell["return_mean"]) == (1, "failed", None)
    said = "has changed since the study was checked; run the benchmark again"
    assert cell["error"] == f"{corpus}: {said}"
    monkeypatch.setattr(running, "run", train)
    (again,) = run("lawm", *words).json["cells"]
    assert (again["state"], again["error"], again["run"]) == ("done", None, cell["run"])
    (kept,) = Results.read_json(tmp_path / "out" / "results.json").cells
    (seen,) = RunFolder.open(tmp_path / "out" / kept.run).record.corpora
    assert (kept.fingerprint, kept.trajectories) == (seen.fingerprint, seen.trajectories)


def test_what_cannot_be_judged_is_told(require_documented, run, study, tmp_path: Path) -> None:
    whole = open_corpus(write_corpus(tmp_path / "whole", lengths=(9,) * 6))  # without physics
    derive([whole[:4]], tmp_path / "train", operation="filter", settings={})
    model = {"units": 4, "layers": 1, "latent": 2}
    changes = {
        "corpora": {"linear": {"path": str(tmp_path / "train"), "whole": str(whole.path)}},
        "algorithms": {"lam": {"settings": {"algorithm.settings.model": model}}},
        "labels": [0.5],
        "settings": {"steps.model": 2, "steps.controller": 0, "batch_size": 2},
    }
    path = study(**changes, probe={"steps": 2, "simulate": True})
    words = ("benchmark", path, "--out", tmp_path / "out")
    for _ in range(2):  # it is tried again
        result = run("lawm", *words)
        assert result.code == 1
        assert "1 done\nnot judged: runs/linear/lam-50pct-seed0: " in result.out
    listed = run("lawm", *words, "--dry-run", "--json")
    require_documented("lawm benchmark", listed.json)
    (cell,) = listed.json["cells"]
    assert (listed.code, cell["state"]) == (0, "done")
    (kept,) = Results.read_json(tmp_path / "out" / "results.json").cells
    assert cell["unjudged"]
    assert (cell["unjudged"], kept.figures) == (kept.unjudged, None)
    table = run("lawm", "table", tmp_path / "out" / "results.json")
    assert (table.code, table.err.count("\n")) == (2, 1)
    assert f"no run is judged: {cell['unjudged']}" in table.err
    study(**changes, probe={"steps": 2})
    mended = run("lawm", *words, "--json")
    assert (mended.code, mended.json["cells"][0]["unjudged"]) == (0, None)
    assert run("lawm", "table", tmp_path / "out" / "results.json").code == 0


def test_what_is_known_from_elsewhere_is_not_made_again(run, study, tmp_path: Path) -> None:
    """By its content: a run of another study, under other names, without its folder."""
    path = study(algorithms={"bc": bc()}, seeds=[0, 1])
    first = run("lawm", "benchmark", path, "--out", tmp_path / "first", "--json").json
    shutil.move(tmp_path / "first" / "results.json", tmp_path / "known.json")
    shutil.rmtree(tmp_path / "first")
    wide = bc(**{"algorithm.settings.units": 9})
    path = study(algorithms={"renamed": bc(), "wide": wide}, seeds=[0, 1])
    out = tmp_path / "second"
    words = ("benchmark", path, "--out", out, "--known", tmp_path / "known.json", "--json")
    result = run("lawm", *words, "--dry-run").json
    assert [c["state"] for c in result["cells"]] == ["done", "open", "done", "open"]
    result = run("lawm", *words).json
    assert result["done"] == 4
    assert {path.name for path in (out / RUNS / "cs").iterdir()} == {
        "wide-34pct-seed0",
        "wide-34pct-seed1",
    }
    before, after = (
        {cell["seed"]: cell["return_mean"] for cell in cells}
        for cells in (first["cells"], result["cells"][::2])
    )
    assert before == after
    kept = Results.read_json(out / "results.json").cells
    assert [cell.algorithm for cell in kept] == ["renamed", "wide"] * 2
    assert all(cell.versions and cell.evaluation for cell in kept)
    assert [cell.taken_from for cell in kept] == [str(tmp_path / "known.json"), None] * 2
    # the command that it tells finds the mask, and does the same
    *alone, _ = shlex.split(kept[0].command)[1:]
    again = run("lawm", *alone, tmp_path / "alone", "--json").json
    assert again["evaluation"]["return_mean"] == before[0]
    # what was taken over stays, without the file
    assert run("lawm", *words[:-3], "--dry-run", "--json").json["done"] == 4
    assert run("lawm", *words[:-3], "--only", "*wide*", "--json").code == 0
    assert all(cell.state == "done" for cell in Results.read_json(out / "results.json").cells)


def test_what_a_file_is_worth_is_told(run, study, tmp_path: Path) -> None:
    path, known = study(algorithms={"bc": bc()}, seeds=[0, 1]), tmp_path / "known.json"
    run("lawm", "benchmark", path, "--out", tmp_path / "first", "--only", "*seed0")
    shutil.move(tmp_path / "first" / "results.json", known)
    words = ("benchmark", path, "--out", tmp_path / "out", "--known", known, "--dry-run", "--json")
    result = run("lawm", *words)
    assert (result.json["done"], result.json["open"]) == (1, 1)
    assert result.err == f"{known}: 1 of 2 runs are taken from it\n"

    def changed(change: Callable[[dict], object]) -> Any:
        data = json.loads(known.read_text())
        change(data)
        known.write_text(json.dumps(data))
        return run("lawm", *words)

    # a setting that a later version has brought has its default there
    settings = changed(lambda data: data["configs"]["bc"]["algorithm"]["settings"].pop("layers"))
    assert settings.json["done"] == 1
    # one that is gone means something else, whatever it was
    gone = changed(lambda data: data["configs"]["bc"].update(unheard=1))
    assert (gone.json["done"], gone.err) == (0, f"{known}: 0 of 2 runs are taken from it\n")
    old = changed(lambda data: data.pop("configs"))
    assert old.json["done"] == 0
    assert old.err == f"{known}: says nothing of settings, so that none of its runs can be taken\n"


def test_a_file_of_known_runs_that_is_none_is_refused(run, study, tmp_path: Path) -> None:
    (tmp_path / "known.json").write_text("{}")
    words = ("benchmark", study(), "--out", tmp_path / "out", "--known")
    result = run("lawm", *words, tmp_path / "known.json")
    assert (result.code, len(result.err.splitlines())) == (2, 1)
    assert "known.json" in result.err
    result = run("lawm", *words, tmp_path / "nothing.json")
    assert (result.code, len(result.err.splitlines())) == (2, 1)
    assert not (tmp_path / "out").exists()


def test_masks_are_nested_and_follow_the_seed(study, corpus: Path) -> None:
    path = study(labels=[0.34, 0.67], seeds=[0, 1], masks={"stratify": "return"})
    plan = Plan(read_study(str(path)), "study")
    plan.write_masks(plan.cells)
    masks = open_corpus(corpus).masks()
    sets = {name: set(mask.labeled) for name, mask in masks.items() if name != "third"}
    assert len(sets) == 4
    for seed in (0, 1):
        few, many = (sets[f"study-{share}-return-seed{seed}"] for share in ("34pct", "67pct"))
        assert few < many
    assert sets["study-67pct-return-seed0"] != sets["study-67pct-return-seed1"]
    for cell in plan.cells:
        name = f"study-{100 * float(cell.labels):.0f}pct-return-seed{cell.seed}"
        assert cell.config.corpora[0].mask == name
        assert (cell.config.seed, cell.data.labeled) == (cell.seed, len(sets[name]))


def test_a_world_model_serves_all_policies_of_a_study(run, study, tmp_path: Path) -> None:
    """Runs that differ in their last stage take the first one's; their numbers stay the same."""
    entries = {
        "lawm": {"settings": tiny("lawm", 4)},
        "bc": bc(),
        "lawm-near": {
            "algorithm": "lawm",
            "settings": {**tiny("lawm", 4), "algorithm.settings.support": 1.0},
        },
        "lawm-longer": {"algorithm": "lawm", "settings": tiny("lawm", 5)},
        "lawm-last": {
            "algorithm": "lawm",
            "settings": {**tiny("lawm", 4), "steps.agent": 6, "evaluation_episodes": 2},
        },
    }
    path, out = study(algorithms=entries, seeds=[0, 1]), tmp_path / "out"
    words = ("benchmark", path, "--stack", 1, "--workers", 1, "--json", "--out")
    assert run("lawm", *words, out).json["done"] == 10
    runs = {p.parent.name: RunFolder.open(p.parent) for p in out.glob(f"{RUNS}/*/*/config.yaml")}
    taken = {name: run.record.taken for name, run in runs.items() if run.record.taken}
    assert {name: Path(t.run).name for name, t in taken.items()} == {
        f"{name}-34pct-seed{seed}": f"lawm-34pct-seed{seed}"
        for name in ("lawm-last", "lawm-near")
        for seed in (0, 1)
    }
    # seed by seed, and those that take from others after them
    order = sorted(runs, key=lambda name: (runs[name].path / "evaluation.json").stat().st_mtime_ns)
    assert order == [
        f"{name}-34pct-seed{seed}"
        for seed in (0, 1)
        for name in ("lawm", "bc", "lawm-longer", "lawm-near", "lawm-last")
    ]
    # where there is nothing sound to take, of these versions, they come to the same by themselves
    whole = {run.path: run.evaluation() for run in runs.values()}
    weights = runs["lawm-34pct-seed0"].path / "checkpoints/step_00000004/model.safetensors"
    weights.write_bytes(b"x" + weights.read_bytes())
    made = runs["lawm-34pct-seed1"]
    other_python = {**made.record.versions, "python": "not this one"}
    record = made.record.model_copy(update={"versions": other_python})
    (made.path / "run.json").write_text(record.to_json())
    for seed in (0, 1):
        for other in ("lawm-last", "lawm-near"):
            shutil.rmtree(runs[f"{other}-34pct-seed{seed}"].path)
    again = run("lawm", *words[:4], "--json", "--out", out).json
    assert again["done"] == 10
    for run_folder, evaluation in whole.items():
        made = RunFolder.open(run_folder)
        assert made.evaluation() == evaluation
        # of the two that are left, the second may take from the first, but not from what is unsound
        assert "lawm-34pct" not in (made.record.taken.run if made.record.taken else "")


@pytest.mark.slow
def test_two_workers_make_two_world_models_for_two_seeds(run, study, tmp_path: Path) -> None:
    """The second does not make the same as the first meanwhile."""
    long = {**tiny("lawm", 4), "steps.model": 40}
    entries = {
        name: {"algorithm": "lawm", "settings": {**long, "algorithm.settings.support": support}}
        for name, support in (("a", 0.5), ("b", 1.0), ("c", 2.0))
    }
    path, out = study(algorithms=entries, seeds=[0, 1]), tmp_path / "out"
    words = ("--backend", "processes", "--workers", 2, "--out", out, "--json")
    assert run("lawm", "benchmark", path, *words).json["done"] == 6
    runs = [RunFolder.open(p.parent) for p in out.glob(f"{RUNS}/*/*/config.yaml")]
    assert {run.path.name for run in runs if not run.record.taken} == {
        "a-34pct-seed0",
        "a-34pct-seed1",
    }


def test_a_stack_makes_what_each_run_makes(run, study, tmp_path: Path) -> None:
    algorithms = {"lawm": {"settings": tiny("lawm", 4)}, "bc": bc()}
    path = study(algorithms=algorithms, seeds=[0, 1, 2])
    words = ("benchmark", path, "--workers", 1, "--json", "--out")
    together = run("lawm", *words, tmp_path / "together").json
    alone = run("lawm", *words, tmp_path / "alone", "--stack", 1).json
    assert together["done"] == alone["done"] == 6
    for one, other in zip(together["cells"], alone["cells"], strict=True):
        assert one["return_mean"] == pytest.approx(other["return_mean"], rel=1e-3)
        logs = [
            RunFolder.open(tmp_path / folder / cell["run"]).metrics()
            for folder, cell in (("together", one), ("alone", other))
        ]
        for line, expected in zip(*logs, strict=True):
            for name in expected.keys() - {"stage", "elapsed"}:
                assert line[name] == pytest.approx(expected[name], rel=1e-3, abs=1e-3), name


def test_a_dry_run_writes_nothing(run, study, corpus: Path, tmp_path: Path) -> None:
    path, before = study(), files(corpus)
    out = tmp_path / "out"
    result = run("lawm", "benchmark", path, "--out", out, "--dry-run", "--json").json
    assert states(result) == {"bc-34pct-seed0": "open"}
    assert not out.exists()
    assert files(corpus) == before


def test_some_runs_now_and_the_others_later(run, study, tmp_path: Path) -> None:
    path, out = study(seeds=[0, 1, 2]), tmp_path / "out"
    words = ("benchmark", path, "--out", out, "--json")
    result = run("lawm", *words, "--only", "cs/*-seed2", "--only", "*seed1").json
    assert states(result) == {"bc-34pct-seed1": "done", "bc-34pct-seed2": "done"}
    cells = Results.read_json(out / "results.json").cells
    assert [cell.state for cell in cells] == ["open", "done", "done"]
    refused = run("lawm", *words, "--only", "*seed1", "--only", "seed1")
    assert refused.code == 2
    assert "seed1: no run of the study has such a name" in refused.err
    assert "cs/bc-34pct-seed0" in refused.err
    assert run("lawm", *words).json["done"] == 3


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        (
            {
                "corpora": {"a": "nowhere", "b": {"path": "{corpus}", "paper": "walker/x"}},
                "algorithms": {
                    "ppo": None,
                    "bc": bc(**{"steps.modell": 3, "algorithm.settings.unit": 1, "seed": 3}),
                    "lawm": {"preset": "huge"},
                    "bc2": bc(**{"batch_size": 0, "algorithm.settings.units": -1}),
                },
                "labels": [0.34, "nomask"],
            },
            [
                "algorithms.ppo: no algorithm 'ppo'",
                "algorithms.bc.settings: algorithm.settings.unit: no such setting",
                "algorithms.bc.settings: seed: is decided by the study",
                "algorithms.lawm: no preset 'huge'",
                "algorithms.bc2: batch_size: Input should be greater",
                "algorithms.bc2: algorithm.settings.units: Input should be greater",
                "corpora.a: nowhere",
                "corpora.b: the paper has no 'walker/x'",
                "corpora.b: {corpus}: nomask: no such mask",
            ],
        ),
        ({"labels": [0, 2]}, ["labels.0: the fraction 0", "labels.1: the fraction 2"]),
        ({"labels": ["5%", True]}, ["labels.0: '5%' is no fraction", "labels.1: True is no"]),
        ({"labels": [1, "all"]}, ["labels has a value twice"]),
        ({"seeds": [0, 0]}, ["seeds has a value twice"]),
        ({"seeds": []}, ["seeds is empty"]),
        ({"speed": 3, "sedes": []}, ["speed: ", "sedes: "]),
        ({"algorithms": {"bc": {"setings": {}}}}, ["algorithms.bc.setings: "]),
        ({"algorithms": {"../bc": None}}, ["algorithms.../bc.[key]: "]),
        (
            {"settings": {**FEW, "evaluation_episodes": 0}},
            ["evaluation_episodes: without any there is nothing to compare"],
        ),
        ({"algorithms": {"bc": bc(**{"steps.modell": 3})}}, ["steps.modell: no such stage"]),
        ({"settings": {"device": "tpu"}}, ["device: tpu is not available here"]),
    ],
)
def test_everything_that_is_wrong_is_told_at_once(
    run, study, corpus: Path, tmp_path: Path, changes: dict, lines: list[str]
) -> None:
    text = json.dumps(changes).replace("{corpus}", str(corpus))
    path = study(**json.loads(text))
    result = run("lawm", "benchmark", path, "--out", tmp_path / "out")
    assert (result.code, result.out) == (2, "")
    assert result.err.count("\n") == len(lines), result.err
    for line in lines:
        assert line.replace("{corpus}", str(corpus)) in result.err
    assert not (tmp_path / "out").exists()


def test_a_key_twice_is_refused(run, study, tmp_path: Path) -> None:
    path = study()
    path.write_text(path.read_text() + "preset: small\n")
    result = run("lawm", "benchmark", path, "--out", tmp_path / "out")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert 'found duplicate key "preset"' in result.err


def test_unknown_studies_are_named(run, tmp_path: Path) -> None:
    result = run("lawm", "benchmark", "nothing", "--out", tmp_path / "out")
    assert result.code == 2
    known = "ablations, claim, constraints, demo, dream-noise, expert, explorers, few-labels"
    known += ", labels, longer, paper, pixels, plus, prior, relatives, relatives-features"
    known += ", two-cores, unseen"
    assert f"no study 'nothing'; known ones: {known}; or give a YAML file\n" in result.err
    listed = run("lawm", "benchmark", "--help").out.partition("Studies:")[2].partition("\n\n")[0]
    assert re.findall(r"^  (\S+)", listed, re.M) == known.split(", ")


@pytest.mark.parametrize(("kind", "begins"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<")])
def test_pictures_of_a_table_are_of_the_kind_that_is_asked_for(
    run: Callable[..., Any], tmp_path: Path, kind: str, begins: bytes
) -> None:
    results = Path(__file__).parents[2] / "benchmarks/results/claim.json"
    made = run("lawm", "table", results, "--out", tmp_path / "table", "--pictures", kind)
    assert made.code == 0, made.err
    files = {path.name: path for path in (tmp_path / "table").iterdir()}
    pictures = files.keys() - {"table.md", "table.csv", "table.html"}
    assert pictures
    for name in pictures:
        assert name.endswith(f".{kind}")
        assert files[name].read_bytes().startswith(begins)
        assert str(files[name]) in made.out


def test_pictures_of_a_table_are_of_a_kind_that_can_be_drawn(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    results = Path(__file__).parents[2] / "benchmarks/results/claim.json"
    made = run("lawm", "table", results, "--out", tmp_path / "table", "--pictures", "jpg")
    assert made.code == 2
    assert "'jpg'" in made.err
    assert not (tmp_path / "table").exists()


def test_pictures_without_a_folder_are_refused(run: Callable[..., Any]) -> None:
    for name in ("claim", "constraints"):
        results = ROOT / "benchmarks" / "results" / f"{name}.json"
        refused = run("lawm", "table", results, "--pictures", "svg")
        assert (refused.code, refused.out) == (2, "")
        assert refused.err == "lawm: --pictures: goes with --out; give a folder for them\n"


def test_a_table_compares_with_a_rival(run, tmp_path: Path) -> None:
    """In pairs of runs, as JSON and on the page; a rival that the study has not is refused."""
    results = ROOT / "benchmarks" / "results" / "explorers.json"
    plain = run("lawm", "table", results, "--json").json
    assert (plain["against"], plain["differences"]) == (None, [])
    told = run("lawm", "table", results, "--against", "clap", "--out", tmp_path, "--json").json
    assert told["against"] == "C-LAP"
    assert {name: told[name] for name in ("columns", "rows")} == {
        name: plain[name] for name in ("columns", "rows")
    }
    column = {c["algorithm"]: n for n, c in enumerate(told["columns"])}
    scores = [entry["scores"] for entry in told["rows"][0]["entries"]]
    assert len(told["differences"]) == len(column) - 1
    for found in told["differences"]:
        pairs = zip(scores[column[found["algorithm"]]], scores[column["clap"]], strict=True)
        each = [one - other for one, other in pairs]
        assert [pair["difference"] for pair in found["pairs"]] == pytest.approx(each)
        assert found["mean"] == pytest.approx(sum(each) / len(each))
    assert "minus C-LAP" in (tmp_path / "table.html").read_text()
    wrong = run("lawm", "table", results, "--against", "ppo", "--out", tmp_path / "none")
    assert (wrong.code, wrong.out) == (2, "")
    assert "no algorithm 'ppo'; name clap" in wrong.err
    assert not (tmp_path / "none").exists()
