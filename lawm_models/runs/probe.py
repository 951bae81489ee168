"""How much of the true state features tell: nothing that is built on them can know more."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.mask import ranks
from lawm_models.networks.layers import MLP
from lawm_models.networks.optimizer import adam, minimize
from lawm_models.training import seeding

HELD_OUT = 0.2
"""Share of the trajectories that the probe is judged by and does not learn from."""
UNITS, LAYERS, STEPS, BATCH, RATE = 128, 2, 2000, 256, 1e-3
MOST = 200
"""Trajectories that are looked at; more would not change what is found."""


def probe_state(view: Corpus, features: Sequence[Float[np.ndarray, "_ D"]]) -> dict[str, float]:
    """R² of every state field on held-out trajectories, from features.

    A small network predicts the state at an observation from the features of it and of the one
    before, without which no picture tells a velocity. R² is one minus the squared error of all
    elements of a field over their variance.

    Args:
        view: the corpus with its recorded state.
        features: (T+1, D) of each of its trajectories, which may differ in T.

    Returns:
        R² by name; nothing where no state was recorded, or there are fewer than two trajectories.
    """
    if not view.manifest.state or len(view) < 2:
        return {}
    order = np.argsort(ranks(view.table.ids.tolist(), seed=0), kind="stable")[:MOST]
    split = max(1, round(HELD_OUT * len(order)))
    with seeding.ambient_randomness(torch.device("cpu")):
        torch.manual_seed(0)
        predicted, truth = _fitted_and_tested(view, features, order[split:], order[:split])
    found, column = {}, 0
    for spec in view.manifest.state:
        here = slice(column, column + spec.size)
        column = here.stop
        error = (predicted[:, here] - truth[:, here]).square().sum()
        variance = (truth[:, here] - truth[:, here].mean(0)).square().sum()
        if variance > 0:
            found[spec.name] = float(1 - error / variance)
    return found


def _fitted_and_tested(
    view: Corpus, features: Sequence[np.ndarray], train: np.ndarray, test: np.ndarray
) -> tuple[Tensor, Tensor]:
    """Prediction and truth on the held-out trajectories, on the scale of the others."""
    x, y = _pairs(view, features, train)
    mean, std = y.mean(0), y.std(0) + 1e-6
    net = MLP(x.shape[1], y.shape[1], UNITS, LAYERS)
    optimizer, generator = adam(net.parameters(), RATE), torch.Generator().manual_seed(0)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - step / STEPS)
        rows = torch.randint(len(x), (BATCH,), generator=generator)
        minimize(optimizer, (net(x[rows]) - (y[rows] - mean) / std).square().mean())
    x, y = _pairs(view, features, test)
    with torch.no_grad():
        return net(x), (y - mean) / std


def _pairs(
    view: Corpus, features: Sequence[np.ndarray], places: np.ndarray
) -> tuple[Tensor, Tensor]:
    """Features of two observations in a row, and the state at the second."""
    inputs, states = [], []
    for place in places.tolist():
        rows = np.asarray(features[place], np.float32)
        inputs.append(np.concatenate([rows[:-1], rows[1:]], 1))
        states.append(view[place].observations.state[1:])
    return torch.from_numpy(np.concatenate(inputs)), torch.from_numpy(np.concatenate(states))
