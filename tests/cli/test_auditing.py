"""``lawm audit``."""

import json
from pathlib import Path


def test_verdict_and_exit_code(run, require_documented, trained: Path) -> None:
    result = run("lawm", "audit", trained, "--steps", 2, "--json")
    assert (result.code, result.json["passed"]) == (0, True)
    require_documented("lawm audit", result.json)
    shown = run("lawm", "audit", trained, "--steps", 1)
    assert shown.code == 0
    for word in ("withheld", "bit for bit", "it saw the observed actions and no others"):
        assert word in shown.out
    record = json.loads((trained / "run.json").read_text())
    record["corpora"][0]["mask_sha256"] = "0" * 64
    del record["checksum"]
    (trained / "run.json").write_text(json.dumps(record))
    shown = run("lawm", "audit", trained)
    assert shown.code == 1
    assert "FAILED" in shown.out
    assert "not proved" in shown.out


def test_bad_input_is_one_line(run, trained: Path, tmp_path: Path) -> None:
    for words, line in (
        ((tmp_path / "new",), "not a run folder"),
        ((trained, "--steps", 0), "--steps"),
    ):
        result = run("lawm", "audit", *words)
        assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
        assert line in result.err
    (trained / "checkpoints").rename(tmp_path / "away")
    result = run("lawm", "audit", trained)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert "has no checkpoint" in result.err
