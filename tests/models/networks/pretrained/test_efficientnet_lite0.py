"""EfficientNet-Lite0: the network, and the names that others have given to its weights."""

import pytest
import torch
from lawm_schemas import ArraySpec, ConfigError, Role
from pretrained_weights import published
from torch import nn

from lawm_models.networks.encoders import Observation
from lawm_models.networks.pretrained import PRETRAINED, efficientnet_lite0
from lawm_models.networks.pretrained.efficientnet_lite0 import BLOCKS, Config, Encoder, converted

CAMERA = ArraySpec(name="camera", shape=(20, 37, 3), dtype="uint8", role=Role.pixels)


def made(weights: dict[str, torch.Tensor], **settings: int) -> Encoder:
    encoder = Encoder(Config(**settings), [CAMERA])
    encoder.load_state_dict({name: weights[name] for name in encoder.state_dict()})
    return encoder


def test_it_is_the_network_of_the_paper() -> None:
    """Convolution, normalisation and ReLU6, one after the other, as torch has them."""
    raw = published()
    images = torch.randint(0, 256, (2, 20, 37, 3), dtype=torch.uint8)

    def layer(x: torch.Tensor, name: str, norm: str, stride: int, groups: int) -> torch.Tensor:
        kernel = raw[f"{name}.weight"].shape[-1]
        sizes = [max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in x.shape[-2:]]
        (top, left), (bottom, right) = ([n // 2 for n in sizes], [n - n // 2 for n in sizes])
        x = nn.functional.pad(x, (left, right, top, bottom))
        x = nn.functional.conv2d(x, raw[f"{name}.weight"], stride=stride, groups=groups)
        parts = (raw[f"{norm}.{p}"] for p in ("running_mean", "running_var", "weight", "bias"))
        return nn.functional.batch_norm(x, *parts, eps=1e-3)

    relu6 = nn.functional.relu6
    x = relu6(layer((images.permute(0, 3, 1, 2) - 127.0) / 128, "_conv_stem", "_bn0", 2, 1))
    before = 32
    for number, (expansion, _, stride, after) in enumerate(BLOCKS[:4]):
        place, inside = f"_blocks.{number}", x
        if expansion > 1:
            inside = relu6(layer(x, f"{place}._expand_conv", f"{place}._bn0", 1, 1))
        groups = before * expansion
        inside = layer(inside, f"{place}._depthwise_conv", f"{place}._bn1", stride, groups)
        out = layer(relu6(inside), f"{place}._project_conv", f"{place}._bn2", 1, 1)
        x, before = out + x if out.shape == x.shape else out, after
    expected = nn.functional.adaptive_avg_pool2d(x, 2).flatten(1)
    found = made(converted(raw), blocks=4, grid=2)(
        Observation(torch.zeros(2, 0), {"camera": images})
    )
    assert found.shape == (2, 160)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_both_packages_names_are_known() -> None:
    one, other = converted(published()), converted(published(timm=True))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    made(one, blocks=16)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda w: w.pop("_bn0.bias"), "has no tensor '_bn0.bias'"),
        # EfficientNet-B0 has the same and more
        (
            lambda w: w.update({"_blocks.3._se_reduce.bias": torch.zeros(4)}),
            "has a tensor '_blocks.3._se_reduce.bias' that the architecture has not",
        ),
    ],
)
def test_weights_of_another_network_are_refused(change, line) -> None:
    weights = published()
    change(weights)
    with pytest.raises(ValueError, match=line):
        converted(weights)


@pytest.mark.parametrize(("dtype", "channels"), [("uint16", 1), ("uint8", 1), ("uint8", 4)])
def test_only_colour_of_8_bits_is_read(dtype: str, channels: int) -> None:
    camera = CAMERA.model_copy(update={"dtype": dtype, "shape": (20, 37, channels)})
    with pytest.raises(ConfigError, match=r"camera .* is no colour of 8 bits"):
        Encoder(Config(), [camera])


def test_architectures_go_by_their_names(install) -> None:
    lines = (
        '"""Four: the first four blocks of EfficientNet-Lite0."""',
        "from lawm_models.networks.pretrained import efficientnet_lite0 as whole",
        "class Config(whole.Config):",
        "    name: str = 'four'",
        "    blocks: int = 4",
        "Encoder, converted = whole.Encoder, whole.converted",
    )
    install(
        "lab 1.0",
        {"lab/__init__.py": "", "lab/four.py": "\n".join(lines)},
        {"lawm.architectures": {"four": "lab.four"}},
    )
    assert PRETRAINED.names() == ["efficientnet_lite0", "four"]
    assert PRETRAINED.load("efficientnet_lite0") is efficientnet_lite0
    assert PRETRAINED.load("four").Config.parse({}, "t").model_dump()["blocks"] == 4
