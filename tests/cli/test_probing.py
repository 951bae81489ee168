import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def latent(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``parts``: what was trained on and what was not; ``run``: latent actions of the first."""
    from lawm_cli import app, data_app

    folder = tmp_path_factory.mktemp("latent")
    split = f"split {made}/corpus train=0.5 held=0.5 --out {folder}/parts"
    assert data_app.main(split.split()) == 0
    train = f"train --corpus {folder}/parts/train --algorithm lam --out {folder}/run"
    few = "--set steps.model=2 --set steps.controller=0 --set batch_size=4 --set window=8"
    assert app.main([*train.split(), *few.split()]) == 0
    return folder


def test_probe_writes_a_table_and_a_page(
    require_documented, run, made: Path, latent: Path, tmp_path: Path
) -> None:
    words = ("probe", latent / "run", "--corpus", made / "corpus", "--mask", "third", "--simulate")
    few = ("--steps", 2, "--pairs", 3, "--goals", 2, "--out", tmp_path / "page.html")
    printed = run("lawm", *words, *few, "--json")
    require_documented("lawm probe", printed.json)
    assert printed.json["held_out_by"] == "record"
    assert printed.json["simulated"] == 3
    figures = {row["kind"]: row["figures"] for row in printed.json["rows"]}
    assert "transfer" in figures["run"]
    assert "planning" in figures["acwm_all"]
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert all(row["name"] in page for row in printed.json["rows"])


def test_the_table_has_every_row(run, made: Path, latent: Path) -> None:
    printed = run("lawm", "probe", latent / "run", "--corpus", made / "corpus", "--steps", 2)
    assert printed.code == 0
    for name in ("run", "state only", "unconstrained", "error", "leak"):
        assert name in printed.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--corpus", "{latent}/parts/train"], "no trajectory is held out"),
        (["--corpus", "{made}/corpus", "--mask", "none"], "none"),
        (["--corpus", "{made}/corpus", "--out", "{out}/page.png"], "end it in .html"),
        (["--corpus", "{made}/corpus", "--out", "{out}/no/page.html"], "make it first"),
        (["--corpus", "{made}/corpus", "--anchors", "{made}/run"], "no latent actions"),
        (["--corpus", "{made}/corpus", "--pairs", "3"], "--pairs: goes with --simulate"),
        (["--corpus", "{made}/corpus", "--goals", "3"], "--goals: goes with --simulate"),
    ],
)
def test_bad_input_is_one_line(
    run, made: Path, latent: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    filled = [word.format(made=made, latent=latent, out=tmp_path) for word in words]
    page = [] if "--out" in filled else ["--out", tmp_path / "page.html"]
    printed = run("lawm", "probe", latent / "run", *filled, *page)
    assert printed.code == 2
    assert said in printed.err
    assert printed.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_latent_actions_go_from_a_run_to_another_format(
    require_documented, run, latent: Path, tmp_path: Path
) -> None:
    corpus = shutil.copytree(latent / "parts" / "train", tmp_path / "corpus")
    words = ("relabel", latent / "run", "--corpus", corpus, "--name", "z", "--latents")
    require_documented("lawm relabel", run("lawm", *words, "--json").json)
    info = run("lawm-data", "info", corpus, "--json").json
    require_documented("lawm-data info", info)
    assert info["latents"]["z"]["run"] == "run"
    place = f"lerobot:{tmp_path}/set"
    out = run("lawm-data", "export", corpus, place, "--latents", "z", "--json").json
    require_documented("lawm-data export", out)
    back = run("lawm-data", "import", place, tmp_path / "back", "--json").json
    require_documented("lawm-data import", back)
    assert back["latents"] == ["z"]


@pytest.mark.parametrize(
    "words",
    [("--method", "smoothing"), ("--max-uncertainty", 0.2), ("--truth-from-withheld",)],
)
def test_what_is_of_inferred_actions_is_not_of_latent_ones(run, latent: Path, words) -> None:
    corpus = latent / "parts" / "train"
    printed = run(
        "lawm", "relabel", latent / "run", "--corpus", corpus, "--name", "z", "--latents", *words
    )
    assert printed.code == 2
    assert printed.err == f"lawm: {words[0]}: is of inferred actions; leave it out with --latents\n"
    assert not (corpus / "latents").exists()
