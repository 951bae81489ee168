"""A recurrence of ``scan.layers`` as one operation of autograd."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lawm_models.networks.scan.layers import Layer, Stack


class Scan:
    """Layers applied in order at every step; runs once.

    Args:
        every: layers that run at every state, 0 … T.
        between: layers that run between two states, 0 … T-1, after ``every``.
        memory: stacks in which the variables lie.
        outputs: what is read from outside, (*m, T+1, B, N) or (*m, T, B, N); the first lies in
            ``memory``.
    """

    def __init__(
        self,
        every: Sequence[Layer],
        between: Sequence[Layer],
        memory: Sequence[Stack],
        outputs: Sequence[Stack],
    ) -> None:
        self.every = every
        self.layers = [*every, *between]
        self.steps = outputs[0].values.shape[-3] - 1
        self.memory = memory
        self.outputs = outputs

    def run(self) -> tuple[Tensor, ...]:
        """The outputs with the batch first, differentiable in what went into the layers."""
        weights = [x for layer in self.layers for x in layer.weights()]
        return _Differentiable.apply(self, *weights)

    def forward(self) -> tuple[Tensor, ...]:
        """All steps."""
        for t in range(self.steps):
            for layer in self.layers:
                layer.forward(t)
        for layer in self.every:
            layer.forward(self.steps)
        return self.results()

    def results(self) -> tuple[Tensor, ...]:
        """The outputs with the batch first."""
        return tuple(out.values.transpose(-3, -2).contiguous() for out in self.outputs)

    def backward(self, grads: Sequence[Tensor]) -> list[Tensor]:
        """All steps backwards; returns the gradients of the layers' weights."""
        self.seed(grads)
        for layer in self.layers:
            layer.prepare()
        for layer in reversed(self.every):
            layer.backward(self.steps)
        for t in reversed(range(self.steps)):
            for layer in reversed(self.layers):
                layer.backward(t)
        return [grad for layer in self.layers for grad in layer.gradients()]

    def seed(self, grads: Sequence[Tensor]) -> None:
        """Set the gradients of the outputs, and those of all else in the memory to zero."""
        for stack in (*self.memory, *self.outputs[1:]):
            stack.seed(torch.zeros_like(stack.values))
        for out, grad in zip(self.outputs, grads, strict=True):
            out.grads.copy_(grad.transpose(-3, -2))


class _Differentiable(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scan: Scan, *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.scan = scan
        ctx.save_for_backward(*weights)
        return scan.forward()

    # torch hands over as many gradients as forward returned, which its own stub cannot say
    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        _ = ctx.saved_tensors  # raises when a weight was changed since
        return None, *ctx.scan.backward(grads)
