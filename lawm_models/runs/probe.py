"""How much of the true state features tell: nothing that is built on them can know more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.mask import ranks
from lawm_data.corpus.unexplained import ROUNDING
from lawm_models.networks.layers import MLP
from lawm_models.networks.optimizer import adam, minimize
from lawm_models.training import seeding

HELD_OUT = 0.2
"""Share of the trajectories that the probe is judged by and does not learn from."""
UNITS, LAYERS, STEPS, BATCH, RATE = 128, 2, 2000, 256, 1e-3
LEAST = 1e-8
"""A smaller sum of squares, where the variance in training is 1, is rounding."""
MOST = 200
"""Trajectories that are looked at; more would not change what is found."""


def probe_state(view: Corpus, features: Sequence[Float[np.ndarray, "_ D"]]) -> dict[str, float]:
    """R² of every state field on held-out trajectories, from features.

    A small network predicts the state at an observation from the features of it and of the one
    before, without which no picture tells a velocity. R² is one minus the squared error of all
    elements of a field over their variance; those that never change where the network learns are
    left out.

    Args:
        view: the corpus with its recorded state.
        features: (T+1, D) of each of its trajectories, which may differ in T.

    Returns:
        R² by name; nothing where no state was recorded, or there are fewer than two trajectories,
        nor of a field that never changes.
    """
    fields = {spec.name: spec.size for spec in view.manifest.state}
    return probe(view.table.ids.tolist(), features, lambda i: view[i].observations.state, fields)


def probe(
    ids: Sequence[bytes],
    features: Sequence[Float[np.ndarray, "_ D"]],
    truth: Callable[[int], Float[np.ndarray, "_ K"]],
    fields: Mapping[str, int],
) -> dict[str, float]:
    """R² of anything that is known of every observation, as ``probe_state`` is of the state.

    Args:
        ids: of the trajectories, which decide what is held out.
        features: (T+1, D) of each of them.
        truth: (T+1, K) of a trajectory by place.
        fields: how many of its K columns are of what, in order.

    Returns:
        R² by name; nothing where there is nothing to predict, or fewer than two trajectories.
    """
    if not fields or len(ids) < 2:
        return {}
    order = np.argsort(ranks(ids, seed=0), kind="stable")[:MOST]
    split = max(1, round(HELD_OUT * len(order)))
    with seeding.ambient_randomness(torch.device("cpu")):
        torch.manual_seed(0)
        predicted, true, learned = _fitted_and_tested(features, truth, order[split:], order[:split])
    found, column = {}, 0
    for name, size in fields.items():
        here = torch.arange(column, column + size)
        here, column = here[learned[here]], column + size
        error = (predicted[:, here] - true[:, here]).square().sum()
        variance = (true[:, here] - true[:, here].mean(0)).square().sum()
        if variance > LEAST:
            found[name] = float(1 - error / variance)
    return found


def _fitted_and_tested(
    features: Sequence[np.ndarray],
    truth: Callable[[int], np.ndarray],
    train: np.ndarray,
    test: np.ndarray,
) -> tuple[Tensor, Tensor, Tensor]:
    """Prediction and truth on the held-out trajectories, on the scale of the others.

    And which numbers vary among those, by more than rounding: nothing is learned of the rest.
    """
    x, y = _pairs(features, truth, train)
    mean, std = y.double().mean(0), y.double().std(0)  # a mean in float32 is off, by its size
    varies = std > ROUNDING * y.abs().amax(0)
    std = torch.where(varies, std + 1e-6, 1.0)
    net = MLP(x.shape[1], y.shape[1], UNITS, LAYERS)
    optimizer, generator = adam(net.parameters(), RATE), torch.Generator().manual_seed(0)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - step / STEPS)
        rows = torch.randint(len(x), (BATCH,), generator=generator)
        minimize(optimizer, (net(x[rows]) - ((y[rows] - mean) / std).float()).square().mean())
    x, y = _pairs(features, truth, test)
    with torch.no_grad():
        return net(x).double(), (y - mean) / std, varies


def _pairs(
    features: Sequence[np.ndarray], truth: Callable[[int], np.ndarray], places: np.ndarray
) -> tuple[Tensor, Tensor]:
    """Features of two observations in a row, and the truth at the second."""
    inputs, targets = [], []
    for place in places.tolist():
        rows = np.asarray(features[place], np.float32)
        inputs.append(np.concatenate([rows[:-1], rows[1:]], 1))
        targets.append(np.asarray(truth(place)[1:], np.float32))
    return torch.from_numpy(np.concatenate(inputs)), torch.from_numpy(np.concatenate(targets))
