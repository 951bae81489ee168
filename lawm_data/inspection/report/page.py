"""The page as a whole: text, style, program, charts and data in one file."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache, partial
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from string import Template
from types import ModuleType
from typing import Any

import numpy as np
from lawm_schemas import ConfigError, CorpusError, StorageError
from lawm_schemas.base import plain

from lawm_data.corpus.corpus import Corpus, open_corpus
from lawm_data.inspection.report import browser, charts, lineage, prose
from lawm_data.inspection.report.clips import Frames, make_clips
from lawm_data.inspection.statistics import action_blocks, observation_blocks
from lawm_data.inspection.summary import label_steps, summarize
from lawm_data.system.atomic import write_file
from lawm_data.system.terminal import Bars

MOST_DIMENSIONS = 96
"""Distributions drawn."""


def write_report(
    view: Corpus,
    out: Path,
    *,
    trajectories: int = 60,
    clips: int = 6,
    bars: Bars,
    frames: Frames | None = None,
) -> dict[str, Any]:
    """Write the report on a view; the file appears whole or not at all.

    The same view gives the same page, but for what the video encoder does.

    Args:
        view: the corpus, through a mask and with labels or without. No hidden action is read.
        out: the file; one that exists is replaced.
        trajectories: at most so many can be looked at one by one.
        clips: at most so many of them get moving pictures.
        bars: shows the progress.
        frames: gives the pictures; by default what the corpus recorded.

    Returns:
        The object that ``report --json`` prints.

    Raises:
        ConfigError: the package that draws the charts is missing.
        CorpusError: there is not a single trajectory.
        StorageError: the file system refused.
    """
    if not len(view):
        raise CorpusError("has no trajectories", str(view.path), "collect some first")
    if out.is_dir():
        raise StorageError("is a folder", str(out), "name the file to write, e.g. report.html")
    if not out.parent.is_dir():
        raise StorageError("there is no such folder", str(out.parent), "make it first")
    try:
        library = _javascript(import_module("vl_convert"))
    except ModuleNotFoundError as error:
        what = f"needs the package {error.name}"
        raise ConfigError(what, "report", 'pip install "lawm[report]"') from None
    summary = summarize(view, stats=True)
    shown = browser.choose(view, trajectories)
    films, problem = make_clips(view, shown, clips, bars, frames)
    data, specs = _content(view, summary, shown)
    for place, packed in zip(shown.tolist(), data["trajectories"], strict=True):
        packed["clip"] = films.get(place)
    names = list(lineage.groups(view))
    text = prose.fill(view, summary, specs, names, lineage.stages(view, summary), problem)
    page = _assemble(text, library, {"charts": specs, "browser": data})
    write_file(out, page)
    return {
        "path": str(view.path),
        "report": str(out),
        "bytes": len(page),
        "fingerprint": summary["fingerprint"],
        "mask": summary["mask"],
        "labels": summary["labels"],
        "trajectories": len(view),
        "browsable": len(shown),
        "clips": len(films),
        "clips_problem": problem,
    }


@cache
def _javascript(package: ModuleType) -> str:
    """Vega, Vega-Lite and Vega-Embed in one program; takes seconds, and never changes."""
    return package.javascript_bundle()


def _content(
    view: Corpus, summary: Mapping[str, Any], shown: np.ndarray
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the browser needs, and all charts by name."""
    specs: dict[str, Any] = {}
    for number, (name, spec) in enumerate(charts.returns(view).items()):
        specs[f"returns-{number}"] = {"title": name, "spec": spec}
    if view.table.rewarded.any():
        specs["order"] = {"spec": charts.order(view)}
    specs["coverage"] = {"spec": charts.coverage(_coverage(view, summary))}
    for number, (kind, name, found) in enumerate(_distributions(view, summary)):
        color = "--observed" if kind == "actions" else "--quiet"
        specs[f"{kind}-{number}"] = {"title": name, "spec": charts.dimension(name, found, color)}
    group_of = {int(i): name for name, rows in lineage.groups(view).items() for i in rows}
    data = browser.pack(view, shown, group_of)
    specs["signals"] = {"spec": charts.signals(data["panels"], data["longest"])}
    return data, specs


def _coverage(view: Corpus, summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Label states of the corpus as recorded, under each of its masks, and as it is seen here."""
    whole = open_corpus(view.path)
    rows = {"as recorded": whole}
    rows |= {n: whole.with_mask(n) for n, m in summary["masks"].items() if m["current"]}
    if len(view) != len(whole) or view.overlay is not None:
        rows["this view"] = view
    found = []
    for name, seen in rows.items():
        counts, steps = seen.label_counts(), label_steps(seen.table)
        labeled = f"{name}, {counts['observed']:,} labeled"
        for state, count in counts.items():
            row = {"mask": labeled, "state": state, "trajectories": count, "steps": steps[state]}
            found += [{**row, "share": count / len(seen)}] if count else []
    return found


def _distributions(
    view: Corpus, summary: Mapping[str, Any]
) -> list[tuple[str, str, charts.Histogram]]:
    """Kind, name and histogram of each dimension of the observed actions and of the state."""
    manifest, stats = view.manifest, summary["stats"]
    entries = {entry["name"]: entry for entry in stats["observations"]}
    parts = [
        ("observations", entries[spec.name], partial(observation_blocks, view, spec))
        for spec in manifest.state
    ]
    if stats["actions"]:
        parts.insert(0, ("actions", stats["actions"], partial(action_blocks, view)))
    found = []
    for kind, entry, blocks in parts:
        bars = charts.histograms(blocks, np.array(entry["min"]), np.array(entry["max"]))
        found += [(kind, n, bar) for n, bar in zip(entry["elements"], bars, strict=True)]
    return found[:MOST_DIMENSIONS]


def _assemble(text: Mapping[str, str], library: str, data: Mapping[str, Any]) -> bytes:
    """The bytes of the page. A policy in it lets only its own programs run, and no request out."""
    own = files("lawm_data.inspection.report")
    template = Template((own / "page.html").read_text("utf-8"))
    # the library declares names of its own, which the page's programs must not meet
    programs = [f"(()=>{{{library}\n}})();"]
    programs += [(own / name).read_text("utf-8") for name in ("page.js", "lineage.js")]
    digests = [hashlib.sha256(program.encode("utf-8")).digest() for program in programs]
    hashes = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    page = template.substitute(
        text,
        policy=f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data:; media-src data:; base-uri 'none'; form-action 'none'",
        style=(own / "page.css").read_text("utf-8"),
        data=embeddable(data),
        programs="\n".join(f"<script>{program}</script>" for program in programs),
    )
    return page.encode("utf-8")


def embeddable(data: Any) -> str:
    """JSON that can stand inside a ``script`` element: nothing in it can end that."""
    text = json.dumps(plain(data), allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
