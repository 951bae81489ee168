"""Inferred actions against the true ones: how wrong they are, and how well they know it.

Reads what a mask hides, in order to judge labels. It returns figures over many steps and writes
nothing; ``lawm_models`` must not import it, which the import contracts check.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log, tau
from typing import Any, NamedTuple

import numpy as np
from lawm_schemas import ConfigError, MaskError

from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.mask import find_mask, mask_sha256
from lawm_data.corpus.overlay import Labels, half_range, open_labels
from lawm_data.corpus.table import OBSERVED
from lawm_data.corpus.transitions import known_transitions, with_known_transitions
from lawm_data.corpus.unexplained import r_squared, unexplained

BINS = 10
"""Bins of the reliability table, of equally many numbers each."""
INTERVALS = {"50": 0.67449, "80": 1.28155, "95": 1.95996}
"""Central intervals of a Gaussian, in standard deviations, by their probability in percent."""
TERCILES = ("low", "middle", "high")
SMALLEST = 1e-6
"""Stands in for a standard deviation of zero, on the scale of half the action's range."""


class Comparison(NamedTuple):
    """Labels beside the truth on the scale where half the action's range is 1; M steps."""

    truth: np.ndarray
    """(M, A) recorded."""
    mean: np.ndarray
    """(M, A) inferred."""
    std: np.ndarray
    """(M, A) stated, > 0."""
    trajectory: np.ndarray
    """(M,) number of the trajectory, counted over those that are compared."""

    def take(self, chosen: np.ndarray) -> Comparison:
        """Some of the steps."""
        return Comparison(*(part[chosen] for part in self))


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
    table, chosen, about = truth.table, [], []
    known = (table.labels == OBSERVED) & with_known_transitions(truth)
    for labels in overlays:
        try:  # the mask that the model was trained under, if it is still there
            mask = find_mask(corpus.path, labels.info.mask or "")
        except MaskError:
            mask = None
        if mask is not None and mask_sha256(mask) != labels.info.mask_sha256:
            mask = None
        taught = np.isin(table.id, () if mask is None else mask.labeled)
        chosen.append(known & labels.covers(table.ids) & ~taught)
        about.append(
            {
                **labels.info.model_dump(include={"algorithm", "method", "mask"}),
                "labeled": None if mask is None else len(mask.labeled),
            }
        )
    if not own:
        chosen = [np.logical_and.reduce(chosen)] * len(chosen)
    found = {}
    for name, labels, which, entry in zip(names, overlays, chosen, about, strict=True):
        if not which.any():
            where = f"overlay {name}" if own else f"overlays {', '.join(names)}"
            raise ConfigError("label no trajectory whose action is known", where, "choose others")
        found[name] = entry | label_errors(truth, labels, np.flatnonzero(which))
    return {"corpus": corpus.path, "held_out": held_out, "own": own, "overlays": found}


def label_errors(truth: Corpus, labels: Labels, rows: np.ndarray) -> dict[str, Any]:
    """Figures of an overlay over some trajectories.

    Args:
        truth: a view that shows their actions.
        labels: the overlay.
        rows: (K,) their places in the view.

    Returns:
        As under ``overlays`` in docs/json.md: RMSE and NLL (nats per dimension) on the scale where
        half the action's range is 1, ``rmse_per_dimension`` in the action's own units.
    """
    compared, half = _comparison(truth, labels, rows), half_range(truth.manifest.action)
    source, rewarded = truth.table.source[rows], truth.table.rewarded[rows]
    returns = truth.table.episode_return[rows][rewarded]
    # in none of them without recorded rewards
    tercile = np.full(len(rows), -1)
    # ties by place, so that equal returns still fill three groups
    place = np.argsort(np.argsort(returns, kind="stable"), kind="stable")
    tercile[rewarded] = place * 3 // max(1, len(returns))
    by_return = {name: tercile == i for i, name in enumerate(TERCILES)}
    by_source = {str(name): source == name for name in np.unique(source)}
    error = compared.mean - compared.truth
    return {
        "trajectories": len(rows),
        "steps": len(error),
        **_figures(compared),
        "rmse_per_dimension": (_rms(error, 0) * half).tolist(),
        "r2_per_dimension": [None if e is None else 1 - e for e in _unexplained(compared)],
        "nll_per_dimension": _nll(compared).mean(0).tolist(),
        "coverage": {
            name: float((np.abs(error) <= width * compared.std).mean())
            for name, width in INTERVALS.items()
        },
        **_reliability(compared),
        "by_return": _by_group(compared, by_return),
        "by_source": _by_group(compared, by_source),
    }


def _comparison(truth: Corpus, labels: Labels, rows: np.ndarray) -> Comparison:
    half, parts = half_range(truth.manifest.action), []
    for number, row in enumerate(rows):
        trajectory = truth[int(row)]
        assert trajectory.actions is not None
        seen = known_transitions(trajectory)
        mean, std = labels.read(trajectory.info.id)
        actions = trajectory.actions.reshape(mean.shape)
        true, mean, std = (np.asarray(x[seen], np.float64) / half for x in (actions, mean, std))
        parts.append(Comparison(true, mean, std, np.full(seen.sum(), number)))
    compared = Comparison(*(np.concatenate(part) for part in zip(*parts, strict=True)))
    return compared._replace(std=np.maximum(compared.std, SMALLEST))


def _figures(compared: Comparison) -> dict[str, float | None]:
    """Errors over all dimensions, on the scale of half the action's range."""
    return {
        "rmse": float(_rms(compared.mean - compared.truth)),
        "r2": r_squared(_unexplained(compared)),
        "nll": float(_nll(compared).mean()),
    }


def _by_group(compared: Comparison, groups: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Figures of groups of trajectories; ``groups`` says of each trajectory whether it is in."""
    return {
        name: {
            "trajectories": int(inside.sum()),
            **_figures(compared.take(inside[compared.trajectory])),
        }
        for name, inside in groups.items()
        if inside.any()
    }


def _unexplained(compared: Comparison) -> tuple[float | None, ...]:
    return unexplained(compared.truth, compared.mean)


def _nll(compared: Comparison) -> np.ndarray:
    """(M, A) negative log-density of the truth under the stated Gaussian, in nats."""
    z = (compared.truth - compared.mean) / compared.std
    return 0.5 * np.square(z) + np.log(compared.std) + 0.5 * log(tau)


def _reliability(compared: Comparison) -> dict[str, Any]:
    """Stated against observed error, in bins of the stated one (Levi et al. 2019).

    ``calibration_error`` is the mean distance between both, weighted by the bins' shares.
    """
    std, error = compared.std.ravel(), (compared.mean - compared.truth).ravel()
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
