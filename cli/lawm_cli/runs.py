"""``lawm runs``, ``settings`` and ``export-policy``."""

from __future__ import annotations

import json as encoding
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lawm_cli.options import Json, example, offer_algorithms, offer_presets
from lawm_cli.output import print_json
from lawm_data.system import terminal as show

if TYPE_CHECKING:
    from lawm_models.runs.table import RunRow

RUNS = example("lawm runs runs", "lawm runs runs/claim --json")


def runs(
    folder: Annotated[Path, typer.Argument(help="Folder with runs in it, at any depth.")] = Path(
        "runs"
    ),
    json: Json = False,
) -> None:
    """Compare the runs in a folder.

    The return is that of the evaluation at the end of a training. Labels are the overlays of
    actions that the run has inferred. A run is done, running, or stopped: then the lawm train that
    began it goes on.
    """
    from lawm_models.runs.table import compare_runs

    rows = compare_runs(folder)
    if json:
        print_json({"folder": folder, "runs": [asdict(row) for row in rows]})
        return
    if not rows:
        print(f"no runs in {folder}")
        return
    corpora = {row.corpora for row in rows if row.corpora}
    columns = {
        "run": lambda row: row.run.relative_to(folder) if row.run != folder else folder,
        "algorithm": lambda row: row.algorithm,
        "corpus": lambda row: ", ".join(map(show.near, row.corpora)) or None,
        "mask": lambda row: ", ".join(mask or "none" for mask in row.masks) or None,
        "labeled": lambda row: row.labeled,
        "seed": lambda row: row.seed,
        "steps": _steps,
        "return": lambda row: row.return_mean,
        "normalised": lambda row: row.normalized,
        "labels": lambda row: ", ".join(row.labels_r2) or None,
        "R²": lambda row: max(
            (r2 for r2 in row.labels_r2.values() if r2 is not None), default=None
        ),
        "state": lambda row: row.state,
    }
    grid = {name: [column(row) for row in rows] for name, column in columns.items()}
    title = str(folder)
    if len(corpora) == 1:  # nothing to compare
        title = f"{folder}, all on {', '.join(map(show.near, *corpora))}"
        del grid["corpus"]
    for name in ("normalised", "labels", "R²"):
        if not any(value is not None for value in grid[name]):
            del grid[name]
    show.grid(list(grid), zip(*grid.values(), strict=True), title=title)
    for row in rows:
        if row.error:
            print(f"unreadable: {row.error}")


def _steps(row: RunRow) -> str | None:
    """Gradient steps made, and of how many while they are not all made."""
    if row.step is None or row.steps is None:
        return None
    return f"{row.step:,}" if row.step == row.steps else f"{row.step:,} of {row.steps:,}"


SETTINGS = example(
    "lawm settings",
    "lawm settings bc --preset paper",
    "lawm train --corpus corpora/cs --set steps.agent=3000 --out runs/a",
)


def settings(
    algorithm: Annotated[
        str, typer.Argument(help="Algorithm.", autocompletion=offer_algorithms)
    ] = "lawm",
    preset: Annotated[
        str,
        typer.Option(help="Preset whose values are shown.", autocompletion=offer_presets),
    ] = "small",
    json: Json = False,
) -> None:
    """List the keys of --set with their values in a preset, types and meanings."""
    from lawm_models.training.settings import list_settings

    found = list_settings(algorithm, preset)
    if json:
        listed = [setting._asdict() for setting in found]
        print_json({"algorithm": algorithm, "preset": preset, "settings": listed})
        return
    show.listing(
        (f"{setting.key}={_written(setting.value)}  ({setting.type})", setting.meaning)
        for setting in found
    )


def _written(value: Any) -> str:
    """A value as ``--set`` takes it."""
    return value if isinstance(value, str) else encoding.dumps(value)


EXPORT = example(
    "lawm export-policy runs/a --out policy.onnx", "lawm export-policy runs/a --out policy.pt2"
)


def export_policy(
    run: Annotated[
        Path,
        typer.Argument(help="Run folder, or that of a collecting agent.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="File to write: FILE.onnx or FILE.pt2.")],
    json: Json = False,
) -> None:
    """Write the policy of a run as ONNX or for torch.export.

    The file is a program of one step, without noise, for machines without this package. One with a
    state gets zeros where a trajectory begins, and then the next_state of the step before.
    """
    from lawm_models.collection.trained_policy import load_policy

    policy = load_policy(run)
    policy.export(out)
    result = {
        "run": run,
        "out": out,
        "bytes": out.stat().st_size,
        "algorithm": policy.name,
        "weights": policy.weights,
        "observation": [{"name": spec.name, "shape": spec.shape} for spec in policy.state],
        "state": policy.memory,
        "action": policy.action,
    }
    if json:
        print_json(result)
        return
    fields = ", ".join(f"{spec.name}{list(spec.shape)}" for spec in policy.state)
    width = sum(spec.size for spec in policy.state)
    action = policy.action
    rows = {
        "observation": f"(N, {width}) float32: {fields}",
        "action": f"{('N', *action.shape)} {action.dtype}".replace("'", "").replace(",)", ")"),
    }
    if policy.memory:
        rows["state"] = f"(N, {policy.memory}) float32, and next_state"
    show.facts(rows, title=str(out))
