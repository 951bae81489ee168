"""``lawm-data validate --replay`` and ``--against``."""

from pathlib import Path


def test_replay_and_comparison_are_told(run, corpus: Path, tmp_path: Path) -> None:
    words = ("validate", corpus, "--replay", "--sample", 2, "--json")
    told = run("lawm-data", *words).json
    assert told["replay"] == {"trajectories": 2, "exact": 2, "skipped": {}}
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
    ):
        result = run("lawm-data", "validate", corpus, *words)
        assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
        assert line in result.err
