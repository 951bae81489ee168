"""Inferred actions against the true ones: how wrong they are, and how well they know it.

Reads what a mask hides, in order to judge labels. It returns figures over many steps and writes
nothing; ``lawm_models`` must not import it, which the import contracts check.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log, tau
from typing import Any, NamedTuple

import numpy as np
from lawm_schemas import ConfigError, Mask, MaskError, Overlay

from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.mask import find_mask, mask_sha256
from lawm_data.corpus.overlay import Labels, half_range, open_labels
from lawm_data.corpus.table import OBSERVED

BINS = 10
"""Bins of the reliability table, of equally many numbers each."""
INTERVALS = {"50": 0.67449, "80": 1.28155, "95": 1.95996}
"""Central intervals of a Gaussian, in standard deviations, by their probability in percent."""
TERCILES = ("low", "middle", "high")
SMALLEST = 1e-6
"""Stands in for a standard deviation of zero, on the scale of half the action's range."""


class Judged(NamedTuple):
    """Labels beside the truth on the scale where half the action's range is 1; M steps."""

    truth: np.ndarray
    """(M, A) recorded."""
    mean: np.ndarray
    """(M, A) inferred."""
    std: np.ndarray
    """(M, A) stated, > 0."""
    trajectory: np.ndarray
    """(M,) number of the trajectory, counted over those that are judged."""

    def take(self, chosen: np.ndarray) -> Judged:
        """Some of the steps."""
        return Judged(*(part[chosen] for part in self))


def compare_labels(
    corpus: Corpus, names: Sequence[str], held_out: str | None = None, own: bool = False
) -> dict[str, Any]:
    """Compare label overlays with the actions that the corpus has recorded.

    An overlay is never judged on a trajectory that its model was trained on.

    Args:
        corpus: without a mask: its recorded actions are the truth.
        names: overlays beside it.
        held_out: a mask: the truth is what it shows and nothing else is read.
        own: judge each overlay on all that it labels, instead of on what all of them label.

    Returns:
        ``corpus``, ``held_out``, ``own``, and ``overlays`` by name, as in docs/json.md.

    Raises:
        ConfigError: no overlay, or no true action to compare with.
        CorpusError: no such overlay.
        MaskError: no such mask.
    """
    if not names:
        raise ConfigError("no labels", "--labels", "name an overlay")
    names = list(dict.fromkeys(names))
    truth = corpus if held_out is None else corpus.with_mask(held_out)
    overlays = [open_labels(corpus, name, verify=True) for name in names]
    chosen = [_judgeable(truth, labels) for labels in overlays]
    if not own:
        chosen = [np.logical_and.reduce(chosen)] * len(chosen)
    found = {}
    for name, labels, which in zip(names, overlays, chosen, strict=True):
        if not which.any():
            where = f"overlay {name}" if own else f"overlays {', '.join(names)}"
            raise ConfigError("label no trajectory whose action is known", where, "choose others")
        found[name] = _described(corpus, labels) | evaluator(truth, labels, np.flatnonzero(which))
    return {"corpus": corpus.path, "held_out": held_out, "own": own, "overlays": found}


def evaluator(truth: Corpus, labels: Labels, rows: np.ndarray) -> dict[str, Any]:
    """Figures of an overlay over some trajectories.

    Args:
        truth: a view that shows their actions.
        labels: the overlay.
        rows: (K,) their places in the view.

    Returns:
        As under ``overlays`` in docs/json.md: RMSE and NLL (nats per dimension) on the scale where
        half the action's range is 1, ``rmse_per_dimension`` in the action's own units.
    """
    judged, half = _judged(truth, labels, rows), half_range(truth.manifest.action)
    returns, source = truth.table.episode_return[rows], truth.table.source[rows]
    # ties by place, so that equal returns still fill three groups
    tercile = np.argsort(np.argsort(returns, kind="stable"), kind="stable") * 3 // len(rows)
    by_return = {name: tercile == i for i, name in enumerate(TERCILES)}
    by_source = {str(name): source == name for name in np.unique(source)}
    error = judged.mean - judged.truth
    return {
        "trajectories": len(rows),
        "steps": len(error),
        **_figures(judged),
        "rmse_per_dimension": (_rms(error, 0) * half).tolist(),
        "r2_per_dimension": (1 - _unexplained(judged)).tolist(),
        "nll_per_dimension": _nll(judged).mean(0).tolist(),
        "coverage": {
            name: float((np.abs(error) <= width * judged.std).mean())
            for name, width in INTERVALS.items()
        },
        **_reliability(judged),
        "by_return": _by_group(judged, by_return),
        "by_source": _by_group(judged, by_source),
    }


