"""``lawm-data validate`` and ``repair``: is a corpus what it says it is, and what if not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from lawm_schemas import ConfigError, CorpusError

from lawm_cli import errors, report
from lawm_cli.options import Corpus, Json, example
from lawm_cli.output import print_json
from lawm_data.system import terminal as show

VALIDATE = example(
    "lawm-data validate corpora/cs --json",
    "lawm-data validate corpora/cs --replay --sample 20",
    "lawm-data validate corpora/train --against corpora/test",
)

REPAIR = example(
    "lawm-data repair corpora/cs --dry-run",
    "lawm-data repair corpora/cs --out corpora/cs-repaired",
)


def validate(
    corpus: Corpus,
    replay: Annotated[
        bool,
        typer.Option("--replay", help="Simulate the recorded actions again, too."),
    ] = False,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Replay only so many trajectories, evenly spread.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="Another corpus that should share no trajectory with it.")
    ] = None,
    json: Json = False,
) -> None:
    """Check every byte of a corpus.

    Exits with 0 when it is sound and with 1 when there are errors. Warnings are listed too, but do
    not change the exit code.
    """
    from lawm_data.corpus.integrity.validate import validate as check

    if sample is not None and not replay:
        raise ConfigError("goes with --replay", "--sample", "add --replay")
    if not corpus.is_dir() or not any(corpus.iterdir()):
        raise CorpusError("no corpus here", str(corpus), "check the path")
    findings = check(corpus)
    result: dict[str, Any] = {"path": corpus, "replay": None, "against": None}
    # What cannot be opened has been found already, and can be compared with nothing.
    if not any(finding.severity == "error" for finding in findings):
        if replay:
            from lawm_data.inspection.replay import reproduce

            with show.Bars() as bars:
                replayed = reproduce(corpus, sample, progress=bars.of("replay"))
            findings += replayed.findings
            result["replay"] = {
                "trajectories": replayed.replayed,
                "exact": replayed.exact,
                "skipped": dict(replayed.skipped),
            }
        if against is not None:
            from lawm_data.corpus.integrity.leakage import leakage, leakage_findings

            shared = leakage(corpus, against)
            findings += leakage_findings(corpus, against, shared)
            result["against"] = {
                "path": against,
                "equal": [a for a, _ in shared.equal],
                "near": [a for a, _ in shared.near],
            }
    wrong = any(finding.severity == "error" for finding in findings)
    told = [finding._asdict() for finding in findings]
    if json:
        print_json({**result, "valid": not wrong, "findings": told})
    else:
        report.findings(corpus, told)
        if result["replay"] is not None:
            report.replay(result["replay"])
    if wrong:
        raise typer.Exit(errors.FOUND)


def repair(
    corpus: Corpus,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Write the repaired corpus here and leave this one as it is."),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(help="A corpus of the same arrays, when nothing else says what they are."),
    ] = None,
    json: Json = False,
) -> None:
    """Restore what can be restored of a damaged corpus.

    Trajectories that their hashes prove sound are kept, and what is sound is not touched. Damaged
    files are kept in a folder backup-N inside the corpus.
    """
    from lawm_data.corpus.integrity.repair import repair as restore
    from lawm_data.corpus.integrity.repair_plan import plan_repair

    done = plan_repair(corpus, like) if dry_run else restore(corpus, out, like)
    result = {
        "path": corpus,
        "out": out,
        "dry_run": dry_run,
        "sound": not done.changes,
        "changes": [change._asdict() for change in done.changes],
        "trajectories": done.trajectories,
        "lost": [loss._asdict() for loss in done.lost],
        "unproven": done.unproven,
        "backup": done.backup,
        "fingerprint": done.fingerprint,
    }
    print_json(result) if json else report.repair(result)
