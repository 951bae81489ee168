"""What planners that draw samples share."""

from __future__ import annotations

import torch
from jaxtyping import Float
from lawm_schemas import ConfigError
from torch import Tensor


def require_fewer(elites: int, samples: int) -> None:
    """Refuse more elites than there are samples.

    Raises:
        ConfigError: says how many there may be.
    """
    if elites > samples:
        what = f"{elites} are more than the {samples} samples"
        raise ConfigError(what, "elites", f"give {samples} at most")


def drawn(
    mean: Float[Tensor, "N 1 H K"],
    std: Float[Tensor, "N 1 H K"],
    samples: int,
    generator: torch.Generator,
    color: Float[Tensor, "H H"] | None = None,
) -> Float[Tensor, "N P H K"]:
    """Gaussian samples, within [-1, 1]; ``color`` mixes the noise of the steps, see ``colored``."""
    n, _, steps, size = mean.shape
    shape = (n, samples, steps, size)
    noise = torch.randn(shape, generator=generator, device=mean.device, dtype=mean.dtype)
    if color is not None:
        noise = torch.einsum("ij,npjk->npik", color, noise)
    return torch.addcmul(mean, std, noise).clamp(-1, 1)


def best(
    tried: Float[Tensor, "N P H K"], cost: Float[Tensor, "N P"], count: int
) -> Float[Tensor, "N E H K"]:
    """The sequences of least cost, the best one first; what is not a number is worst."""
    order = cost.nan_to_num(torch.inf, torch.inf).topk(count, 1, largest=False).indices
    return tried.take_along_dim(order[:, :, None, None], 1)


def colored(beta: float, steps: int, like: Tensor) -> Float[Tensor, "H H"]:
    """The matrix that makes white noise over H steps coloured: power ∝ 1/f^β, variance 1.

    A circulant one: it filters the noise by f^(−β/2) (Timmer & König 1995); frequency 0 counts as
    the lowest above it.
    """
    frequency = torch.fft.rfftfreq(steps, dtype=torch.float64).clamp(min=1 / steps)
    filtered = torch.fft.irfft(frequency ** (-beta / 2), steps)
    row = filtered / filtered.norm()
    index = torch.arange(steps)
    return row[(index[:, None] - index) % steps].to(like)
