"""Learning one thing from another, to see whether it is in there."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from lawm_models.networks.layers import MLP
from lawm_models.networks.optimizer import adam, minimize
from lawm_models.training.seeding import ambient_randomness

UNITS, LAYERS, BATCH, RATE = 128, 2, 256, 3e-3
RIDGE = 1e-6
"""Weight of the squared coefficients of a linear fit, of inputs of variance 1."""
LEAST_STD = 1e-8


def linear(
    x: Float[Tensor, "N I"], y: Float[Tensor, "N J"], asked: Float[Tensor, "M I"]
) -> Float[Tensor, "M J"]:
    """Least squares with an intercept, in float64."""
    mean, std = _scale(x)
    known, wanted = (x.double() - mean) / std, (asked.double() - mean) / std
    center = y.double().mean(0)
    gram = known.mT @ known + RIDGE * len(x) * torch.eye(x.shape[1], dtype=torch.float64)
    weight = torch.linalg.solve(gram, known.mT @ (y.double() - center))
    return wanted @ weight + center


def network(
    x: Float[Tensor, "N I"],
    y: Float[Tensor, "N J"],
    asked: Float[Tensor, "M I"],
    steps: int,
    seed: int,
) -> Float[Tensor, "M J"]:
    """What ``trained_network`` says where it is asked."""
    return trained_network(x, y, steps, seed)(asked)


def trained_network(
    x: Float[Tensor, "N I"], y: Float[Tensor, "N J"], steps: int, seed: int
) -> Callable[[Float[Tensor, "M I"]], Float[Tensor, "M J"]]:
    """A small network (2 layers of 128) on the squared error; everything is standardised."""
    (mean, std), (center, width) = _scale(x), _scale(y)
    known, target = ((x - mean) / std).float(), ((y - center) / width).float()
    with ambient_randomness(torch.device("cpu")):
        torch.manual_seed(seed)
        net = MLP(x.shape[1], y.shape[1], UNITS, LAYERS)
    optimizer, generator = adam(net.parameters(), RATE), torch.Generator().manual_seed(seed)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - step / steps)
        rows = torch.randint(len(x), (BATCH,), generator=generator)
        minimize(optimizer, (net(known[rows]) - target[rows]).square().mean())
    net.requires_grad_(False)
    return lambda asked: net(((asked - mean) / std).float()).double() * width + center


def explained(predicted: Float[Tensor, "N J"], truth: Float[Tensor, "N J"]) -> float | None:
    """R²: one minus the squared error of all numbers over their variance; none where none varies.

    It is negative where the mean would do better.
    """
    truth = truth.double()
    variance = (truth - truth.mean(0)).square().sum()
    if variance <= LEAST_STD:
        return None
    return float(1 - (predicted.double() - truth).square().sum() / variance)


def _scale(x: Float[Tensor, "N I"]) -> tuple[Float[Tensor, " I"], Float[Tensor, " I"]]:
    """Mean and standard deviation of each number; 1 for one that does not vary."""
    std = x.double().std(0, correction=0)
    return x.double().mean(0), torch.where(std > LEAST_STD, std, 1.0)
