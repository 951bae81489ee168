"""``lawm-data validate`` and ``repair``: is a corpus what it says it is, and what if not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer
from lawm_schemas import ConfigError, CorpusError

from lawm_cli import errors, report
from lawm_cli.options import Corpus, Json, Labels, Mask, example
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
                "compared": shared.compared,
            }
    wrong = any(finding.severity == "error" for finding in findings)
    listed = [
        {"severity": f.severity, "where": f.where, "what": f.what, "mend": f.hint} for f in findings
    ]
    if json:
        print_json({**result, "valid": not wrong, "findings": listed})
    else:
        report.findings(corpus, listed)
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
    from lawm_data.corpus.integrity.repair import plan_repair
    from lawm_data.corpus.integrity.repair import repair as restore

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


SMALLEST = 16
"""Pixels; encoders refuse smaller pictures."""

EPILOG = example(
    "lawm-data render corpora/cs --trajectory 0 runs/first.mp4",
    "lawm-data render corpora/cs --trajectory 0 runs/first.gif \\",
    "    --size 160x120 --every 2",
)


Camera = Annotated[str | None, typer.Option(help="Camera of the model, by name or number.")]


def lens(camera: str | None) -> int | str | None:
    """A camera as it was given, by number where it is one."""
    return int(camera) if camera is not None and camera.lstrip("-").isdecimal() else camera


def render(
    corpus: Corpus,
    out: Annotated[Path, typer.Argument(help="Video to write: .mp4 or .gif.", show_default=False)],
    trajectory: Annotated[str, typer.Option(help="Id of the trajectory, or its place from 0 on.")],
    size: Annotated[str, typer.Option(metavar="WxH", help="Width and height.")] = "320x240",
    camera: Camera = None,
    every: Annotated[int, typer.Option(min=1, help="Draw every n-th step.")] = 1,
    json: Json = False,
) -> None:
    """Draw a trajectory from its recorded physics states.

    Works for every trajectory, with actions or without. Plays in real time.
    """
    from lawm_data.corpus.corpus import open_corpus
    from lawm_data.envs.renderer import choose_renderer
    from lawm_data.inspection.render import frame_rate, frames, place_of
    from lawm_data.system.video import require_video, write_video

    found = re.fullmatch(r"(\d{1,4})x(\d{1,4})", size)
    if not found:
        raise ConfigError(f"{size!r} is not a size", "--size", "give it like 320x240")
    width, height = int(found[1]), int(found[2])
    if width % 2 or height % 2 or min(width, height) < SMALLEST:
        hint = f"give even numbers from {SMALLEST} on, like 320x240"
        raise ConfigError(f"{size!r} cannot be the size of a video", "--size", hint)
    require_video(out)
    choose_renderer()
    view = open_corpus(corpus)
    place = place_of(view, trajectory)
    shown = view.table.info(place)
    if every > shown.length:
        what, hint = "draws nothing but the first step", f"give {shown.length} at most"
        raise ConfigError(what, f"--every {every}", hint)
    drawn = frames(view, shown.id, (width, height), slice(None, None, every), lens(camera))
    pictures = list(drawn)
    rate = frame_rate(view, every)
    write_video(out, pictures, rate)
    result = {
        "path": corpus,
        "trajectory": shown.id,
        "return": shown.episode_return if view.table.rewarded[place] else None,
        "video": out,
        "frames": len(pictures),
        "seconds": len(pictures) / rate,
        "size": [pictures[0].shape[1], pictures[0].shape[0]],
    }
    print_json(result) if json else show.facts(result, title=str(corpus))


REPORT = example("lawm-data report corpora/cs -o report.html --mask 5pct --labels lawm-a")


def report_page(
    corpus: Corpus,
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write.")] = Path(
        "report.html"
    ),
    mask: Mask = None,
    labels: Labels = None,
    trajectories: Annotated[
        int, typer.Option(min=1, help="How many can be looked at one by one.")
    ] = 60,
    clips: Annotated[int, typer.Option(min=0, help="How many of them get moving pictures.")] = 6,
    json: Json = False,
) -> None:
    """Write a page to look at, about a corpus.

    One file that needs no network: returns, labels, distributions, trajectories one by one,
    provenance. Pictures need recorded pixels, or the physics state.
    """
    from lawm_data.corpus.corpus import open_corpus
    from lawm_data.envs.renderer import choose_renderer
    from lawm_data.inspection.report.page import write_report
    from lawm_data.system.output import refuse_inside

    refuse_inside(out)
    choose_renderer()
    view = open_corpus(corpus, verify=True)
    view = view if mask is None else view.with_mask(mask)
    view = view if labels is None else view.with_labels(labels)
    with show.Bars() as bars:
        result = write_report(view, out, trajectories=trajectories, clips=clips, bars=bars)
    if json:
        print_json(result)
        return
    facts = {
        "page": result["report"],
        "size": f"{result['bytes'] / 1e6:.3g} MB",
        "trajectories to look at": result["browsable"],
        "with moving pictures": result["clips_problem"] or result["clips"],
    }
    show.facts(facts, title=result["path"])
