"""The dataset card: what is in a published corpus, for people and for the Hub's search."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from lawm_schemas import Manifest, Mask
from lawm_schemas.plain_yaml import dump_yaml

from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.rate import step_seconds
from lawm_data.corpus.table import OBSERVED
from lawm_data.inspection.summary import summarize

PICTURE = "returns.png"
TAGS = (
    "lawm",
    "robotics",
    "reinforcement-learning",
    "trajectories",
    "world-models",
    "latent-actions",
)
SIZES = (
    *((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M")),
    *((10**7, "1M<n<10M"), (10**8, "10M<n<100M"), (10**9, "100M<n<1B"), (10**10, "1B<n<10B")),
)
"""Rows below which a size category holds; the Hub has fixed names for them."""
LARGEST = "10B<n<100B"
LICENCES = frozenset(
    (
        *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-4.0"),
        *("cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0"),
        *("cc-by-3.0", "cc-by-2.0", "odc-by", "odbl", "pddl", "gpl-3.0", "lgpl-3.0", "unlicense"),
        *("cdla-permissive-1.0", "cdla-permissive-2.0", "cdla-sharing-1.0", "afl-3.0"),
    )
)
"""Licences that the Hub knows by name, as of version 2 of its client."""
STATISTICS = ("mean", "std", "min", "p25", "median", "p75", "max")
"""Columns of Table 4 of arXiv 2512.10016."""
STATES = {
    "observed": "recorded, and here",
    "withheld": "recorded, but not shown",
    "missing": "never recorded",
    "inferred": "written by a model",
}


def make_card(
    view: Corpus,
    native: Corpus,
    repo: str,
    *,
    tag: str,
    licence: str | None,
    kept: bool,
    masks: Iterable[str],
) -> str:
    """The text of ``README.md``.

    Args:
        view: what the tables show.
        native: the corpus under ``corpus/``.
        repo: ``user/name``.
        tag: the tag that names this content.
        licence: SPDX id, or None.
        kept: the corpus holds actions that the view hides.
        masks: names of the masks beside it.
    """
    facts, environment = summarize(view), view.manifest.environment
    task = f" of `{environment.task}` ({environment.suite})" if environment else ""
    names = [f"observation.{spec.name}" for spec in view.manifest.observations] + ["action"]
    arrays = [
        (f"`{name}`", spec.dtype, str(list(spec.shape)), spec.role.value)
        for name, spec in zip(
            names, (*view.manifest.observations, view.manifest.action), strict=True
        )
    ]
    parts = [
        f"---\n{dump_yaml(_header(view, repo, licence))}---\n",
        f"# {repo.partition('/')[2]}\n",
        f"{facts['trajectories']:,} trajectories{task}, {facts['steps']:,} steps. A trajectory of T"
        " steps has T+1 observations: action and reward of row t belong to the step from"
        " observation t to t+1, and the last observation stands in the table of trajectories."
        f"{_rate(view)}\n",
        _labels(view, facts, kept, list(masks)),
        _returns(view, facts),
        f"## Arrays\n\n{_grid(('column', 'type', 'shape', 'role'), arrays)}",
        _loading(repo, tag, view.mask.name if kept and view.mask else None),
        _origin(native.manifest),
    ]
    return "\n".join(parts)


def _rate(view: Corpus) -> str:
    seconds = step_seconds(view.manifest)
    return "" if seconds is None else f" A step takes {seconds:.4g} s ({1 / seconds:.4g} a second)."


def _header(view: Corpus, repo: str, licence: str | None) -> dict[str, Any]:
    header: dict[str, Any] = {"pretty_name": repo.partition("/")[2]}
    if licence is not None and licence.lower() in LICENCES:
        header["license"] = licence.lower()
    elif licence is not None:
        header |= {"license": "other", "license_name": licence}
    environment, rows = view.manifest.environment, int(view.table.length.sum())
    return header | {
        "tags": [*TAGS, *([environment.suite, environment.task] if environment else [])],
        "task_categories": ["robotics", "reinforcement-learning"],
        "size_categories": [next((name for most, name in SIZES if rows < most), LARGEST)],
        "configs": [
            {"config_name": "steps", "default": True, "data_files": "steps/*.parquet"},
            {"config_name": "trajectories", "data_files": "trajectories/*.parquet"},
        ],
    }


def _labels(view: Corpus, facts: dict[str, Any], kept: bool, masks: list[str]) -> str:
    table, states, steps = view.table, facts["label_states"], facts["label_steps"]
    whole = int(((table.labels == OBSERVED) & (table.num_observed == table.length)).sum())
    share = 100 * whole / max(1, len(table))
    lines = [
        "## Actions\n",
        f"**{whole:,} of {len(table):,} trajectories ({share:.3g}%) have all their actions.**\n",
        _grid(
            ("state", "meaning", "trajectories", "steps"),
            [
                (name, STATES[name], f"{states[name]:,}", f"{steps[name]:,}")
                for name in STATES
                if steps[name]
            ],
        ),
    ]
    if view.mask is not None:
        lines.append(
            f"The mask `{view.mask.name}` shows {_shown(view, view.mask)}. "
            + (
                "The tables keep to it; the corpus under `corpus/` holds the hidden actions all"
                " the same, to measure against.\n"
                if kept
                else "The actions that it hides are nowhere in this repository; a model may"
                " still infer them from the observations.\n"
            )
        )
    lines.append(
        "In the table `steps`, `action_state` says it step by step, and `action_observed` is true"
        " where `action` holds numbers. Elsewhere its elements are null: not zero.\n"
    )
    if masks:
        lines.append(f"Masks beside the corpus: {', '.join(f'`{name}`' for name in masks)}.\n")
    return "\n".join(lines)


def _shown(view: Corpus, mask: Mask) -> str:
    """Which trajectories a mask shows, and how they were chosen."""
    if mask.where is None:
        by = f", stratified by {mask.stratify}" if mask.stratify else ""
        return f"{mask.fraction:.3g} of the {mask.by}, seed {mask.seed}{by}"
    shown = int(np.isin(view.table.id, mask.labeled).sum())
    # on one line and without what would end the code
    where = " ".join(mask.where.split()).replace("`", "'")
    chosen = "on a list of ids" if mask.where == "ids" else f"with `{where}`"
    return f"those {chosen} ({shown:,} of {len(view):,})"


def _returns(view: Corpus, facts: dict[str, Any]) -> str:
    rewarded = facts["trajectories"] - facts["without_rewards"]
    rows = [("all", rewarded, facts["returns"])]
    if len(facts["by_source"]) > 1:
        rows += [(n, s["trajectories"], s["returns"]) for n, s in facts["by_source"].items()]
    cells = [
        (name, f"{count:,}", *(f"{found[key]:.1f}" for key in STATISTICS))
        for name, count, found in rows
        if found
    ]
    grid = _grid(("source", "trajectories", *STATISTICS), cells)
    low, high = int(view.table.length.min()), int(view.table.length.max())
    lengths = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    picture = f"![Histogram of the returns]({PICTURE})\n\n{grid}\n" if cells else ""
    none = facts["without_rewards"]
    unknown = (
        f"No rewards were recorded for {none:,} trajectories; theirs are null.\n\n" if none else ""
    )
    return f"## Returns\n\n{picture}{unknown}Each trajectory has {lengths} steps.\n"


def _loading(repo: str, tag: str, mask: str | None) -> str:
    through = f' --mask "{mask}"' if mask else ""
    return f"""## Loading

