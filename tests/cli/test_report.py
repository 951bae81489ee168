"""Tables for people say what the JSON of a command says."""

from pathlib import Path

import pytest
from lawm_cli import report


def test_info_for_people_names_what_json_says(run, corpus: Path) -> None:
    out = run("lawm-data", "info", corpus).out
    for word in ("trajectories", "cartpole-swingup", "6 observed", "third", "position[3]"):
        assert word in out


@pytest.mark.parametrize("inferred", [0, 3])
@pytest.mark.parametrize("passed", [True, False])
def test_a_verdict_follows_from_its_checks(capsys, passed: bool, inferred: int) -> None:
    states = {
        "observed": {"trajectories": 2, "steps": 50},
        "inferred": {"trajectories": inferred, "steps": 25 * inferred},
    }
    report.audit(
        {
            "run": "runs/a",
            "corpora": [{"path": "cs", "mask": "third", "states": states}],
            "checks": [{"name": "bounds of cs", "passed": passed, "what": "within"}],
            "passed": passed,
        }
    )
    out = capsys.readouterr().out
    assert "cs@third" in out
    assert ("FAILED" in out, "not proved" in out) == (not passed, not passed)
    assert ("inferred ones" in out) == (passed and inferred > 0)


def test_findings_are_lines_and_only_errors_are_counted(capsys) -> None:
    finding = {"where": "a.h5", "what": "is missing", "mend": "restore it"}
    found = [{**finding, "severity": severity} for severity in ("error", "warning", "error")]
    report.findings(Path("cs"), found)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:] == [
        "warning: a.h5: is missing; restore it",
        "error: a.h5: is missing; restore it",
        "cs: errors: 2",
    ]
    report.findings(Path("cs"), found[1:2])
    assert capsys.readouterr().out.endswith("cs: sound\n")


@pytest.mark.parametrize(("dry_run", "verb"), [(True, "would keep"), (False, "keeps")])
def test_a_repair_says_what_is_lost_and_what_is_left(capsys, dry_run: bool, verb: str) -> None:
    lost = [{"shard": "a.h5", "what": "its content was altered"}] * 2
    result = {
        "path": "cs",
        "out": None,
        "changes": [{"where": "a.h5", "what": "is written again"}],
        "lost": lost,
        "unproven": ["b.h5"],
        "sound": False,
        "dry_run": dry_run,
        "trajectories": 1234,
        "backup": "cs.damaged",
    }
    report.repair(result)
    assert capsys.readouterr().out.splitlines() == [
        "a.h5: is written again",
        "lost: 2 trajectories of a.h5: its content was altered",
        "unproven: ids, sources, seeds and metadata of what is kept of b.h5",
        f"cs: {verb} 1,234 trajectories; damaged files are in cs.damaged",
    ]