def _judgeable(truth: Corpus, labels: Labels) -> np.ndarray:
    """(N,) which trajectories of the view are labeled, have true actions, and taught no model."""
    table = truth.table
    known = (table.labels == OBSERVED) & (table.num_observed > 0) & labels.covers(table.ids)
    mask = _mask(truth, labels.info)
    return known if mask is None else known & ~np.isin(table.id, mask.labeled)


def _mask(corpus: Corpus, overlay: Overlay) -> Mask | None:
    """The mask that an overlay's model was trained under, if it is still there."""
    try:
        mask = find_mask(corpus.path, overlay.mask or "")
    except MaskError:
        return None
    return mask if mask_sha256(mask) == overlay.mask_sha256 else None


def _described(corpus: Corpus, labels: Labels) -> dict[str, Any]:
    overlay = labels.info
    mask = _mask(corpus, overlay)
    return {
        **overlay.model_dump(include={"algorithm", "method", "mask"}),
        "labeled": None if mask is None else len(mask.labeled),
    }


def _judged(truth: Corpus, labels: Labels, rows: np.ndarray) -> Judged:
    half, parts = half_range(truth.manifest.action), []
    for number, row in enumerate(rows):
        trajectory = truth[int(row)]
        assert trajectory.actions is not None
        seen = trajectory.action_observed
        mean, std = labels.read(trajectory.info.id)
        actions = trajectory.actions.reshape(mean.shape)
        true, mean, std = (np.asarray(x[seen], np.float64) / half for x in (actions, mean, std))
        parts.append(Judged(true, mean, std, np.full(seen.sum(), number)))
    judged = Judged(*(np.concatenate(part) for part in zip(*parts, strict=True)))
    return judged._replace(std=np.maximum(judged.std, SMALLEST))


def _figures(judged: Judged) -> dict[str, float]:
    """Errors over all dimensions, on the scale of half the action's range."""
    return {
        "rmse": float(_rms(judged.mean - judged.truth)),
        "r2": float(1 - _unexplained(judged).mean()),
        "nll": float(_nll(judged).mean()),
    }


def _by_group(judged: Judged, groups: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Figures of groups of trajectories; ``groups`` says of each trajectory whether it is in."""
    return {
        name: {
            "trajectories": int(inside.sum()),
            **_figures(judged.take(inside[judged.trajectory])),
        }
        for name, inside in groups.items()
        if inside.any()
    }


def _unexplained(judged: Judged) -> np.ndarray:
    """(A,) mean squared error over the variance of the truth."""
    error = np.square(judged.mean - judged.truth).mean(0)
    return error / np.maximum(judged.truth.var(0), SMALLEST**2)


def _nll(judged: Judged) -> np.ndarray:
    """(M, A) negative log-density of the truth under the stated Gaussian, in nats."""
    z = (judged.truth - judged.mean) / judged.std
    return 0.5 * np.square(z) + np.log(judged.std) + 0.5 * log(tau)


def _reliability(judged: Judged) -> dict[str, Any]:
    """Stated against observed error, in bins of the stated one (Levi et al. 2019).

    ``calibration_error`` is the mean distance between both, weighted by the bins' shares.
    """
    std, error = judged.std.ravel(), (judged.mean - judged.truth).ravel()
    bins = np.array_split(np.argsort(std, kind="stable"), min(BINS, len(std)))
    table = [
        {
            "share": len(inside) / len(std),
            "expected": float(_rms(std[inside])),
            "observed": float(_rms(error[inside])),
        }
        for inside in bins
    ]
    distance = sum(row["share"] * abs(row["expected"] - row["observed"]) for row in table)
    return {"calibration_error": distance, "reliability": table}


def _rms(x: np.ndarray, axis: int | None = None) -> Any:
    return np.sqrt(np.square(x).mean(axis))
