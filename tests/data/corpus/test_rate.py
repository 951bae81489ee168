"""How long a step lasts."""

from __future__ import annotations

import pytest
from lawm_schemas import ArraySpec, EnvironmentInfo, Manifest, Provenance, Role

from lawm_data.corpus.rate import step_seconds


def manifest(environment: EnvironmentInfo | None, *rates: object) -> Manifest:
    sources = tuple(
        Provenance(source=f"source {i}", settings={} if rate is None else {"fps": rate})
        for i, rate in enumerate(rates)
    )
    action = ArraySpec(name="action", shape=(1,), role=Role.action)
    given = {"observations": (ArraySpec(name="x", shape=(1,)),), "action": action}
    return Manifest(**given, environment=environment, provenance=sources)


def test_the_sources_tell_or_else_the_environment() -> None:
    task = EnvironmentInfo(task="walker-walk", control_timestep=0.025, action_repeat=2)
    assert step_seconds(manifest(task, 10)) == 0.1
    assert step_seconds(manifest(task, 10, 20)) == 0.05
    assert step_seconds(manifest(task, None)) == 0.05
    assert step_seconds(manifest(EnvironmentInfo(task="unknown"), 20)) == 0.05
    assert step_seconds(manifest(None, 20, 20.0)) == 0.05


@pytest.mark.parametrize(
    "rates", [(), (None,), (20, None), (20, 30), (0,), (-1,), ("20",), (True,)]
)
def test_what_is_not_said_or_not_agreed_on_is_unknown(rates: tuple[object, ...]) -> None:
    assert step_seconds(manifest(None, *rates)) is None


@pytest.mark.parametrize(
    ("arguments", "seconds"),
    [
        ({"env_kwargs": {"control_freq": 20}}, 0.05),
        ({"env_kwargs": {"control_freq": None}}, None),
        ({"env_kwargs": {}}, None),
        ({}, None),
        ("no JSON", None),
    ],
)
def test_robosuite_tells_in_its_arguments(arguments: object, seconds: float | None) -> None:
    source = Provenance(source="robomimic:x", settings={"env_args": arguments})
    made = manifest(None).model_copy(update={"provenance": (source,)})
    assert step_seconds(made) == seconds
