"""EfficientNet-Lite0 (Tan & Le 2019; the Lite of 2020), as trained on ImageNet, to its last blocks.

Published weights have the names of ``efficientnet_lite_pytorch`` or of timm's
``tf_efficientnet_lite0``. Batch normalisation is folded into the convolution before it. Only the
first blocks are used, and their map is averaged over a grid: the later ones serve classification,
for which it does not matter where things are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from lawm_schemas import ArraySpec, ConfigError, Role, Size
from torch import Tensor, nn
from torch.nn import functional as F

from lawm_models.networks.encoders._protocol import EncoderConfig, Observation, Sizes


class Part(NamedTuple):
    """A convolution of a block."""

    ours: str
    """Its name here."""
    lite: str
    """Its name in ``efficientnet_lite_pytorch``."""
    timm: str
    """Its name in timm."""
    number: int
    """Of the normalisation behind it."""


BLOCKS = (
    (1, 3, 1, 16),
    *((6, 3, 2, 24), (6, 3, 1, 24)),
    *((6, 5, 2, 40), (6, 5, 1, 40)),
    *((6, 3, 2, 80), (6, 3, 1, 80), (6, 3, 1, 80)),
    *((6, 5, 1, 112), (6, 5, 1, 112), (6, 5, 1, 112)),
    *((6, 5, 2, 192), (6, 5, 1, 192), (6, 5, 1, 192), (6, 5, 1, 192)),
    (6, 3, 1, 320),
)
"""Expansion, kernel, stride and channels of every block."""
STAGES = (1, 2, 2, 3, 3, 4, 1)
"""Blocks of each stage; timm counts within them."""
PARTS = (
    Part("expand", "_expand_conv", "conv_pw", 0),
    Part("depthwise", "_depthwise_conv", "conv_dw", 1),
    Part("project", "_project_conv", "conv_pwl", 2),
)
NORM = ("weight", "bias", "running_mean", "running_var")
"""Tensors of a batch normalisation."""
CLASSIFIER = {"_fc.weight", "_fc.bias", "classifier.weight", "classifier.bias"}
"""Tensors of the last layer, which a file may have."""
STEM = 32
"""Channels of the first convolution."""
EPSILON = 1e-3
"""Of the batch normalisation."""
CENTER, SCALE = 127.0, 128.0
"""Pixels enter as (x − 127) / 128."""


class Config(EncoderConfig):
    """Settings of the architecture."""

    # narrower than its parent's, which is sound: settings do not change
    name: Literal["efficientnet_lite0"] = "efficientnet_lite0"  # pyright: ignore[reportIncompatibleVariableOverride]
    """This architecture."""
    blocks: Size = 8
    """How many of the 16 blocks are used."""
    grid: Size = 2
    """The map of the last of them is averaged over so many rows and columns."""


class Convolution(nn.Module):
    """A convolution with TensorFlow's padding, of which more is at the end where it is odd."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, groups: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride, self.groups = kernel, stride, groups
        self.weight = nn.Parameter(torch.zeros(after, before // groups, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(after))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d y x"]:
        """Zeros around the picture, so that its size is divided by the stride and rounded up."""
        down, across = (
            max((-(-size // self.stride) - 1) * self.stride + self.kernel - size, 0)
            for size in x.shape[-2:]
        )
        if down or across:
            x = F.pad(x, (across // 2, across - across // 2, down // 2, down - down // 2))
        return F.conv2d(x, self.weight, self.bias, self.stride, groups=self.groups)


class Block(nn.Module):
    """An inverted residual block: wider, a convolution of each channel alone, narrower."""

    def __init__(self, before: int, expansion: int, kernel: int, stride: int, after: int) -> None:
        super().__init__()
        inside = before * expansion
        self.expand = Convolution(before, inside, 1, 1) if expansion > 1 else None
        self.depthwise = Convolution(inside, inside, kernel, stride, groups=inside)
        self.project = Convolution(inside, after, 1, 1)
        self.residual = stride == 1 and before == after

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d y x"]:
        """The block's map."""
        inside = x if self.expand is None else F.relu6(self.expand(x))
        out = self.project(F.relu6(self.depthwise(inside)))
        return out + x if self.residual else out


class Encoder(nn.Module):
    """Cameras to the averaged maps of each, side by side."""

    def __init__(
        self, config: Config, observations: Sequence[ArraySpec], sizes: Sizes | None = None
    ) -> None:
        super().__init__()
        self.config, self.observations = config, tuple(observations)
        self.cameras = [spec for spec in observations if spec.role is Role.pixels]
        for spec in self.cameras:
            if spec.dtype != "uint8" or spec.shape[2] != 3:
                where = f"{spec.name} {spec.dtype}{list(spec.shape)}"
                raise ConfigError("is no colour of 8 bits", where, "leave this camera out")
        self.stem = Convolution(3, STEM, 3, 2)
        widths = [STEM, *(after for *_, after in BLOCKS)]
        self.blocks = nn.Sequential(*(Block(widths[i], *BLOCKS[i]) for i in range(config.blocks)))
        self.dim = widths[config.blocks] * config.grid**2 * len(self.cameras)

    def forward(self, observation: Observation) -> Float[Tensor, "*b E"]:
        """See ``encoders._protocol.Encoder``."""
        found = [self._seen(observation.pixels[spec.name]) for spec in self.cameras]
        return torch.cat(found, -1)

    def _seen(self, images: Tensor) -> Float[Tensor, "*b D"]:
        flat = images.flatten(0, -4).permute(0, 3, 1, 2).to(self.stem.weight.dtype)
        maps = self.blocks(F.relu6(self.stem((flat - CENTER) / SCALE)))
        return (
            F.adaptive_avg_pool2d(maps, self.config.grid).flatten(1).unflatten(0, images.shape[:-3])
        )

    def split(self, flat: Float[Tensor, "*b N"]) -> Observation:
        """See ``encoders._protocol.Encoder``."""
        return Observation.of_flat(flat, self.observations)


def converted(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """See ``_protocol.Pretrained``."""
    left = {n: x for n, x in published.items() if n.rpartition(".")[2] != "num_batches_tracked"}
    found = {}
    for ours, convolution, norm in _places(timm="conv_stem.weight" in left):
        names = [f"{convolution}.weight", *(f"{norm}.{part}" for part in NORM)]
        if lacking := [name for name in names if name not in left]:
            raise ValueError(f"has no tensor {lacking[0]!r}")
        weight, gain, bias, mean, variance = (left.pop(name).float() for name in names)
        gain = gain / (variance + EPSILON).sqrt()
        found[f"{ours}.weight"] = weight * gain[:, None, None, None]
        found[f"{ours}.bias"] = bias - mean * gain
    if others := sorted(left.keys() - CLASSIFIER):
        raise ValueError(f"has a tensor {others[0]!r} that the architecture has not")
    return found


def _places(timm: bool) -> Iterator[tuple[str, str, str]]:
    """Our name of each convolution, and the published ones of it and of its normalisation."""
    yield ("stem", "conv_stem", "bn1") if timm else ("stem", "_conv_stem", "_bn0")
    inside = [(stage, place) for stage, count in enumerate(STAGES) for place in range(count)]
    for number, ((expansion, *_), (stage, place)) in enumerate(zip(BLOCKS, inside, strict=True)):
        for part in PARTS if expansion > 1 else PARTS[1:]:
            if timm:
                here, norm = f"blocks.{stage}.{place}", f"bn{part.number + (expansion > 1)}"
                plain = expansion == 1 and part.ours == "project"
                name = "conv_pw" if plain else part.timm
            else:
                here, norm, name = f"_blocks.{number}", f"_bn{part.number}", part.lite
            yield f"blocks.{number}.{part.ours}", f"{here}.{name}", f"{here}.{norm}"
    yield ("head", "conv_head", "bn2") if timm else ("head", "_conv_head", "_bn1")