```python
from datasets import load_dataset

steps = load_dataset("{repo}", split="train")
trajectories = load_dataset("{repo}", "trajectories", split="train")
```

The corpus with checksums, masks and provenance is under `corpus/`, for
`lawm` (`pip install 'lawm[hub]'`):

```
lawm-data pull {repo} corpora/{repo.partition("/")[2]}
lawm train --corpus hf://{repo}@{tag}{through} --out runs/a
```

The tag `{tag}` names this content for good.
"""


def _origin(manifest: Manifest) -> str:
    rows = []
    for p in manifest.provenance:
        versions = ", ".join(f"{name} {number}" for name, number in sorted(p.versions.items()))
        cells = (p.source, p.agent, p.origin, p.tier, p.licence, versions)
        rows.append(tuple(cell or "-" for cell in cells))
    lines = [
        "## Provenance\n",
        _grid(("source", "agent", "origin", "tier", "licence", "versions"), dict.fromkeys(rows)),
    ]
    if manifest.lineage:
        lines.append("What was done, oldest first:\n")
        for step in manifest.lineage:
            parents = ", ".join(f"`{parent[:12]}`" for parent in step.parents)
            lines.append(f"- {step.operation}" + (f" of {parents}" if parents else ""))
        lines.append("")
    lines.append(f"Fingerprint of the corpus: `{manifest.fingerprint}`\n")
    return "\n".join(lines)


def _grid(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; what could break out of a cell is made harmless."""
    plain = [[" ".join(str(c).split()).replace("|", "\\|") for c in row] for row in rows]
    lines = [columns, ["---"] * len(columns), *plain]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


BINS = 40
LABELED, UNLABELED = "#2b6cb0", "#cbd5e0"


def draw_returns(view: Corpus) -> bytes:
    """A histogram of the returns as a PNG file; trajectories with all their actions are blue.

    Those whose rewards were not recorded are left out. The same view gives the same bytes.
    """
    # Figure without pyplot: no global state, no display, nothing to close.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    table = view.table
    labeled = (table.labels == OBSERVED) & (table.num_observed == table.length)
    every, edges = np.histogram(table.episode_return[table.rewarded], BINS)
    some, _ = np.histogram(table.episode_return[table.rewarded & labeled], edges)
    figure = Figure(figsize=(7, 2.6), dpi=120)
    FigureCanvasAgg(figure)
    axes = figure.subplots(gridspec_kw={"left": 0.08, "right": 0.98, "bottom": 0.2, "top": 0.95})
    axes.stairs(every, edges, fill=True, color=UNLABELED, label="without actions")
    axes.stairs(some, edges, fill=True, color=LABELED, label="with actions")
    axes.set_xlabel("return")
    axes.set_ylabel("trajectories")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small")
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()
