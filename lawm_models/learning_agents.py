"""Agents that learn while they collect, by the name of their kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from lawm_schemas import ConfigError

from lawm_models.dreamer import Dreamer, DreamerConfig
from lawm_models.plan2explore import Plan2Explore, Plan2ExploreConfig

LearningAgent = Dreamer | Plan2Explore


class Kind(NamedTuple):
    """What a kind of agent is made of."""

    config: type[DreamerConfig]
    """Its configuration."""
    make: Callable[..., LearningAgent]
    """The agent for a configuration of this type, O and A."""


KINDS = {
    "dreamer": Kind(DreamerConfig, Dreamer),
    "plan2explore": Kind(Plan2ExploreConfig, Plan2Explore),
}
"""Every kind. Its configuration has at least the fields of ``DreamerConfig``."""


def default_config(kind: str) -> DreamerConfig:
    """The configuration of a kind as it is when nobody says otherwise.

    Raises:
        ConfigError: no such kind.
    """
    return _kind(kind).config()


def make_agent(
    kind: str, config: Mapping[str, Any], observation_dim: int, action_dim: int
) -> LearningAgent:
    """An agent with fresh weights, from plain values.

    Raises:
        ConfigError: no such kind, or the configuration does not fit it.
    """
    found = _kind(kind)
    return found.make(found.config.parse(config, "agent"), observation_dim, action_dim)


def _kind(name: str) -> Kind:
    if name not in KINDS:
        raise ConfigError(f"no such kind of agent: {name}", "agent", f"give {' or '.join(KINDS)}")
    return KINDS[name]
