"""Trajectories that are made together are those that are made one by one."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from lawm_schemas import ArraySpec, CorpusError, Manifest, Role

from lawm_data.corpus.writing.record import Record, make_record
from lawm_data.corpus.writing.records import make_records

ACTION = ArraySpec(name="action", shape=(2,), role=Role.action, low=(-1.0, -1.0), high=(1.0, 1.0))
MANIFEST = Manifest(
    observations=(
        ArraySpec(name="position", shape=(3,)),
        ArraySpec(name="count", shape=(), dtype="int16"),
        ArraySpec(name="touch", shape=(2,), dtype="bool"),
        ArraySpec(name="speed", shape=(1, 2)),
    ),
    action=ACTION,
)


def trajectory(seed: int, length: int, kind: str = "float32", **changes: Any) -> dict[str, Any]:
    """Arguments of ``make_record``."""
    rng = np.random.default_rng(seed)
    return {
        "observations": {
            "position": rng.standard_normal((length + 1, 3)).astype(kind),
            "count": rng.integers(-9, 9, length + 1),
            "touch": rng.random((length + 1, 2)) < 0.5,
            "speed": rng.standard_normal((length + 1, 1, 2)),
        },
        "rewards": rng.standard_normal(length),
        "actions": rng.uniform(-1, 1, (length, 2)),
        "action_observed": None,
        "terminated": bool(seed % 2),
        "truncated": False,
        "metadata": {"seed": seed} if seed % 3 == 0 else None,
        **changes,
    }


def many() -> list[dict[str, Any]]:
    """Sound ones, of all that a writer takes."""
    given = [
        trajectory(i, (5, 3, 5, 1)[i % 4], ("float32", "float64")[i % 3 % 2]) for i in range(30)
    ]
    given += [trajectory(i, 5, actions=None) for i in range(3)]
    for i in range(4):
        observed = np.arange(5) > i
        one = trajectory(i, 5, action_observed=observed)
        one["actions"][~observed] = np.nan
        given.append(one)
    given += [trajectory(i, 5, rewards=[1.0] * 5, terminated=np.arange(5) == 4) for i in range(2)]
    given += [trajectory(i, 5, action_observed=np.zeros(5, bool)) for i in range(2)]
    given += [trajectory(i, 5, rewards=np.full(5, (1 << 24) + i)) for i in range(3)]
    return given


def same(one: Record, other: Record) -> bool:
    """Whether two records say the same, in the same types."""
    names = ("base_id", "digest", "terminated", "truncated", "metadata")
    arrays = [
        (one.steps, other.steps),
        (one.action_observed, other.action_observed),
        *((one.fields[name], other.fields[name]) for name in one.fields),
    ]
    if one.actions is not None and other.actions is not None:
        arrays.append((one.actions, other.actions))
    return (
        all(getattr(one, name) == getattr(other, name) for name in names)
        and (one.actions is None) == (other.actions is None)
        and one.fields.keys() == other.fields.keys()
        and all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in arrays)
    )


def test_together_and_one_by_one() -> None:
    given = many()
    for one, record in zip(given, make_records(MANIFEST, given), strict=True):
        assert same(record, make_record(MANIFEST, **one))


def wrong(kind: str) -> dict[str, Any]:
    """A trajectory that fits no corpus of these arrays."""
    one = trajectory(1, 5)
    if kind == "not finite":
        one["observations"]["speed"][2] = np.inf
    elif kind == "no float32":
        one["rewards"][1] = 1e300
    elif kind == "no int16":
        one["observations"]["count"][0] = 1 << 20
    elif kind == "out of bounds":
        one["actions"][3, 1] = 1.5
    elif kind == "too long":
        one["actions"] = one["actions"][:4]
    elif kind == "another array":
        one["observations"]["more"] = np.zeros(6)
    elif kind == "another type":
        one["observations"]["touch"] = np.zeros((6, 2))
    else:
        one["metadata"] = {"no JSON": {1}}
    return one


@pytest.mark.parametrize(
    "kind",
    [
        "not finite",
        "no float32",
        "no int16",
        "out of bounds",
        "too long",
        "another array",
        "another type",
        "no JSON",
    ],
)
@pytest.mark.parametrize("later", [[], ["out of bounds", "not finite"]])
def test_the_first_that_is_wrong_is_named(kind: str, later: list[str]) -> None:
    given = many()
    given[9:9] = [wrong(kind)]
    given += map(wrong, later)
    with pytest.raises(CorpusError) as expected:
        make_record(MANIFEST, **given[9])
    records = make_records(MANIFEST, given)
    for one in given[:9]:
        assert same(next(records), make_record(MANIFEST, **one))
    with pytest.raises(CorpusError, match=re.escape(str(expected.value))):
        next(records)
