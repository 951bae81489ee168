"""Where trajectories come from: groups by source and tier, and the graph of the corpus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from lawm_schemas import Provenance

from lawm_data.corpus.corpus import Corpus


def group_name(entry: Provenance) -> str:
    """Name of the group that trajectories of this provenance belong to."""
    return entry.source if entry.tier is None else f"{entry.source}, {entry.tier}"


def groups(view: Corpus) -> dict[str, np.ndarray]:
    """The groups that a view has trajectories of, largest first, with their places (n,)."""
    names = [group_name(entry) for entry in view.manifest.provenance]
    member = np.array(names or [""])[view.table.provenance]
    found, count = np.unique(member, return_counts=True)
    order = np.argsort(-count, kind="stable")
    return {str(found[i]): np.flatnonzero(member == found[i]) for i in order}


_DRAW = ("fraction", "seed", "by", "stratify")
"""What tells how a mask was drawn."""


class Node(NamedTuple):
    """A box of the graph."""

    name: str
    """Unique; the edges refer to it."""
    kind: str
    """``source``, ``operation``, ``corpus``, ``mask`` or ``labels``."""
    title: str
    facts: tuple[str, ...]
    parents: tuple[str, ...]
    """Names of the boxes that it comes from."""


def stages(view: Corpus, summary: Mapping[str, Any]) -> list[list[Node]]:
    """The boxes in rows: sources, each operation, the corpus, what hangs on it."""
    rows = [_sources(view)]
    for number, step in enumerate(view.manifest.lineage):
        parents = tuple(node.name for node in rows[-1])
        from_ = [f"from {', '.join(p[:12] for p in step.parents)}"] if step.parents else []
        facts = []
        # no draw made a mask that was chosen
        drawn = _DRAW if "where_of_mask" in step.settings else ()
        for key, value in step.settings.items():
            if key not in drawn:
                text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
                facts.append(f"{key} {_short(text)}")
        node = Node(f"step{number}", "operation", step.operation, (*from_, *facts[:6]), parents)
        rows.append([node])
    whole = sum(shard.trajectories for shard in view.manifest.shards)
    facts = (f"{whole:,} trajectories", view.root_fingerprint[:16])
    above = tuple(node.name for node in rows[-1])
    rows.append([Node("corpus", "corpus", view.path.resolve().name, facts, above)])
    masks = [
        Node(f"mask {name}", "mask", name, _mask_facts(mask), ("corpus",))
        for name, mask in summary["masks"].items()
    ]
    labels = [
        Node(f"labels {name}", "labels", name, _overlay_facts(overlay), ("corpus",))
        for name, overlay in summary["overlays"].items()
    ]
    return [row for row in (*rows, [*masks, *labels]) if row]


def _sources(view: Corpus) -> list[Node]:
    """One box for all provenance entries that differ only in seed."""
    count = np.bincount(view.table.provenance, minlength=len(view.manifest.provenance))
    alike: dict[tuple, list[int]] = {}
    for number, entry in enumerate(view.manifest.provenance):
        if count[number]:
            key = (group_name(entry), entry.agent, entry.origin, entry.licence)
            alike.setdefault(key, []).append(number)
    nodes = []
    for place, numbers in enumerate(alike.values()):
        entries = [view.manifest.provenance[number] for number in numbers]
        trajectories = int(count[numbers].sum())
        facts = (f"{trajectories:,} trajectories", *_source_facts(entries))
        nodes.append(Node(f"source{place}", "source", group_name(entries[0]), facts, ()))
    return nodes


def _source_facts(entries: list[Provenance]) -> list[str]:
    first, seeds = entries[0], [str(e.seed) for e in entries if e.seed is not None]
    facts = [f"from {first.origin}"]
    if first.agent and first.agent != first.source:
        facts.append(f"agent {first.agent[:24]}")
    if seeds:
        facts.append(f"{'seeds' if len(seeds) > 1 else 'seed'} {', '.join(seeds)}")
    if first.licence:
        facts.append(first.licence)
    versions = [f"{name} {version}" for name, version in first.versions.items()]
    return [*facts, *([", ".join(versions)] if versions else [])]


def _mask_facts(mask: Mapping[str, Any]) -> tuple[str, ...]:
    kept = f"keeps {mask['labeled']:,} labeled"
    if mask["where"] is not None:
        chosen = "a list of ids" if mask["where"] == "ids" else _short(mask["where"])
        return (kept, f"chosen by {chosen}", *_stale(mask))
    how = f"{mask['fraction']:.3g} of the {mask['by']}, seed {mask['seed']}"
    more = [f"stratified by {mask['stratify']}"] if mask["stratify"] else []
    return (kept, how, *more, *_stale(mask))


def _overlay_facts(overlay: Mapping[str, Any]) -> tuple[str, ...]:
    r2 = [] if overlay["r2"] is None else [f"R² {overlay['r2']:.3f}"]
    made = f"{overlay['trajectories']:,} inferred by {overlay['algorithm']}"
    under = [f"trained under mask {overlay['mask']}"] if overlay["mask"] else []
    return (made, *under, *r2, *_stale(overlay))


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}…"


def _stale(thing: Mapping[str, Any]) -> list[str]:
    return [] if thing["current"] else ["for an earlier state of the corpus"]
