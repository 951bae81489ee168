"""Layers of a recurrence that know their own backward pass.

A scan applies a few small layers at every step. Autograd would record a node per operation and
step, and form every weight's gradient once per step. These layers share preallocated stacks over
time instead; they go backwards one step at a time with the gradients of their inputs alone, and
form each weight's gradient in one product over all steps at the end. What depends only on values
of the forward pass (derivatives of gates and densities) is computed for all steps at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property

import torch
from torch import Tensor, nn

_silu = torch.ops.aten.silu.out
_silu_backward = torch.ops.aten.silu_backward.grad_input
_layer_norm_backward = torch.ops.aten.native_layer_norm_backward.default


class Stack:
    """A variable at every step, and in the backward pass the gradient with respect to it.

    Args:
        values: (T, B, N), written step by step through ``at``.
    """

    grads: Tensor
    """(T, B, N)."""

    def __init__(self, values: Tensor) -> None:
        self.values = values
        self._parts: list[tuple[tuple[slice, ...], Stack]] = []

    @cached_property
    def at(self) -> tuple[Tensor, ...]:
        """``values`` by step."""
        return self.values.unbind()

    @cached_property
    def grad_at(self) -> tuple[Tensor, ...]:
        """``grads`` by step."""
        return self.grads.unbind()

    def columns(self, start: int, stop: int) -> Stack:
        """Part of the variable, in the same memory."""
        return self._part(slice(None), slice(None), slice(start, stop))

    def rows(self, start: int, step: int) -> Stack:
        """Every so many windows of the batch, in the same memory."""
        return self._part(slice(None), slice(start, None, step))

    def seed(self, grads: Tensor) -> None:
        """Set the gradients that the backward pass adds to (or overwrites)."""
        self.grads = grads
        self.__dict__.pop("grad_at", None)
        for index, part in self._parts:
            part.seed(grads[index])

    def _part(self, *index: slice) -> Stack:
        part = Stack(self.values[index])
        self._parts.append((index, part))
        return part


class Layer(ABC):
    """One layer of a scan.

    Its life: ``forward(0) … forward(T-1)``, ``prepare()``, ``backward(T-1) … backward(0)``,
    ``gradients()``.
    """

    def weights(self) -> tuple[Tensor, ...]:
        """Tensors from outside that take gradients."""
        return ()

    @abstractmethod
    def forward(self, t: int) -> None:
        """Compute step t."""

    def prepare(self) -> None:  # noqa: B027, most layers have nothing to get ready
        """Get ready to go backwards; the outputs of the scan have their gradients by now."""

    @abstractmethod
    def backward(self, t: int) -> None:
        """Hand the gradient of step t to what was read."""

    def gradients(self) -> tuple[Tensor, ...]:
        """Gradients of ``weights()``."""
        return ()


class Product(Layer):
    """x Wᵀ, the part that all layers with weights have in common.

    Args:
        source: x.
        module: W.
        steps: T.
        shared: whether other layers read x too, so that its gradient adds up.
    """

    def __init__(self, source: Stack, module: nn.Linear, steps: int, shared: bool) -> None:
        self.source = source
        self.weight = module.weight
        self.bias = module.bias
        self.shared = shared
        # For a few rows the product is a third faster when Wᵀ lies in memory like this.
        self.transposed = module.weight.detach().t().contiguous()
        self.steps = steps
        self.shape = (steps, source.values.shape[1], module.out_features)
        self.kept = torch.is_grad_enabled()

    def empty(self) -> Tensor:
        """Memory for something of the width of the product, (T, B, N)."""
        return self.source.values.new_empty(self.shape)

    def between(self, width: int | None = None) -> Tensor:
        """The same, or of another width, for what only the backward pass reads again.

        Without one every step writes over the last, in the cache of the processor.
        """
        shape = (*self.shape[:2], width or self.shape[2])
        kept = shape if self.kept else (1, *shape[1:])
        return self.source.values.new_empty(kept).expand(shape)

    def to_source(self, t: int, gradient: Tensor) -> None:
        """The gradient of the product at step t, handed on to x."""
        if self.shared:
            self.source.grad_at[t].addmm_(gradient, self.weight)
        else:
            torch.mm(gradient, self.weight, out=self.source.grad_at[t])

    def weight_gradient(self, gradient: Tensor) -> Tensor:
        """The gradient of W from that of the product, (T, B, N), in one product."""
        x = self.source.values[: len(gradient)]
        return gradient.flatten(0, 1).t() @ x.flatten(0, 1)


class Linear(Product):
    """W x + b, an output of the scan. See ``Product``."""

    def __init__(self, source: Stack, module: nn.Linear, steps: int, shared: bool = False) -> None:
        super().__init__(source, module, steps, shared)
        self.out = Stack(self.empty())

    def weights(self) -> tuple[Tensor, ...]:
        """See ``Layer``."""
        return self.weight, self.bias

    def forward(self, t: int) -> None:
        """See ``Layer``."""
        torch.addmm(self.bias, self.source.at[t], self.transposed, out=self.out.at[t])

    def backward(self, t: int) -> None:
        """See ``Layer``."""
        self.to_source(t, self.out.grad_at[t])

    def gradients(self) -> tuple[Tensor, ...]:
        """See ``Layer``."""
        return self.weight_gradient(self.out.grads), self.out.grads.sum((0, 1))


class Normed(Product):
    """LayerNorm(W x + known), the base of what follows it. See ``Product``.

    Args:
        source: x.
        module: W.
        norm: the norm.
        steps: T.
        known: what is added to the product, (T, B, N).
        shared: whether other layers read x too.
    """

    def __init__(
        self,
        source: Stack,
        module: nn.Linear,
        norm: nn.LayerNorm,
        steps: int,
        known: Tensor | None = None,
        shared: bool = False,
    ) -> None:
        super().__init__(source, module, steps, shared)
        self.norm = norm
        self.scale, self.shift, self.width = norm.weight, norm.bias, norm.normalized_shape
        self.known = known
        self.known_at = () if known is None else known.detach().unbind()
        self.sums = Stack(self.between())
        self.normed: list[Tensor] = []
        self.means: list[Tensor] = []
        self.rstds: list[Tensor] = []

    def weights(self) -> tuple[Tensor, ...]:
        """See ``Layer``."""
        known = () if self.known is None else (self.known,)
        return self.weight, self.scale, self.shift, *known

    def forward(self, t: int) -> None:
        """See ``Layer``; leaves its value in ``last``."""
        x, out = self.source.at[t], self.sums.at[t]
        if self.known is None:
            torch.mm(x, self.transposed, out=out)
        else:
            torch.addmm(self.known_at[t], x, self.transposed, out=out)
        normed, mean, rstd = torch.native_layer_norm(
            out, self.width, self.scale, self.shift, self.norm.eps
        )
        self.last = normed
        if self.kept:
            self.normed.append(normed)
            self.means.append(mean)
            self.rstds.append(rstd)

    def prepare(self) -> None:
        """See ``Layer``."""
        self.sums.seed(self.empty())
        self.normed_grads = self.empty()
        self.normed_grad_at = self.normed_grads.unbind()

    def backward(self, t: int) -> None:
        """See ``Layer``; what follows the norm has left its gradient in ``normed_grad_at[t]``."""
        gradient, _, _ = _layer_norm_backward(
            self.normed_grad_at[t],
            self.sums.at[t],
            self.width,
            self.means[t],
            self.rstds[t],
            self.scale,
            self.shift,
            [True, False, False],
        )
        self.sums.grad_at[t].copy_(gradient)
        self.to_source(t, gradient)

    def gradients(self) -> tuple[Tensor, ...]:
        """See ``Layer``."""
        _, scale, shift = _layer_norm_backward(
            self.normed_grads,
            self.sums.values,
            self.width,
            torch.stack(self.means),
            torch.stack(self.rstds),
            self.scale,
            self.shift,
            [False, True, True],
        )
        known = () if self.known is None else (self.sums.grads,)
        return self.weight_gradient(self.sums.grads), scale, shift, *known


class Swish(Normed):
    """Swish(LayerNorm(W x + known)). See ``Normed``; ``out`` is a new stack unless it is given."""

    def __init__(
        self,
        source: Stack,
        module: nn.Linear,
        norm: nn.LayerNorm,
        steps: int,
        known: Tensor | None = None,
        shared: bool = False,
        out: Stack | None = None,
    ) -> None:
        super().__init__(source, module, norm, steps, known, shared)
        self.owns = out is None
        self.out = Stack(self.between()) if out is None else out

    def forward(self, t: int) -> None:
        """See ``Layer``."""
        super().forward(t)
        _silu(self.last, out=self.out.at[t])

    def prepare(self) -> None:
        """See ``Layer``."""
        super().prepare()
        if self.owns:
            self.out.seed(self.empty())

    def backward(self, t: int) -> None:
        """See ``Layer``."""
        _silu_backward(self.out.grad_at[t], self.normed[t], grad_input=self.normed_grad_at[t])
        super().backward(t)
