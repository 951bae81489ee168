"""Camera images through a convolution net, with the state fields beside them if there are any.

The net is that of the Dreamers (Hafner et al. 2020): four convolutions of kernel 4 and stride 2,
each with twice the channels of the one before; the decoder is its mirror image. Frames travel as
uint8 and become floats on the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from lawm_schemas import ArraySpec, ConfigError, Role, Size
from pydantic import Field
from torch import Tensor, nn

from lawm_data.corpus.corpus import Corpus
from lawm_models.networks.distributions import log_prob
from lawm_models.networks.encoders._protocol import EncoderConfig, Observation, Sizes
from lawm_models.networks.layers import MLP, symlog

CONVOLUTIONS = 4
"""Layers of the net, each of which halves height and width."""
STRIDE = 2**CONVOLUTIONS
"""Pixels of a picture for each pixel of what comes out of the net, in both directions."""


class Config(EncoderConfig):
    """Settings of the encoder ``pixels``."""

    # narrower than its parent's, which is sound: settings do not change
    name: Literal["pixels"] = "pixels"  # pyright: ignore[reportIncompatibleVariableOverride]
    """This encoder."""
    depth: Size = 16
    """Channels of the first convolution; the Dreamers take 32, with three times the work."""
    pixel_std: float = Field(default=1.0, gt=0)
    """Fixed std of p(pixel|s), for pixels in [-0.5, 0.5]."""


class Encoder(nn.Module):
    """Images and state to an embedding; without sizes, what the convolutions and the state say.

    Its weights are trained in either case.
    """

    def __init__(
        self, config: Config, observations: Sequence[ArraySpec], sizes: Sizes | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.observations = tuple(observations)
        self.cameras = _cameras(observations)
        height, width, _ = self.cameras[0].shape
        channels = sum(spec.shape[2] for spec in self.cameras)
        widths = [channels, *(config.depth * 2**i for i in range(CONVOLUTIONS))]
        self.convolutions = nn.Sequential(
            *(
                layer
                for i in range(CONVOLUTIONS)
                for layer in (nn.Conv2d(widths[i], widths[i + 1], 4, 2, 1), nn.SiLU())
            )
        )
        state_dim = _state_dim(observations)
        self.dim = widths[-1] * (height // STRIDE) * (width // STRIDE) + state_dim
        self.target_dim = height * width * channels + state_dim
        self.target_is_image = True
        self.out: nn.Module = nn.Identity()
        if sizes is not None:
            self.out, self.dim = MLP(self.dim, sizes.embed, sizes.units, 1), sizes.embed

    def forward(self, observation: Observation) -> Float[Tensor, "*b E"]:
        """See ``_protocol.Encoder``."""
        images = self._images(observation)
        # channels last, as frames are stored
        seen = self.convolutions(images.flatten(0, -4).permute(0, 3, 1, 2)).flatten(1)
        known = torch.cat((seen.unflatten(0, images.shape[:-3]), symlog(observation.state)), -1)
        return self.out(known)

    def target(self, observation: Observation) -> Float[Tensor, "*b M"]:
        """All pixels in [-0.5, 0.5], then the symlog of the state."""
        return torch.cat((self._images(observation).flatten(-3), symlog(observation.state)), -1)

    def fit(self, corpora: Sequence[Corpus], labeled: bool = False) -> None:
        """See ``_protocol.Encoder``; there is nothing that a batch cannot tell."""

    def split(self, flat: Float[Tensor, "*b N"]) -> Observation:
        """The observation in its fields, flattened and side by side in the order of the corpus."""
        return Observation.of_flat(flat, self.observations)

    def _images(self, observation: Observation) -> Float[Tensor, "*b h w c"]:
        """The cameras, one behind the other in the channels."""
        images = [observation.pixels[spec.name] for spec in self.cameras]
        joined = images[0] if len(images) == 1 else torch.cat(images, -1)
        return joined.to(observation.state.dtype) / 255 - 0.5


class Decoder(nn.Module):
    """The mirror image of the encoder, and an MLP to the state."""

    def __init__(
        self,
        config: Config,
        observations: Sequence[ArraySpec],
        feature_dim: int,
        sizes: Sizes,
        std: float,
    ) -> None:
        super().__init__()
        self.config, self.std = config, std
        cameras = _cameras(observations)
        height, width, _ = cameras[0].shape
        channels = sum(spec.shape[2] for spec in cameras)
        widths = [*(config.depth * 2**i for i in reversed(range(CONVOLUTIONS))), channels]
        self._start = (widths[0], height // STRIDE, width // STRIDE)
        self.known = nn.Linear(feature_dim, widths[0] * self._start[1] * self._start[2])
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.SiLU(), nn.ConvTranspose2d(before, after, 4, 2, 1)]
        self.convolutions = nn.Sequential(*layers)
        self._pixels = height * width * channels
        state_dim = _state_dim(observations)
        self.state = None
        if state_dim:
            self.state = MLP(feature_dim, state_dim, sizes.units, sizes.layers)

    def forward(self, feature: Float[Tensor, "*b F"]) -> Float[Tensor, "*b M"]:
        """See ``_protocol.Decoder``."""
        start = self.known(feature).flatten(0, -2).unflatten(1, self._start)
        images = self.convolutions(start.contiguous(memory_format=torch.channels_last))
        flat = images.permute(0, 2, 3, 1).flatten(1).unflatten(0, feature.shape[:-1])
        return flat if self.state is None else torch.cat((flat, self.state(feature)), -1)

    def log_prob(
        self, mean: Float[Tensor, "*b M"], target: Float[Tensor, "*b M"]
    ) -> Float[Tensor, "*b"]:
        """See ``_protocol.Decoder``."""
        n = self._pixels
        pixels = log_prob(mean[..., :n], self.config.pixel_std, target[..., :n])
        return pixels + log_prob(mean[..., n:], self.std, target[..., n:])


def _state_dim(observations: Sequence[ArraySpec]) -> int:
    return sum(spec.size for spec in observations if spec.role is Role.state)


def _cameras(observations: Sequence[ArraySpec]) -> list[ArraySpec]:
    """The camera fields.

    Raises:
        ConfigError: there are none, or the net cannot take them.
    """
    cameras = [spec for spec in observations if spec.role is Role.pixels]
    if not cameras:
        what = "nothing is observed that has pixels"
        raise ConfigError(what, "observations", "give a corpus with pixels, and observe=pixels")
    first = cameras[0]
    for spec in cameras:
        height, width, _ = spec.shape
        where = f"{spec.name} {list(spec.shape)}"
        if spec.dtype != "uint8":
            hint = "observe another camera: observe=pixels:CAMERA"
            raise ConfigError("has pixels of 16 bits, and 8 are read", where, hint)
        if height % STRIDE or width % STRIDE:
            what = f"is not a multiple of {STRIDE} pixels high and wide"
            raise ConfigError(what, where, "draw or import it in another size, such as 64")
        if spec.shape[:2] != first.shape[:2]:
            what = f"is of another size than {first.name} {list(first.shape)}"
            raise ConfigError(what, where, f"observe one of them: observe=pixels:{first.name}")
    return cameras
