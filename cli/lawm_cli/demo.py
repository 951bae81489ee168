"""The main job from end to end on the corpus that ships with the package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

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
SEEN, STEPS, EVERY = 8, 64, 6
"""Observations before a dream, its end, and steps between the pictures that are shown of it."""


class Pixels(NamedTuple):
    """How the demo from pixels draws and encodes them."""

    size: int = 64
    """Edge of the pictures."""
    name: str = "ae64"
    """Of the features."""
    settings: Mapping[str, Any] = {}
    """What to change in the autoencoder's preset."""


def run_demo(
    out: Path, seed: int, settings: Sequence[str], bars: Bars, pixels: Pixels | None = None
) -> dict[str, Any]:
    """Mask, train, evaluate, relabel, draw; what an earlier call finished is not done again.

    From pixels the corpus is drawn first, an autoencoder learns from it, and the training reads
    the features that it makes.

    Args:
        out: folder for ``corpus/``, ``run/`` and ``demo.png``; from pixels also for ``states/``,
            ``encoder/`` and ``dream.png``.
        seed: of the mask, the trainings and the evaluation.
        settings: ``KEY=VALUE``, what to change in the preset.
        bars: shows the training.
        pixels: learn from pixels, or none.

    Returns:
        The object that ``demo --json`` prints.
    """
    from lawm_data.corpus.corpus import open_corpus
    from lawm_data.corpus.mask import make_mask, save_mask
    from lawm_data.curation.shipped import unpack_corpus
    from lawm_data.system.output import refuse_inside
    from lawm_models.runs.run import train
    from lawm_models.training.configure import configure

    refuse_inside(out / "corpus")
    path, observe = out / "corpus", {}
    if pixels is None:
        unpack_corpus(path, SHIPPED)
    else:
        _draw(unpack_corpus(out / "states", SHIPPED), path, pixels.size, bars)
        _encode(path, out / "encoder", seed, pixels, bars)
        observe = {"observe": f"features:{pixels.name}"}
    corpus = open_corpus(path)
    mask = corpus.masks().get(MASK)
    if mask is None:
        # every tenth of the returns gets its share, so that a few trajectories show all behaviours
        mask = make_mask(corpus, FRACTION, seed, MASK, stratify="return")
        save_mask(corpus, mask)
    source = CorpusSource(path=str(path), mask=MASK)
    changes = {**observe, **experiment.changes(settings)}
    config = configure(source, preset="demo", seed=seed, settings=changes)
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
    dreamed = None
    if pixels is not None:
        dreamed = out / "dream.png"
        _draw_dream(dreamed, run.path, out / "encoder", hidden)
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
        "dream": dreamed,
        "probe": None if pixels is None else _probe(path, pixels.name),
    }


def _draw(states: Path, path: Path, size: int, bars: Bars) -> None:
    """A corpus with pictures, unless an earlier call has drawn it."""
    from lawm_data.corpus.corpus import open_corpus
    from lawm_data.curation.rerender import drawing_of, rerender_corpus
    from lawm_data.envs.renderer import choose_renderer

    choose_renderer()  # evaluations draw, too
    if not path.exists():
        whole, shown = open_corpus(states), bars.of("drawing")
        rerender_corpus(whole, path, size=size, drawing=drawing_of(whole), progress=shown)


def _encode(path: Path, encoder: Path, seed: int, pixels: Pixels, bars: Bars) -> None:
    """Features beside a corpus, unless an earlier call has made them."""
    from lawm_data.corpus.features import feature_names
    from lawm_models.runs.make_features import make_features
    from lawm_models.runs.run import train
    from lawm_models.training.configure import configure

    settings = pixels.settings
    config = configure(path, algorithm="autoencoder", preset="demo", seed=seed, settings=settings)
    train(config, encoder, progress=bars)
    if pixels.name not in feature_names(path):
        make_features(encoder, path, pixels.name, progress=bars)


def _probe(path: Path, name: str) -> dict[str, float]:
    """R² of the true state from features."""
    from lawm_data.corpus.features import FEATURES, read_feature_set

    return read_feature_set(path / FEATURES / name).probe


def _draw_dream(path: Path, run: Path, encoder: Path, hidden: Corpus) -> None:
    """The best trajectory of those whose actions were hidden: as it was, decoded, and dreamed."""
    from lawm_models.runs.dreaming import dream
    from lawm_models.training.run_folder import RunFolder

    best = int(hidden.table.episode_return.argmax())
    found = dream(RunFolder.open(run), RunFolder.open(encoder), hidden, best, SEEN)
    last = min(STEPS, len(found.truth) - 1)
    rows = {"truth": found.truth, "decoded": found.decoded, "dream": found.dreamed}
    title = f"Of the dream, {SEEN} observations were seen, and then the actions alone"
    picture.draw_dream(path, title, rows, list(range(0, last + 1, EVERY)))


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
    from lawm_data.corpus.unexplained import r_squared
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
        "r2": None if errors is None else r_squared(errors),
        "trajectories": len(labels),
        "name": LABELS,
        "path": str(corpus / FOLDER / LABELS),
    }
