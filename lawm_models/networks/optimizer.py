"""Adam and one gradient step: backward, the sum over processes, clip, step."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lawm_models.networks.data_parallel import sum_gradients


def adam(parameters: Iterable[nn.Parameter], rate: float, eps: float = 1e-5) -> torch.optim.Adam:
    """Adam with the world models' epsilon; fused, which saves 5 % of a small model's step."""
    return torch.optim.Adam(parameters, rate, eps=eps, fused=True)


def minimize(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """Minimise ``loss`` once over the optimiser's own parameters."""
    _backward(optimizer, loss)
    optimizer.step()


def clip_and_step(optimizer: torch.optim.Optimizer, loss: Tensor, clip: float) -> Tensor:
    """Like ``minimize``, with a limit on the norm of the gradient; of M models, on each.

    Args:
        optimizer: of the parameters.
        loss: a scalar, or one of each of M stacked models.
        clip: the limit.

    Returns:
        The gradient norm before clipping, shaped like the loss.
    """
    parameters = _backward(optimizer, loss)
    if loss.dim():
        norm = _clip_each(parameters, clip)
    else:
        norm = torch.nn.utils.clip_grad_norm_(parameters, clip)
    optimizer.step()
    return norm


def _clip_each(parameters: list[nn.Parameter], clip: float) -> Float[Tensor, " M"]:
    """``clip_grad_norm_`` of every model, whose axis is the first of all gradients."""
    grads = [p.grad for p in parameters if p.grad is not None]
    norms = torch.stack([grad.flatten(1).norm(dim=1) for grad in grads])
    norm = norms.norm(dim=0)
    factor = (clip / (norm + 1e-6)).clamp(max=1)
    for grad in grads:
        grad.mul_(factor.view(-1, *(1,) * (grad.dim() - 1)))
    return norm


def _backward(optimizer: torch.optim.Optimizer, loss: Tensor) -> list[nn.Parameter]:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    optimizer.zero_grad(set_to_none=True)
    loss.sum().backward(inputs=parameters)
    sum_gradients(parameters)
    return parameters


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Its parameters take no gradient from what is computed inside; its inputs do.

    What was computed before, or is afterwards, reaches them as always.
    """
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def frozen_view(module: nn.Module) -> nn.Module:
    """A copy that shares its parameters' memory with ``module`` but takes no gradients.

    Updates of ``module`` show in it at once; gradients flow through it to its inputs.
    """
    twin = copy.deepcopy(module)
    shared = dict(module.named_parameters())
    for name, parameter in twin.named_parameters():
        parameter.data = shared[name].data
        parameter.requires_grad_(False)
    return twin
