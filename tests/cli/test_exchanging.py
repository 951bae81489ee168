"""``lawm-data import``, ``export``, ``formats``, and collecting in Gymnasium, as commands."""

import re
from pathlib import Path

import pytest
from PIL import Image

from lawm_data import open_corpus
from lawm_data.exchange.formats import FORMATS


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path / "minari"


def test_a_round_trip_keeps_corpus_and_mask(run, corpus: Path, tmp_path: Path) -> None:
    assert run("lawm-data", "export", corpus, "minari:lab/cartpole-v0").code == 0
    assert run("lawm-data", "import", "minari:lab/cartpole-v0", tmp_path / "back").code == 0
    whole, back = open_corpus(corpus), open_corpus(tmp_path / "back")
    assert back.fingerprint == whole.fingerprint
    assert back.masks()["third"].labeled == whole.masks()["third"].labeled
    assert run("lawm-data", "validate", tmp_path / "back", "--replay").code == 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("import nowhere {new}", "is not an address"),
        ("import minary:lab/x-v0 {new}", "nearest: minari"),
        ("import minari: {new}", "write minari:namespace/name-v0"),
        ("import minari:lab/x-v0 {new}", "no such dataset here"),
        ("import minari:lab/x-v0 {corpus}", "already there"),
        ("import minari:lab/x-v0 {corpus}/masks/x", "lies in the corpus"),
        ("import minari:lab/x-v0 {new} --set fps=15", "settings: without, nan"),
        ("import minari:lab/x-v0 {new} --fps 15", "settings: without, nan"),
        ("import video:{corpus} {new} --size 8 --set size=9", "leave --set size=… out"),
        ("import video:{corpus} {new} --fps inf", "above 0"),
        ("import hf://user/name {new} --set a=1", "the Hub has none"),
        ("import minari:lab/x-v0 {new} --set fps", "write key=value"),
        ("import hf://nobody {new}", "write hf://user/name"),
        ("export {corpus} hf://user/name@v1", "a revision cannot be written"),
        ("export {corpus} minari:x", "is not the id of a Minari dataset"),
        ("export {corpus} minari:lab/x-v0 --mask nobody", "masks here: third"),
        ("export {corpus} minari:lab/x-v0 --labels nobody", "no such overlay"),
        ("export {new} minari:lab/x-v0", "does not exist"),
        ("export {corpus} minari:lab/x-v0 --keep seeds", "--keep: goes with --mask; give both"),
        ("push-to-hub {corpus} user/name --keep seeds", "--keep: goes with --mask; give both"),
        ("export {corpus} ogbench:x", "cannot be exported"),
        ("collect --env gym:CartPole-v9 --out {new}", "nearest ids: CartPole-v1"),
    ],
)
def test_bad_input_is_one_line(run, corpus: Path, tmp_path: Path, words: str, line: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    result = run("lawm-data", *words.format(corpus=corpus, new=tmp_path / "new").split())
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert line in result.err
    assert sorted(tmp_path.rglob("*")) == before


def test_the_home_folder_is_found_behind_a_colon(
    run, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run("lawm-data", "export", corpus, "robomimic:~/a.hdf5").code == 0
    assert (tmp_path / "a.hdf5").is_file()
    assert run("lawm-data", "import", "robomimic:~/a.hdf5", tmp_path / "back").code == 0


def test_fps_and_size_are_settings(run, tmp_path: Path) -> None:
    (tmp_path / "films" / "walk").mkdir(parents=True)
    for i in range(3):
        Image.new("RGB", (6, 4), (i, 0, 0)).save(tmp_path / "films" / "walk" / f"{i}.png")
    words = ("import", f"video:{tmp_path / 'films'}", tmp_path / "out")
    assert run("lawm-data", *words, "--fps", 15, "--size", 8).code == 0
    corpus = open_corpus(tmp_path / "out")
    assert corpus.manifest.observations[0].shape == (8, 8, 3)
    assert corpus.manifest.lineage[-1].settings["settings"] == {"fps": 15, "size": 8}
    result = run("lawm-data", "info", tmp_path / "out")
    assert "no rewards were recorded for 1 trajectories: they have no returns" in result.out


def test_the_document_has_the_table(run) -> None:
    document = Path(__file__).resolve().parents[2] / "docs" / "exchange.md"
    table = run("lawm-data", "formats", "--markdown").out
    *lines, blank, same = table.splitlines()
    assert len(lines) == 2 + len(FORMATS.names())
    assert (blank, same.partition(":")[0]) == ("", "The same for all")
    assert f"\n\n{table}\n" in document.read_text(encoding="utf-8")


def test_every_format_is_described() -> None:
    root = Path(__file__).resolve().parents[2]
    pages = [page.read_text(encoding="utf-8") for page in (root / "docs").glob("exchange*.md")]
    headings = " ".join(re.findall(r"^## (.*)$", "\n".join(pages), flags=re.MULTILINE))
    readme = (root / "README.md").read_text(encoding="utf-8")
    for name in FORMATS.names():
        assert name in headings.lower().replace("-", ""), name
        assert name in readme.lower() or name == "video"


def test_formats_names_every_one(run) -> None:
    out = run("lawm-data", "formats").out
    for name in FORMATS.names():
        assert f"{name}:{FORMATS.load(name).ABOUT.place}" in out


def test_a_run_is_trained_and_evaluated_in_gymnasium(run, tmp_path: Path) -> None:
    words = ("--env", "gym:CartPole-v1", "--trajectories", 4)
    assert run("lawm-data", "collect", *words, "--out", tmp_path / "a").code == 0
    settings = ("--algorithm", "bc", "--preset", "demo", "TINY")
    words = ("train", "--corpus", tmp_path / "a", *settings, "--out", tmp_path / "run")
    assert run("lawm", *words).code == 0
    result = run("lawm", "evaluate", tmp_path / "run", "--episodes", 2, "--json").json
    assert result["environment"] == "gym:CartPole-v1"
    words = ("--env", "gym:CartPole-v1", "--agent", tmp_path / "run", "--trajectories", 2)
    assert run("lawm-data", "collect", *words, "--out", tmp_path / "b").code == 0
    assert open_corpus(tmp_path / "b").manifest.action.dtype == "int64"
