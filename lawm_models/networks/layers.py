"""Building blocks: a normalised MLP and a normalised GRU cell.

Their weights may be those of M models side by side, see ``stacking``.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class Linear(nn.Linear):
    """``nn.Linear``; with weights (M, J, I) of M models, for (M, *b, I)."""

    def forward(self, input: Float[Tensor, "*b I"]) -> Float[Tensor, "*b J"]:
        """Apply over the last axis."""
        if self.weight.dim() == 2:
            return super().forward(input)
        rows, weight = input.flatten(1, -2), self.weight.mT
        if self.bias is None:
            out = torch.bmm(rows, weight)
        else:
            out = torch.baddbmm(self.bias.unsqueeze(1), rows, weight)
        return out.unflatten(1, input.shape[1:-1])


class LayerNorm(nn.LayerNorm):
    """``nn.LayerNorm`` over the last axis; with scales (M, I) of M models, for (M, *b, I)."""

    def forward(self, input: Float[Tensor, "*b I"]) -> Float[Tensor, "*b I"]:
        """Apply over the last axis."""
        if self.weight.dim() == 1:
            return super().forward(input)
        normed = F.layer_norm(input, self.normalized_shape, eps=self.eps)
        return torch.addcmul(beside(self.bias, input), normed, beside(self.weight, input))


def beside(weight: Float[Tensor, "*m I"], x: Float[Tensor, "*b I"]) -> Float[Tensor, ...]:
    """A vector, or one of each of M models, shaped so that it meets (M, *b, I)."""
    if weight.dim() == 1:
        return weight
    return weight.view(len(weight), *(1,) * (x.dim() - 2), -1)


class MLP(nn.Module):
    """``layers`` × (Linear, LayerNorm, Swish), then a Linear to ``out_dim``.

    Args:
        in_dim: width of the input.
        out_dim: width of the output.
        units: width of the hidden layers.
        layers: number of hidden layers.
        zero_init: start with an output of exactly zero (reward and value heads).
    """

    def __init__(
        self, in_dim: int, out_dim: int, units: int, layers: int, zero_init: bool = False
    ) -> None:
        super().__init__()
        self.hidden = nn.ModuleList(
            NormedLinear(in_dim if i == 0 else units, units) for i in range(layers)
        )
        self.out = Linear(units if layers else in_dim, out_dim)
        if zero_init:
            nn.init.zeros_(self.out.weight)
            nn.init.zeros_(self.out.bias)

    def forward(self, x: Float[Tensor, "*b I"]) -> Float[Tensor, "*b J"]:
        """Apply the network over the last axis."""
        for layer in self.hidden:
            x = layer(x)
        return self.out(x)


class NormedLinear(nn.Module):
    """Linear, LayerNorm, Swish."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.linear = Linear(in_dim, out_dim, bias=False)  # the norm brings the bias
        self.norm = LayerNorm(out_dim)

    def forward(self, x: Float[Tensor, "*b I"]) -> Float[Tensor, "*b J"]:
        """Apply over the last axis."""
        return F.silu(self.norm(self.linear(x)))


class NormedSum(nn.Module):
    """Like ``NormedLinear`` on two concatenated inputs, with the second projected beforehand.

    Inside a scan one input is known for all time steps at once (an embedding); ``project`` does
    its part in one matrix product, ``forward`` the part of the recurrent input.
    """

    def __init__(self, step_dim: int, known_dim: int, out_dim: int) -> None:
        super().__init__()
        self.step = Linear(step_dim, out_dim, bias=False)
        self.known = Linear(known_dim, out_dim, bias=False)
        self.norm = LayerNorm(out_dim)

    def project(self, known: Float[Tensor, "*b K"]) -> Float[Tensor, "*b J"]:
        """The part that does not depend on the recurrent state."""
        return self.known(known)

    def forward(
        self, step: Float[Tensor, "*b I"], projected: Float[Tensor, "*b J"]
    ) -> Float[Tensor, "*b J"]:
        """Finish the layer with the recurrent input."""
        return F.silu(self.norm(self.step(step) + projected))


class NormedGRUCell(nn.Module):
    """GRU cell with LayerNorm over the joint projection of input and state (Hafner 2019b)."""

    def __init__(self, in_dim: int, state_dim: int) -> None:
        super().__init__()
        self.linear = Linear(in_dim + state_dim, 3 * state_dim, bias=False)
        self.norm = LayerNorm(3 * state_dim)

    def forward(self, x: Float[Tensor, "*b I"], h: Float[Tensor, "*b D"]) -> Float[Tensor, "*b D"]:
        """Next state."""
        joint = self.norm(self.linear(torch.cat((x, h), -1)))
        reset, candidate, update = joint.chunk(3, -1)
        candidate = torch.tanh(torch.sigmoid(reset) * candidate)
        update = torch.sigmoid(update - 1)  # start by remembering
        return h + update * (candidate - h)


def symlog(x: Float[Tensor, "*b I"]) -> Float[Tensor, "*b I"]:
    """sign(x) · ln(1 + |x|): large velocities keep their order without drowning the rest."""
    return torch.sign(x) * torch.log1p(x.abs())


def symexp(x: Float[Tensor, "*b I"]) -> Float[Tensor, "*b I"]:
    """sign(x) · (exp|x| − 1), the inverse of ``symlog``."""
    return torch.sign(x) * torch.expm1(x.abs())


def load_renamed(module: nn.Module, old: str, new: str) -> None:
    """Let a module load weights that were saved when one of its parts had another name."""

    def rename(_: nn.Module, state: dict[str, Tensor], prefix: str, *rest: object) -> None:
        before, after = f"{prefix}{old}.", f"{prefix}{new}."
        for key in [key for key in state if key.startswith(before)]:
            state[after + key.removeprefix(before)] = state.pop(key)

    module.register_load_state_dict_pre_hook(rename)
