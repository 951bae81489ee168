"""The text and tables of the report, as HTML. All that comes from the corpus is escaped here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.metadata import version
from typing import Any

from lawm_data.corpus.corpus import Corpus
from lawm_data.inspection.report.charts import STATES
from lawm_data.inspection.report.lineage import Node
from lawm_data.system.formatting import size, text

COLUMNS = ("mean", "std", "min", "p25", "median", "p75", "max")


def fill(
    view: Corpus,
    summary: Mapping[str, Any],
    specs: Mapping[str, Mapping[str, Any]],
    groups: Sequence[str],
    stages: Sequence[Sequence[Node]],
    problem: str | None,
) -> dict[str, str]:
    """The places of ``page.html`` and what goes there.

    Args:
        view: what the report is on.
        summary: of it, with ``stats``.
        specs: the charts by name; those with a ``title`` stand in grids.
        groups: names of the groups of trajectories.
        stages: boxes of the graph, row by row.
        problem: why there are no moving pictures, if so.
    """
    name = view.path.resolve().name
    return {
        "name": escape(name),
        "lead": escape(_lead(summary)),
        "facts": _facts(summary),
        "returns": _returns(summary, specs),
        "legend": _legend(),
        "label_note": escape(_label_note(summary)),
        "actions": _grid(specs, "actions") or "<p>No action can be read in this view.</p>",
        "observations": _grid(specs, "observations") or "<p>Only pixels are recorded.</p>",
        "actions_note": escape(_actions_note(summary)),
        "observations_note": escape(_observations_note(summary)),
        "browser_note": escape(f"No moving pictures: {problem}." if problem else ""),
        "groups": "".join(f"<option>{escape(group)}</option>" for group in groups),
        "graph": _graph(stages),
        "version": escape(version("lawm")),
        "fingerprint": escape(summary["fingerprint"]),
    }


def _lead(summary: Mapping[str, Any]) -> str:
    environment, returns = summary["environment"], summary["returns"]
    where = f" of {environment['task']}" if environment else ""
    seen = f", seen through mask {summary['mask']}" if summary["mask"] else ""
    seen += f", with labels {summary['labels']}" if summary["labels"] else ""
    many = f"{summary['trajectories']:,} trajectories{where}, {summary['steps']:,} steps"
    if returns is None:
        return f"{many}{seen}. No rewards were recorded."
    return f"{many}{seen}. Mean return {returns['mean']:.1f}, best {returns['max']:.1f}."


def _facts(summary: Mapping[str, Any]) -> str:
    environment = summary["environment"] or {}
    timestep = environment.get("control_timestep")
    step = timestep and f"{timestep * environment['action_repeat']:.3g} s"
    lengths, equal = summary["lengths"], summary["stats"]["duplicates"]
    span = {round(lengths["min"]), round(lengths["max"])}
    rows = {
        "environment": environment.get("task", "unknown"),
        "action repeat": environment and environment["action_repeat"],
        "time per step": step,
        "steps per trajectory": " to ".join(f"{n:,}" for n in sorted(span)),
        "steps with actions": f"{summary['label_steps']['observed']:,} of {summary['steps']:,}",
        "duplicates": sum(len(ids) - 1 for ids in equal),
        "near-constant": ", ".join(summary["stats"]["near_constant"]) or "none",
        "size": size(summary["bytes"], summary["shards"]),
        "licence": summary["licence"] or "none stated",
    }
    return "".join(
        f"<div><dt>{escape(key)}</dt><dd>{escape(text(value))}</dd></div>"
        for key, value in rows.items()
        if value not in (None, {})
    )


def _returns(summary: Mapping[str, Any], specs: Mapping[str, Mapping[str, Any]]) -> str:
    """Table 4 and what is drawn of the returns, if there are any."""
    if summary["returns"] is None:
        return "<p>No rewards were recorded, so trajectories have no returns.</p>"
    without = summary["without_rewards"]
    lacking = f" Not shown: {without:,} without recorded rewards." if without else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="Returns by source">'
        f"{_table4(summary)}</div>"
        f'<div class="grid wide">{_grid(specs, "returns")}</div>'
        "<figure><figcaption>in the order of collection</figcaption>"
        '<div class="chart" data-chart="order"></div></figure>'
        '<p class="note">Colours tell the label state of the actions; the line is a running median.'
        " A click on a trajectory opens it below, if it is among those that can be looked at."
        f"{lacking}</p>"
    )


def _table4(summary: Mapping[str, Any]) -> str:
    sources = summary["by_source"]
    rows = [(name, entry) for name, entry in sources.items()] if len(sources) > 1 else []
    head = "".join(f'<th scope="col">{c}</th>' for c in ("source", "trajectories", *COLUMNS))
    body = ""
    for name, entry in [*rows, ("all", summary)]:
        spread = entry["returns"]
        numbers = "".join(f"<td>{spread[c]:,.1f}</td>" if spread else "<td>-</td>" for c in COLUMNS)
        count = f"<td>{entry['trajectories']:,}</td>"
        body += f'<tr><th scope="row">{escape(name)}</th>{count}{numbers}</tr>'
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _grid(specs: Mapping[str, Mapping[str, Any]], kind: str) -> str:
    """Places for the charts of one kind, each under its title."""
    return "".join(
        f"<figure><figcaption>{escape(entry['title'])}</figcaption>"
        f'<div class="chart" data-chart="{escape(name)}"></div></figure>'
        for name, entry in specs.items()
        if name.startswith(f"{kind}-")
    )


def _legend() -> str:
    meaning = {
        "observed": "recorded and readable",
        "withheld": "recorded, hidden by a mask",
        "missing": "never recorded",
        "inferred": "filled in by a model",
    }
    return "".join(
        f'<li><span class="swatch" style="background:var(--{state})"></span>'
        f"<b>{state}</b> {meaning[state]}</li>"
        for state in STATES
    )


def _label_note(summary: Mapping[str, Any]) -> str:
    stale = [name for name, mask in summary["masks"].items() if not mask["current"]]
    notes = [] if summary["masks"] else ["This corpus has no masks."]
    notes += (
        [f"Not drawn, for an earlier state of the corpus: {', '.join(stale)}."] if stale else []
    )
    notes += [f"Cannot be read: {thing['where']}." for thing in summary["damaged"]]
    return " ".join(notes)


def _actions_note(summary: Mapping[str, Any]) -> str:
    actions = summary["stats"]["actions"]
    if actions is None:
        return ""
    note = f"Over the {actions['steps']:,} observed steps of this view, and no others."
    if actions["at_low"] is not None:
        share = sum(actions["at_low"] + actions["at_high"]) / len(actions["at_low"])
        note += f" {share:.1%} of the values are at a bound."
    return note


def _observations_note(summary: Mapping[str, Any]) -> str:
    still = summary["stats"]["near_constant"]
    return f"Near-constant: {', '.join(still)}." if still else "No dimension is near-constant."


def _graph(stages: Sequence[Sequence[Node]]) -> str:
    rows = ""
    for stage in stages:
        boxes = ""
        for node in stage:
            facts = "".join(f"<span>{escape(fact)}</span>" for fact in node.facts)
            parents = escape("\n".join(node.parents))
            boxes += (
                f'<li class="node {node.kind}" data-node="{escape(node.name)}" '
                f'data-parents="{parents}"><small>{node.kind}</small>'
                f"<b>{escape(node.title)}</b>{facts}</li>"
            )
        rows += f'<ul class="stage">{boxes}</ul>'
    return rows
