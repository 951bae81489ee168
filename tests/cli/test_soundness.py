"""``lawm-data validate --replay`` and ``--against``, and ``lawm-data repair``."""

from pathlib import Path


def test_replay_and_comparison_are_told(run, corpus: Path, tmp_path: Path) -> None:
    words = ("validate", corpus, "--replay", "--sample", 2, "--json")
    replayed = run("lawm-data", *words).json
    assert replayed["replay"] == {"trajectories": 2, "exact": 2, "skipped": {}}
    assert (
        "replayed 6 trajectories, 6 bit for bit"
        in run("lawm-data", "validate", corpus, "--replay").out
    )
    withheld = tmp_path / "public"
    words = ("mask", corpus, "--fraction", 0.34, "--name", "third", "--withhold", withheld)
    assert run("lawm-data", *words).code == 0
    result = run("lawm-data", "validate", withheld, "--replay", "--against", corpus, "--json")
    assert (result.code, result.json["valid"]) == (1, False)
    assert len(result.json["against"]["equal"]) == 6
    assert result.json["replay"]["skipped"] == {"not all of its actions were recorded": 4}


def test_a_damaged_corpus_is_not_replayed(run, corpus: Path) -> None:
    (shard,) = (corpus / "shards").iterdir()
    shard.write_bytes(shard.read_bytes()[:-1])
    result = run("lawm-data", "validate", corpus, "--replay", "--against", corpus, "--json")
    assert (result.code, result.json["replay"], result.json["against"]) == (1, None, None)


def test_bad_input_is_one_line(run, corpus: Path) -> None:
    for words, line in (
        (("--sample", 2), "add --replay"),
        (("--against", corpus / "masks"), "is not a corpus"),
        (("--against", ""), "an argument is empty"),
        (("--against=",), "an argument is empty"),
    ):
        result = run("lawm-data", "validate", corpus, *words)
        assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
        assert line in result.err


def test_no_corpus_is_no_finding(run, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        result = run("lawm-data", "validate", path)
        assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
        assert "no corpus here" in result.err


def test_repair_says_first_and_then_does(run, require_documented, corpus: Path) -> None:
    assert "nothing to repair" in run("lawm-data", "repair", corpus).out
    (shard,) = (corpus / "shards").iterdir()
    data = bytearray(shard.read_bytes())
    data[-9] ^= 1
    shard.write_bytes(data)
    before = {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    planned = run("lawm-data", "repair", corpus, "--dry-run", "--json")
    require_documented("lawm-data repair", planned.json)
    assert {path: path.stat().st_mtime_ns for path in corpus.rglob("*")} == before
    assert "would keep 5 trajectories" in run("lawm-data", "repair", corpus, "--dry-run").out
    printed = run("lawm-data", "repair", corpus).out
    assert "keeps 5 trajectories; damaged files are in" in printed
    assert "lost: 1 trajectories" in printed
    assert run("lawm-data", "validate", corpus, "--json").json["findings"] == []
    assert planned.json["changes"][0]["where"] == str(shard)
    assert planned.json["trajectories"] == 5


def test_repair_refuses_what_is_no_corpus(run, tmp_path: Path) -> None:
    result = run("lawm-data", "repair", tmp_path)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert "is not a corpus" in result.err
    assert list(tmp_path.iterdir()) == []
