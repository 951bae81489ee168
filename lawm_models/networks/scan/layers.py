"""Layers of a recurrence that know their own backward pass.

A scan applies a few small layers at every step. Autograd would record a node per operation and
step, and form every weight's gradient once per step. These layers share preallocated stacks over
time instead; they go backwards one step at a time with the gradients of their inputs alone, and
form each weight's gradient in one product over all steps at the end. What depends only on values
of the forward pass (derivatives of gates and densities) is computed for all steps at once.

Time is the axis before the windows; stacked models (``networks.stacking``) come before time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from types import EllipsisType

import torch
from torch import Tensor, nn

_silu = torch.ops.aten.silu.out
_silu_backward = torch.ops.aten.silu_backward.grad_input
_layer_norm_backward = torch.ops.aten.native_layer_norm_backward.default


class Stack:
    """A variable at every step, and in the backward pass the gradient with respect to it.

    Args:
        values: (*m, T, B, N), written step by step through ``at``.
    """

    grads: Tensor
    """(*m, T, B, N)."""

    def __init__(self, values: Tensor) -> None:
        self.values = values
        self._parts: list[tuple[tuple[slice | EllipsisType, ...], Stack]] = []

    @cached_property
    def at(self) -> tuple[Tensor, ...]:
        """``values`` by step."""
        return self.values.unbind(-3)

    @cached_property
    def grad_at(self) -> tuple[Tensor, ...]:
        """``grads`` by step."""
        return self.grads.unbind(-3)

    def columns(self, start: int, stop: int) -> Stack:
        """Part of the variable, in the same memory."""
        return self._part(..., slice(start, stop))

    def rows(self, start: int, step: int) -> Stack:
        """Every so many windows of the batch, in the same memory."""
        return self._part(..., slice(start, None, step), slice(None))

    def seed(self, grads: Tensor) -> None:
        """Set the gradients that the backward pass adds to (or overwrites)."""
        self.grads = grads
        self.__dict__.pop("grad_at", None)
        for index, part in self._parts:
            part.seed(grads[index])

    def _part(self, *index: slice | EllipsisType) -> Stack:
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
        self.steps = steps
        *models, _, batch, _ = source.values.shape
        self.shape = (*models, steps, batch, module.out_features)
        self.kept = torch.is_grad_enabled()
        self.stacked = bool(models)
        if self.stacked:
            self.product, self.add_product = torch.bmm, torch.baddbmm
            self.add_product_to = Tensor.baddbmm_
        else:
            self.product, self.add_product = torch.mm, torch.addmm
            self.add_product_to = Tensor.addmm_

    @cached_property
    def transposed(self) -> Tensor:
        """Wᵀ; for a few rows the product is a third faster when it lies in memory like this."""
        return self.weight.detach().mT.contiguous()

    def empty(self) -> Tensor:
        """Memory for something of the width of the product, (*m, T, B, N)."""
        return self.source.values.new_empty(self.shape)

    def between(self, width: int | None = None) -> Tensor:
        """The same, or of another width, for what only the backward pass reads again.

        Without one every step writes over the last, in the cache of the processor.
        """
        *models, steps, batch, own = self.shape
        kept = (*models, steps if self.kept else 1, batch, width or own)
        return self.source.values.new_empty(kept).expand(*models, steps, batch, -1)

    def to_source(self, t: int, gradient: Tensor) -> None:
        """The gradient of the product at step t, handed on to x."""
        if self.shared:
            self.add_product_to(self.source.grad_at[t], gradient, self.weight)
        else:
            self.product(gradient, self.weight, out=self.source.grad_at[t])

    def weight_gradient(self, gradient: Tensor) -> Tensor:
        """The gradient of W from that of the product, (*m, T, B, N), in one product."""
        x = self.source.values[..., : gradient.shape[-3], :, :]
        return gradient.flatten(-3, -2).mT @ x.flatten(-3, -2)


class Linear(Product):
    """W x + b, an output of the scan. See ``Product``."""

    def __init__(self, source: Stack, module: nn.Linear, steps: int, shared: bool = False) -> None:
        super().__init__(source, module, steps, shared)
        self.out = Stack(self.empty())
        self.added = self.bias.detach().unsqueeze(-2)

    def weights(self) -> tuple[Tensor, ...]:
        """See ``Layer``."""
        return self.weight, self.bias

    def forward(self, t: int) -> None:
        """See ``Layer``."""
        self.add_product(self.added, self.source.at[t], self.transposed, out=self.out.at[t])

    def backward(self, t: int) -> None:
        """See ``Layer``."""
        self.to_source(t, self.out.grad_at[t])

    def gradients(self) -> tuple[Tensor, ...]:
        """See ``Layer``."""
        return self.weight_gradient(self.out.grads), self.out.grads.sum((-3, -2))


class Normed(Product):
    """LayerNorm(W x + known), the base of what follows it. See ``Product``.

    Args:
        source: x.
        module: W.
        norm: the norm.
        steps: T.
        known: what is added to the product, (*m, T, B, N).
        shared: whether other layers read x too.
        shift: in place of the norm's, which takes its gradient.
    """

    def __init__(
        self,
        source: Stack,
        module: nn.Linear,
        norm: nn.LayerNorm,
        steps: int,
        known: Tensor | None = None,
        shared: bool = False,
        shift: Tensor | None = None,
    ) -> None:
        super().__init__(source, module, steps, shared)
        self.norm = norm
        self.scale, self.width = norm.weight, norm.normalized_shape
        self.shift = norm.bias if shift is None else shift
        self.known = known
        self.known_at = () if known is None else known.detach().unbind(-3)
        self.sums = Stack(self.between())
        # torch's norm has one scale and shift for all rows; those of stacked models come after it
        self.inside = (None, None) if self.stacked else (self.scale, self.shift)
        self.scales, self.shifts = (x.detach().unsqueeze(-2) for x in (self.scale, self.shift))
        self.unscaled: list[Tensor] = []
        self.normed: list[Tensor] = []
        self.means: list[Tensor] = []
        self.rstds: list[Tensor] = []

    def weights(self) -> tuple[Tensor, ...]:
        """See ``Layer``."""
        known = () if self.known is None else (self.known,)
        return self.weight, self.scale, self.norm.bias, *known

    def forward(self, t: int) -> None:
        """See ``Layer``; leaves its value in ``last``."""
        x, out = self.source.at[t], self.sums.at[t]
        if self.known is None:
            self.product(x, self.transposed, out=out)
        else:
            self.add_product(self.known_at[t], x, self.transposed, out=out)
        normed, mean, rstd = torch.native_layer_norm(out, self.width, *self.inside, self.norm.eps)
        if self.stacked:
            self.unscaled.append(normed)
            normed = torch.addcmul(self.shifts, normed, self.scales)
        self.last = normed
        if self.kept:
            self.normed.append(normed)
            self.means.append(mean)
            self.rstds.append(rstd)

    def prepare(self) -> None:
        """See ``Layer``."""
        self.sums.seed(self.empty())
        self.normed_grads = self.empty()
        self.normed_grad_at = self.normed_grads.unbind(-3)

    def backward(self, t: int) -> None:
        """See ``Layer``; what follows the norm has left its gradient in ``normed_grad_at[t]``."""
        gradient = self.normed_grad_at[t]
        gradient, _, _ = _layer_norm_backward(
            gradient * self.scales if self.stacked else gradient,
            self.sums.at[t],
            self.width,
            self.means[t],
            self.rstds[t],
            *self.inside,
            [True, False, False],
        )
        self.sums.grad_at[t].copy_(gradient)
        self.to_source(t, gradient)

    def gradients(self) -> tuple[Tensor, ...]:
        """See ``Layer``."""
        if self.stacked:
            scale = (self.normed_grads * torch.stack(self.unscaled, -3)).sum((-3, -2))
            shift = self.normed_grads.sum((-3, -2))
        else:
            _, scale, shift = _layer_norm_backward(
                self.normed_grads,
                self.sums.values,
                self.width,
                torch.stack(self.means),
                torch.stack(self.rstds),
                *self.inside,
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
