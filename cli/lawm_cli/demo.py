"""The main job from end to end on the corpus that ships with the package."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from lawm_schemas import CorpusSource

from lawm_cli import experiment, picture
from lawm_data.system.terminal import Bars

if TYPE_CHECKING:
    from lawm_schemas import Mask

    from lawm_data.corpus.corpus import Corpus
    from lawm_models.runs.run import Run

SHIPPED = "cartpole-swingup"
FRACTION = 0.05
"""Share of the trajectories that keeps its actions."""
MASK = "5pct"
LABELS = "lawm"


def run_demo(out: Path, seed: int, settings: Sequence[str], bars: Bars) -> dict[str, Any]:
    """Mask, train, evaluate, relabel, draw; what an earlier call finished is not done again.

    Args:
        out: folder for ``corpus/``, ``run/`` and ``demo.png``.
        seed: of the mask, the training and the evaluation.
        settings: ``KEY=VALUE``, what to change in the preset.
        bars: shows the training.

    Returns:
        The object that ``demo --json`` prints.
    """
    from lawm_data.corpus.corpus import open_corpus
    from lawm_data.corpus.mask import make_mask, save_mask
    from lawm_data.system.output import refuse_inside
    from lawm_models.runs.run import train
    from lawm_models.training.configure import configure

    refuse_inside(out / "corpus")
    path = unpack_corpus(out / "corpus")
    corpus = open_corpus(path)
    mask = corpus.masks().get(MASK)
    if mask is None:
        # every tenth of the returns gets its share, so that a few trajectories show all behaviours
        mask = make_mask(corpus, FRACTION, seed, MASK, stratify="return")
        save_mask(corpus, mask)
    source = CorpusSource(path=str(path), mask=MASK)
    config = configure(source, preset="demo", seed=seed, settings=experiment.changes(settings))
    run = train(config, out / "run", progress=bars)
    labels = _relabel(run, path, mask)
    image = out / "demo.png"
    hidden = corpus.filter(~np.isin(corpus.table.id, mask.labeled))
    picture.draw(
        image,
        f"{SHIPPED}, actions of {len(mask.labeled)} in {len(corpus)} trajectories",
        returns_while_training(run),
        corpus.table.episode_return,
        true_and_inferred(hidden, hidden.with_mask(mask).with_labels(LABELS)),
        labels["r2"],
    )
    returns = corpus.table.episode_return
    return {
        **experiment.outcome(run),
        "corpus": {
            "path": path,
            "trajectories": len(corpus),
            "labeled": len(mask.labeled),
            "return_mean": returns.mean(),
            "return_max": returns.max(),
        },
        "labels": labels,
        "picture": image,
    }


def unpack_corpus(path: Path) -> Path:
    """Copy the shipped corpus, since masks and labels are written beside the shards."""
    from lawm_data.system.atomic import storage_errors
    from lawm_data.system.output import new_output

    if path.exists():
        return path
    with (
        new_output(path) as temporary,
        storage_errors(path),
        as_file(files("lawm_data") / "shipped" / SHIPPED) as shipped,
    ):
        shutil.copytree(shipped, temporary)
    return path


def returns_while_training(run: Run) -> picture.Curve:
    """Evaluations of the last stage, from the log of the run."""
    stage = list(run.config.steps)[-1]
    rows = [m for m in run.metrics if m["stage"] == stage and "return_mean" in m]
    columns = (np.array([row[key] for row in rows]) for key in ("step", *picture.RETURN))
    return picture.Curve(*columns)


def true_and_inferred(hidden: Corpus, inferred: Corpus) -> picture.Actions:
    """Recorded actions beside the inferred ones, step by step, for the same trajectories."""
    pairs = [
        (np.asarray(truth.actions), np.asarray(guess.actions))
        for truth, guess in zip(hidden, inferred, strict=True)
    ]
    true, guessed = (np.concatenate(part) for part in zip(*pairs, strict=True))
    return picture.Actions(true.reshape(len(true), -1), guessed.reshape(len(guessed), -1))


def _relabel(run: Run, corpus: Path, mask: Mask) -> dict[str, Any]:
    """Relabel, unless an earlier call has, and compare with the hidden actions."""
    from lawm_data.corpus.corpus import open_corpus
    from lawm_data.corpus.overlay import LABELS as FOLDER
    from lawm_data.corpus.overlay import overlay_names
    from lawm_models.runs.relabel import Label, errors_against

    if LABELS not in overlay_names(corpus):
        run.relabel(corpus, name=LABELS)
    whole = open_corpus(corpus)
    hidden = np.flatnonzero(~np.isin(whole.table.id, mask.labeled))
    inferred = whole.with_mask(mask).with_labels(LABELS)[hidden]
    labels = [Label(t.info.id, np.asarray(t.actions), np.asarray(t.action_std)) for t in inferred]
    errors = errors_against(whole, hidden.tolist(), labels)
    return {
        "nmse_per_dimension": errors,
        "r2": None if errors is None else 1 - float(np.mean(errors)),
        "trajectories": len(labels),
        "name": LABELS,
        "path": str(corpus / FOLDER / LABELS),
    }
