"""Random weights of EfficientNet-Lite0 under the names that others have given them."""

import torch

from lawm_models.networks.pretrained.efficientnet_lite0 import BLOCKS


def published(timm: bool = False, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights of the whole network, under the names of either package."""
    generator, found = torch.Generator().manual_seed(seed), {}

    def layer(convolution: str, norm: str, *shape: int) -> None:
        found[f"{convolution}.weight"] = torch.randn(shape, generator=generator) / shape[1]
        for part in ("weight", "bias", "running_mean", "running_var"):
            found[f"{norm}.{part}"] = torch.rand(shape[0], generator=generator)
        found[f"{norm}.num_batches_tracked"] = torch.tensor(9)

    stages = [0, 1, 1, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5, 5, 6]
    layer(*(("conv_stem", "bn1") if timm else ("_conv_stem", "_bn0")), 32, 3, 3, 3)
    before = 32
    for number, (expansion, kernel, _, after) in enumerate(BLOCKS):
        inside = before * expansion
        shapes = [(inside, before, 1, 1), (inside, 1, kernel, kernel), (after, inside, 1, 1)]
        if timm:
            place = f"blocks.{stages[number]}.{stages[:number].count(stages[number])}"
            names = ["conv_pw", "conv_dw", "conv_pwl"] if number else ["", "conv_dw", "conv_pw"]
            norms = ["bn1", "bn2", "bn3"] if number else ["", "bn1", "bn2"]
        else:
            place, norms = f"_blocks.{number}", ["_bn0", "_bn1", "_bn2"]
            names = ["_expand_conv", "_depthwise_conv", "_project_conv"]
        for name, norm, shape in list(zip(names, norms, shapes, strict=True))[expansion == 1 :]:
            layer(f"{place}.{name}", f"{place}.{norm}", *shape)
        before = after
    layer(*(("conv_head", "bn2") if timm else ("_conv_head", "_bn1")), 1280, 320, 1, 1)
    classifier = "classifier" if timm else "_fc"
    return {**found, f"{classifier}.weight": torch.zeros(5, 1280)}
