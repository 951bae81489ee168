"""Policies of every algorithm with small networks and random weights."""

from collections.abc import Callable

import pytest
import torch
from lawm_schemas import ArraySpec, Role, Schema

from lawm_models.acting.policy import Policy
from lawm_models.algorithms import ALGORITHMS
from lawm_models.algorithms._protocol import ModelSpec

STATE = (
    ArraySpec(name="position", shape=(2,)),
    ArraySpec(name="arm.angle", shape=()),
    ArraySpec(name="arm.grip.0", shape=(1,), dtype="int64"),
)
ACTIONS = {
    "box": ArraySpec(
        name="action", shape=(2,), role=Role.action, low=(-1.0, -0.3), high=(1.0, 0.7)
    ),
    "discrete": ArraySpec(
        name="action", shape=(), dtype="int64", role=Role.action, low=(2.0,), high=(9.0,)
    ),
    "many": ArraySpec(
        name="action", shape=(2, 1), dtype="int8", role=Role.action, low=(0, 0), high=(3, 9)
    ),
}


def tiny(config: Schema) -> Schema:
    """The same settings with every size cut to 8, however deeply nested."""
    changes = {}
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, Schema):
            changes[name] = tiny(value)
        elif isinstance(value, int) and value > 8:
            changes[name] = 8
    return config.model_copy(update=changes)


@pytest.fixture
def make_policy(randomize) -> Callable[..., Policy]:
    """``make_policy(algorithm, action, deterministic)``; always the same weights."""

    def make(name: str = "lawm", action: str = "box", deterministic: bool = True) -> Policy:
        torch.manual_seed(0)
        spec, module = ACTIONS[action], ALGORITHMS.load(name)
        model = module.Algorithm(tiny(module.Config()), ModelSpec(STATE, spec))
        randomize(model)
        return Policy(
            model.policy(deterministic),
            name=name,
            weights="0" * 64,
            state=STATE,
            action=spec,
            deterministic=deterministic,
        )

    return make
