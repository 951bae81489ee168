"""A policy as a program of one step: ``torch.export`` archives and ONNX models."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lawm_schemas import ArraySpec, ConfigError
from torch import Tensor, nn

from lawm_data.envs.convert import inner_bounds
from lawm_data.envs.policy import VectorPolicy
from lawm_data.system.atomic import storage_errors, write_file
from lawm_data.system.optional import optional
from lawm_data.system.output import refuse_inside
from lawm_models.networks.policies import StepPolicy

FORMATS = (".pt2", ".onnx")
"""Suffixes that are understood."""
METADATA = "lawm"
"""Where a file says what goes in and comes out: metadata of ONNX, ``lawm`` in a ``.pt2``."""


def export_policy(
    actor: VectorPolicy,
    state: Sequence[ArraySpec],
    action: ArraySpec,
    path: Path,
    facts: Mapping[str, Any],
) -> Path:
    """Write a policy as a program of one step; see ``acting.policy.Policy.export``.

    Args:
        actor: what acts, without noise.
        state: the fields that it reads, in order.
        action: the action of the environment.
        path: file to write.
        facts: what else the file says of it.
    """
    if path.suffix not in FORMATS:
        raise ConfigError(
            "is no format of programs", str(path), f"end it in {' or '.join(FORMATS)}"
        )
    if not isinstance(actor, StepPolicy):
        what = "is no function of tensors, which alone can be exported"
        raise ConfigError(what, str(facts["algorithm"]), "make it a StepPolicy")
    if actor.device.type != "cpu":
        what = f"computes on {actor.device}, where a program could then be run alone"
        raise ConfigError(what, str(facts["algorithm"]), "export a policy of the CPU")
    refuse_inside(path)
    width = sum(spec.size for spec in state)
    about = {
        "lawm": version("lawm"),
        **facts,
        "observation": [{"name": s.name, "shape": s.shape} for s in state],
        "state": actor.memory_dim,
        "action": action.model_dump(mode="json"),
    }
    traceable = _traceable(actor, width, action)
    content = _archive(traceable, about) if path.suffix == ".pt2" else _onnx(traceable, about, path)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, content)
    return path


class _Reactive(nn.Module):
    """One step of a policy that has no memory."""

    def __init__(self, actor: StepPolicy, action: ArraySpec) -> None:
        super().__init__()
        self._actor, self._action = actor, action

    def forward(self, observation: Tensor) -> Tensor:
        chosen, _ = self._actor.step(observation, observation[:, :0], torch.Generator())
        return _nearest(chosen, self._action)


class _Recurrent(nn.Module):
    """One step of a policy that has one."""

    def __init__(self, actor: StepPolicy, action: ArraySpec) -> None:
        super().__init__()
        self._actor, self._action = actor, action

    def forward(self, observation: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        chosen, following = self._actor.step(observation, state, torch.Generator())
        # a program cannot refuse a reading, but nothing of it has to stay
        seen = torch.isfinite(observation).all(1, keepdim=True)
        return _nearest(chosen, self._action), torch.where(seen, following, state)


def _nearest(chosen: Tensor, spec: ArraySpec) -> Tensor:
    """``lawm_data.envs.convert.nearest`` on tensors."""
    shaped = chosen.reshape(-1, *spec.shape)
    dtype = getattr(torch, spec.dtype)
    if dtype == torch.bool:
        return shaped > 0.5
    # float64 holds bounds of whole numbers that float32 would round
    wide = dtype if dtype.is_floating_point else torch.float64
    whole = (shaped if dtype.is_floating_point else shaped.round()).to(wide)
    bounds = inner_bounds(spec)
    if bounds is not None:
        low, high = (torch.from_numpy(np.asarray(bound)) for bound in bounds)
        whole = whole.clamp(low, high)
    return whole.to(dtype)


class _Traceable(NamedTuple):
    """What both exporters are given."""

    program: nn.Module
    inputs: dict[str, Tensor]
    shapes: dict[str, dict[int, Any]]
    """Axes of the inputs that may have any length."""


def _traceable(actor: StepPolicy, width: int, action: ArraySpec) -> _Traceable:
    size = torch.export.Dim("N", min=1, max=1 << 31)
    # two robots: torch takes sizes 0 and 1 for constants
    inputs = {"observation": torch.zeros(2, width)}
    if actor.memory_dim:
        inputs["state"] = torch.zeros(2, actor.memory_dim)
    program = (_Recurrent if actor.memory_dim else _Reactive)(actor, action).eval()
    return _Traceable(program, inputs, {name: {0: size} for name in inputs})


def _archive(traceable: _Traceable, about: Mapping[str, Any]) -> bytes:
    program, inputs, shapes = traceable
    file = io.BytesIO()
    with torch.no_grad(), _quietly():
        exported = torch.export.export(program, (), inputs, dynamic_shapes=shapes, strict=False)
        torch.export.save(exported, file, extra_files={METADATA: json.dumps(about)})
    return file.getvalue()


def _onnx(traceable: _Traceable, about: Mapping[str, Any], path: Path) -> bytes:
    for module in ("onnx", "onnxscript"):
        optional(module, "onnx", str(path))
    program, inputs, shapes = traceable
    outputs = ["action", "next_state"] if about["state"] else ["action"]
    with torch.no_grad(), _quietly():
        made = torch.onnx.export(
            program,
            (),
            kwargs=inputs,
            dynamic_shapes=shapes,
            output_names=outputs,
            dynamo=True,
            verbose=False,
        )
    assert made is not None  # it is written to no file
    model = made.model_proto
    model.metadata_props.add(key=METADATA, value=json.dumps(about))
    return model.SerializeToString()


@contextmanager
def _quietly() -> Iterator[None]:
    """What the exporters say of themselves is not for users."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
