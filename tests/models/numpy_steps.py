"""Steps to learn from, and networks evaluated anew in NumPy from vectors of their weights."""

from itertools import pairwise

import numpy as np
import torch

from lawm_models.networks.offline.transitions import Transitions

OBSERVATION, ACTION, STEPS = 3, 2, 5
WEIGHT = [1.0, 2.0, 0.0, 1.0, 1.0]


def make_transitions() -> Transitions:
    """Five steps in float64, the second of them an end, the third without weight."""
    draws = np.random.default_rng(1)
    rows = {
        "observation": draws.normal(size=(STEPS, OBSERVATION)),
        "action": draws.uniform(-1, 1, (STEPS, ACTION)),
        "observed": np.ones(STEPS, bool),
        "reward": draws.normal(size=STEPS),
        "rewarded": np.ones(STEPS, bool),
        "next_observation": draws.normal(size=(STEPS, OBSERVATION)),
        "next_action": draws.uniform(-1, 1, (STEPS, ACTION)),
        "next_observed": np.ones(STEPS, bool),
        "terminated": np.array([0.0, 1, 0, 0, 0]),
        "weight": np.array(WEIGHT),
    }
    return Transitions(**{name: torch.from_numpy(row) for name, row in rows.items()})


def make_noise(updates: int) -> torch.Tensor:
    """Noise of some updates, three times too large, so that some of it is clipped."""
    return 3 * torch.from_numpy(np.random.default_rng(2).normal(size=(updates, STEPS, ACTION)))


def flat(module: torch.nn.Module) -> np.ndarray:
    """All weights in one vector."""
    return np.concatenate([p.detach().numpy().ravel() for p in module.parameters()])


def mean(x: np.ndarray) -> float:
    """Over the steps, by their weight."""
    return sum(w * v for w, v in zip(WEIGHT, x, strict=True)) / sum(WEIGHT)


def network(
    vector: np.ndarray, sizes: tuple[int, ...], x: np.ndarray, normed: bool = False
) -> np.ndarray:
    """Linear, ReLU (LayerNorm), …, Linear with the weights of a vector, as torch orders them."""
    for i, (before, after) in enumerate(pairwise(sizes)):
        w, b, vector = np.split(vector, [before * after, (before + 1) * after])
        x = x @ w.reshape(after, before).T + b
        if i + 2 < len(sizes):
            x = np.maximum(x, 0)
            if normed:
                scale, shift, vector = np.split(vector, [after, 2 * after])
                center, spread = x.mean(1, keepdims=True), x.var(1, keepdims=True)
                x = (x - center) / np.sqrt(spread + 1e-5) * scale + shift
    assert not len(vector)
    return x


def twin_values(
    vector: np.ndarray,
    sizes: tuple[int, ...],
    observation: np.ndarray,
    action: np.ndarray,
    normed: bool = False,
) -> list[np.ndarray]:
    """Q_1 and Q_2, whose weights are one half each of the vector."""
    joint = np.hstack((observation, action))
    return [network(half, sizes, joint, normed)[:, 0] for half in np.split(vector, 2)]
