"""Modules that are used but not trained."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


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
