"""``lawm-data filter``, ``merge``, ``split``, ``delete`` and ``tier`` as commands."""

from pathlib import Path

import pytest

from lawm_data import open_corpus

WRITING = {
    "filter": ("filter", "{}", "return >= 0"),
    "delete": ("delete", "{}", "--where", "position == 0"),
    "edit": ("edit", "{}", "--set", "fps=20"),
    "merge": ("merge", "{}"),
    "mix": ("merge", "{}", "--common"),
    "split": ("split", "{}", "a=0.5", "b=0.5"),
    "tier": ("tier", "{}", "--tier", "expert", "--trajectories", 2, "--returns", "0:"),
}


def words(name: str, corpus: Path, out: Path) -> list[object]:
    return [str(word).format(corpus) for word in WRITING[name]] + ["--out", out]


@pytest.mark.parametrize("name", WRITING)
@pytest.mark.parametrize("place", ["sub", "shards/sub", "masks/a/b", "masks/../sub"])
def test_nothing_is_written_into_a_corpus(run, corpus: Path, name: str, place: str) -> None:
    before = sorted(corpus.rglob("*"))
    result = run("lawm-data", *words(name, corpus, corpus.parent / corpus.name / place))
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert "lies in the corpus" in result.err
    assert sorted(corpus.rglob("*")) == before


def test_filter_and_delete_divide_a_corpus(run, corpus: Path, tmp_path: Path) -> None:
    where = "position < 2 or return > 1e6"
    kept = run("lawm-data", "filter", corpus, where, "--out", tmp_path / "a", "--json").json
    rest = run("lawm-data", "delete", corpus, "--where", where, "--out", tmp_path / "b", "--json")
    assert (kept["trajectories"], rest.json["trajectories"], kept["of"]) == (2, 4, 6)
    merged = run("lawm-data", "merge", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "c")
    assert merged.code == 0
    assert "third" in merged.out or "left behind: mask third" in merged.out
    whole, back = open_corpus(corpus), open_corpus(tmp_path / "c")
    assert back.fingerprint == whole.fingerprint
    assert run("lawm-data", "validate", tmp_path / "c").code == 0


def test_filter_through_a_mask_writes_no_hidden_action(run, corpus: Path, tmp_path: Path) -> None:
    words = ("filter", corpus, "length > 0", "--mask", "third", "--out", tmp_path / "a", "--json")
    mask, *clues = run("lawm-data", *words).json["left"]
    assert mask == "mask third: the corpus is written through a mask already"
    assert "left out: seeds of collections and resets (--keep seeds)" in clues
    counts = open_corpus(tmp_path / "a").label_counts()
    assert (counts["observed"], counts["missing"], counts["withheld"]) == (2, 4, 0)


def test_delete_by_id(run, corpus: Path, tmp_path: Path) -> None:
    ids = open_corpus(corpus).table.id.tolist()
    named = [word for name in ids[1:3] for word in ("--id", name)]
    assert run("lawm-data", "delete", corpus, *named, "--out", tmp_path / "a").code == 0
    assert open_corpus(tmp_path / "a").table.id.tolist() == [ids[0], *ids[3:]]


def test_split_says_what_is_in_no_part(run, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "parts"
    result = run("lawm-data", "split", corpus, "a=0.5", "b=0.25", "--out", out, "--json").json
    counts = {name: part["trajectories"] for name, part in result["parts"].items()}
    assert list(counts) == ["a", "b"]
    assert sum(counts.values()) + result["rest"] == result["of"] == 6
    assert {name: len(open_corpus(out / name)) for name in counts} == counts


def test_tier_says_what_is_missing(run, corpus: Path, tmp_path: Path) -> None:
    options = ("--tier", "expert", "--trajectories", 10, "--returns", "0:", "--out", tmp_path / "a")
    result = run("lawm-data", "tier", corpus, *options, "--json")
    assert result.code == 0
    assert result.json["missing"] == 4
    assert "has 6 of 10 trajectories of tier expert (returns 0:); 4 are missing" in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("name", WRITING)
def test_a_dry_run_tells_the_same_and_writes_nothing(
    run, corpus: Path, tmp_path: Path, name: str
) -> None:
    before = sorted(tmp_path.rglob("*"))
    out = tmp_path / "out"
    planned = run("lawm-data", *words(name, corpus, out), "--dry-run", "--json").json
    assert run("lawm-data", *words(name, corpus, out), "--dry-run").code == 0
    assert sorted(tmp_path.rglob("*")) == before
    done = run("lawm-data", *words(name, corpus, out), "--json").json
    assert out.exists()
    for result in (planned, *planned.get("parts", {}).values()):
        assert result.pop("dry_run") is True
    for result in (done, *done.get("parts", {}).values()):
        assert result.pop("dry_run") is False
    assert planned == done


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("filter", "{}", "retrun > 3"), "expression, column 1: no such name 'retrun'; names: id,"),
        (("filter", "{}", "length > 1000"), "no trajectory of it is left"),
        (("delete", "{}"), "delete: nothing is named; give an expression or ids"),
        (("split", "{}", "a=0.5", "b=0.6"), "the shares add up to 1.1"),
        (("tier", "{}", "--tier", "medium", "--trajectories", 3, "--returns", "3"), "LOW:HIGH"),
        (("filter", "{}", "length > 0", "--keep", "seeds"), "--keep: goes with --mask; give both"),
        (("rerender", "{}", "--size", 8, "--keep", "seeds"), "--keep: goes with --mask; give both"),
        (
            ("rerender", "{}", "--size", 8, "--seed", 1),
            "--seed: goes with --distractors; give both",
        ),
        (("merge", "{}", "nowhere"), "nowhere: does not exist"),
        (("merge", "{}", "--size", 8), "--size: goes with --common; give both"),
        (("merge", "{}", "--common", "--size", 0), "--size: is 0; give a whole number"),
    ],
)
def test_mistakes_are_one_line(run, corpus: Path, tmp_path: Path, words, message: str) -> None:
    given = [str(word).format(corpus) for word in words]
    result = run("lawm-data", *given, "--out", tmp_path / "out")
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert message in result.err
    assert not (tmp_path / "out").exists()
