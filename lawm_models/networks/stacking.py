"""M models of one shape as one: the axis of the models comes first, in weights and in data.

A small model's step is mostly the cost of calling operations. A stack of M models calls as many as
one model does, each on M times the numbers. In shapes ``*m`` stands for the axis of the models, or
for nothing where there is one model and no such axis. Nothing mixes models: every model's numbers
are those that it would have alone, up to the order of summation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor, nn

from lawm_data.batches.batch import Batch

PIXELS = "pixels"
"""The field of a batch that is no tensor."""
STEP = "step"
"""Adam's count of steps, which is the same for all."""


def labeled_rows(labeled: Bool[Tensor, "*m B"]) -> Int[Tensor, "*m R"]:
    """Which windows of a batch are labeled.

    Raises:
        ValueError: models differ in their number.
    """
    if labeled.dim() == 1:
        return labeled.nonzero().squeeze(1)
    count = labeled.sum(1)
    if (count != count[0]).any():
        raise ValueError(f"stacked models with {count.tolist()} labeled windows in their batches")
    return labeled.nonzero()[:, 1].view(len(labeled), -1)


def take(x: Shaped[Tensor, "*m B ..."], rows: Int[Tensor, "*m R"]) -> Shaped[Tensor, "*m R ..."]:
    """Rows of every model's part of ``x``."""
    if rows.dim() == 1:
        return x.index_select(0, rows)
    return x.flatten(0, 1).index_select(0, _flat(rows, x)).unflatten(0, rows.shape)


def put(
    x: Shaped[Tensor, "*m B ..."], rows: Int[Tensor, "*m R"], values: Shaped[Tensor, "*m R ..."]
) -> Shaped[Tensor, "*m B ..."]:
    """``x`` with other values in some rows; gradients flow into both."""
    if rows.dim() == 1:
        return x.index_copy(0, rows, values)
    flat = x.flatten(0, 1).index_copy(0, _flat(rows, x), values.flatten(0, 1))
    return flat.view_as(x)


def _flat(rows: Tensor, x: Tensor) -> Tensor:
    models, size = x.shape[:2]
    return (rows + torch.arange(0, models * size, size, device=x.device).unsqueeze(1)).flatten()


def windows(batch: Batch, rows: Int[Tensor, "*m R"]) -> Batch:
    """Some windows of a batch."""
    plain = {f.name: take(getattr(batch, f.name), rows) for f in fields(batch) if f.name != PIXELS}
    return Batch(**plain, pixels={name: take(x, rows) for name, x in batch.pixels.items()})


def side_by_side(batches: Sequence[Batch]) -> Batch:
    """The batches of M models as one, (M, B, …)."""

    def stack(name: str) -> Tensor:
        return torch.stack([getattr(batch, name) for batch in batches])

    pixels = {
        name: torch.stack([batch.pixels[name] for batch in batches]) for name in batches[0].pixels
    }
    return Batch(
        **{f.name: stack(f.name) for f in fields(Batch) if f.name != PIXELS}, pixels=pixels
    )


def share_weights(whole: nn.Module, models: Sequence[nn.Module]) -> None:
    """Give one module the weights of M, and let theirs be views of them.

    What is trained is ``whole``; each of the M shows its own part of it at any time.

    Args:
        whole: of the architecture of the others; its parameters and those of its buffers that are
            part of its state get an axis of M in front.
        models: the M modules.
    """
    state = whole.state_dict(keep_vars=True)
    parts = [model.state_dict(keep_vars=True) for model in models]
    for name, tensor in state.items():
        joint = torch.stack([part[name].data for part in parts])
        tensor.data = joint
        for part, own in zip(parts, joint.unbind(), strict=True):
            part[name].data = own


def share_moments(
    whole: torch.optim.Optimizer, optimizers: Sequence[torch.optim.Optimizer]
) -> None:
    """The same for Adam: one optimizer has the moments of M, which are at the same step."""
    for group, *groups in zip(
        whole.param_groups, *(o.param_groups for o in optimizers), strict=True
    ):
        for joint, *own in zip(group["params"], *(g["params"] for g in groups), strict=True):
            found = [_moments(o, p) for o, p in zip(optimizers, own, strict=True)]
            state = {key: torch.stack([f[key] for f in found]) for key in found[0] if key != STEP}
            whole.state[joint] = {STEP: found[0][STEP].clone(), **state}
            for i, (optimizer, parameter) in enumerate(zip(optimizers, own, strict=True)):
                views = {key: value[i] for key, value in state.items()}
                optimizer.state[parameter] = {STEP: whole.state[joint][STEP], **views}


def _moments(optimizer: torch.optim.Optimizer, parameter: Tensor) -> dict[str, Tensor]:
    """What Adam knows of a parameter; before its first step, what it begins with."""
    if state := optimizer.state[parameter]:
        return state
    zeros = torch.zeros_like(parameter)
    step = torch.zeros((), device=parameter.device)
    return {STEP: step, "exp_avg": zeros, "exp_avg_sq": zeros.clone()}
