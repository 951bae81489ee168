"""Layers of a scan that have no matrix product of their own, and the GRU cell."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from lawm_models.networks.latent_action import ActionDensities
from lawm_models.networks.layers import NormedGRUCell
from lawm_models.networks.scan.layers import Layer, Normed, Stack

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
_tanh_backward = torch.ops.aten.tanh_backward.default


class GRU(Normed):
    """``layers.NormedGRUCell``, from h_t to h_{t+1}.

    Args:
        source: [x_t, h_t].
        state: h, (*m, T+1, B, D).
        cell: the weights.
        steps: T.
    """

    def __init__(self, source: Stack, state: Stack, cell: NormedGRUCell, steps: int) -> None:
        self.size = state.values.shape[-1]
        shift = cell.norm.bias.detach().clone()
        shift[..., 2 * self.size :] -= 1  # the cell's update gate starts by remembering
        super().__init__(source, cell.linear, cell.norm, steps, shared=True, shift=shift)
        self.state = state

    @cached_property
    def gates(self) -> Stack:
        """Sigmoids of all three parts, one of them unused."""
        return Stack(self.between())

    @cached_property
    def reset(self) -> Stack:
        """The gate of h in the candidate."""
        return self.gates.columns(0, self.size)

    @cached_property
    def update(self) -> Stack:
        """The gate of the candidate in the next h."""
        return self.gates.columns(2 * self.size, 3 * self.size)

    @cached_property
    def candidate(self) -> Stack:
        """What h moves to."""
        return Stack(self.between(self.size))

    def forward(self, t: int) -> None:
        """See ``Layer``."""
        super().forward(t)
        normed, candidate, h = self.last, self.candidate.at[t], self.state.at[t]
        torch.sigmoid(normed, out=self.gates.at[t])
        torch.mul(self.reset.at[t], normed.chunk(3, -1)[1], out=candidate).tanh_()
        torch.lerp(h, candidate, self.update.at[t], out=self.state.at[t + 1])

    def backward(self, t: int) -> None:
        """See ``Layer``."""
        gradient, h, candidate = self.state.grad_at[t + 1], self.state.at[t], self.candidate.at[t]
        reset, update = self.reset.at[t], self.update.at[t]
        to_reset, to_inner, to_update = self.normed_grad_at[t].chunk(3, -1)
        moved = gradient * update
        to_product = _tanh_backward(moved, candidate)
        torch.mul(to_product, reset, out=to_inner)
        inner = self.normed[t].chunk(3, -1)[1]
        _sigmoid_backward(to_product * inner, reset, grad_input=to_reset)
        _sigmoid_backward(gradient * (candidate - h), update, grad_input=to_update)
        self.state.grad_at[t].add_(gradient).sub_(moved)
        super().backward(t)


class Draw(Layer):
    """A reparametrised sample of ``split_normal``.

    Args:
        params: network outputs, (*m, T, B, 2N).
        noise: standard normal, (*m, T, B, N).
        out: the sample.
        min_std: of ``split_normal``.
    """

    def __init__(self, params: Stack, noise: Tensor, out: Stack, min_std: float) -> None:
        size = noise.shape[-1]
        self.params = params
        self.mean, self.raw = params.columns(0, size), params.columns(size, 2 * size)
        self.noise = noise
        self.min_std = min_std
        self.out = out

    @cached_property
    def least(self) -> tuple[Tensor, ...]:
        """The smallest standard deviation times the noise, by step."""
        return (self.min_std * self.noise).unbind(-3)

    @cached_property
    def twice(self) -> tuple[Tensor, ...]:
        """Twice the noise, by step."""
        return (2 * self.noise).unbind(-3)

    def forward(self, t: int) -> None:
        """See ``Layer``."""
        sigmoid = torch.mul(self.raw.at[t], 0.5).sigmoid_()
        # mean + (2 sigmoid + min_std) noise
        torch.addcmul(self.mean.at[t], sigmoid, self.twice[t], out=self.out.at[t])
        self.out.at[t].add_(self.least[t])

    def prepare(self) -> None:
        """See ``Layer``."""
        s = torch.sigmoid(self.raw.values / 2)
        slope = torch.stack((torch.ones_like(s), self.noise * s * (1 - s)), -2)  # (*m, T, B, 2, N)
        self.slope = slope.unbind(-4)
        self.params_grad_at = self.params.grads.view(slope.shape).unbind(-4)

    def backward(self, t: int) -> None:
        """See ``Layer``."""
        self.params_grad_at[t].addcmul_(self.out.grad_at[t].unsqueeze(-2), self.slope[t])


class Choose(Layer):
    """The action that enters a transition: m · a_data + (1 − m) · a_decoded, Eq. 9.

    Args:
        densities: p(a|s,u).
        params: the decoder's output, (*m, T, B, M).
        noise: of a_decoded, (*m, T, B, A); None takes the mean.
        action: a_data, (*m, T, B, A).
        labeled: m, (*m, B, 1).
        out: the action.
        through: let gradients flow into the decoded action.
    """

    def __init__(
        self,
        densities: ActionDensities,
        params: Stack,
        noise: Tensor | None,
        action: Tensor,
        labeled: Tensor,
        out: Stack,
        through: bool,
    ) -> None:
        self.densities = densities
        self.params = params
        self.noise = noise
        self.action = action.detach()
        self.labeled = labeled
        self.out = out
        self.through = through

    @cached_property
    def action_at(self) -> tuple[Tensor, ...]:
        """a_data by step."""
        return self.action.unbind(-3)

    @cached_property
    def noise_at(self) -> tuple[Tensor | None, ...]:
        """The noise by step."""
        if self.noise is None:
            return (None,) * self.action.shape[-3]
        return self.noise.unbind(-3)

    def forward(self, t: int) -> None:
        """See ``Layer``."""
        decoded = self.densities.read(self.params.at[t]).sample(self.noise_at[t])
        torch.lerp(decoded, self.action_at[t], self.labeled, out=self.out.at[t])

    def slopes(self) -> Tensor:
        """Derivative of the action by the decoder's outputs, (*m, T, B, M)."""
        unlabeled = (1 - self.labeled).unsqueeze(-3)
        return unlabeled * self.densities.slopes(self.params.values, self.noise)

    def prepare(self) -> None:
        """See ``Layer``."""
        shape = (*self.out.values.shape[:-1], self.densities.outputs, -1)  # (*m, T, B, n, A)
        self.slope_at = self.slopes().view(shape).unbind(-4)
        self.params_grad_at = self.params.grads.view(shape).unbind(-4)

    def backward(self, t: int) -> None:
        """See ``Layer``."""
        if self.through:
            self.params_grad_at[t].addcmul_(self.out.grad_at[t].unsqueeze(-2), self.slope_at[t])


class Copy(Layer):
    """A variable that a second product needs beside other columns."""

    def __init__(self, source: Stack, out: Stack) -> None:
        self.source = source
        self.out = out

    def forward(self, t: int) -> None:
        """See ``Layer``."""
        self.out.at[t].copy_(self.source.at[t])

    def backward(self, t: int) -> None:
        """See ``Layer``."""
        self.source.grad_at[t].add_(self.out.grad_at[t])
