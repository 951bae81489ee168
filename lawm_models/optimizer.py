"""Adam and one gradient step: backward, clip, step."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def adam(parameters: Iterable[nn.Parameter], rate: float) -> torch.optim.Adam:
    """Adam with the world models' epsilon; fused, which saves 5 % of a small model's step."""
    return torch.optim.Adam(parameters, rate, eps=1e-5, fused=True)


def clip_and_step(optimizer: torch.optim.Optimizer, loss: Tensor, clip: float) -> Tensor:
    """Minimise ``loss`` once over the optimiser's own parameters.

    Returns:
        The gradient norm before clipping, a scalar.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    optimizer.zero_grad(set_to_none=True)
    loss.backward(inputs=parameters)
    norm = torch.nn.utils.clip_grad_norm_(parameters, clip)
    optimizer.step()
    return norm
