"""Agents that learn while they collect, by the name of their kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from lawm_schemas import ArraySpec, ConfigError

from lawm_models.collection.dreamer import Dreamer, DreamerConfig
from lawm_models.collection.plan2explore import Plan2Explore, Plan2ExploreConfig

LearningAgent = Dreamer | Plan2Explore


class Kind(NamedTuple):
    """What a kind of agent is made of."""

    config: type[DreamerConfig]
    """Its configuration."""
    make: Callable[..., LearningAgent]
    """The agent for a configuration of this type, what can be observed, and A."""


KINDS = {
    "dreamer": Kind(DreamerConfig, Dreamer),
    "plan2explore": Kind(Plan2ExploreConfig, Plan2Explore),
}
"""Every kind. Its configuration has at least the fields of ``DreamerConfig``."""


def agent_config(kind: str, values: Mapping[str, Any]) -> DreamerConfig:
    """The configuration of a kind from plain values; what is not named takes its default.

    Raises:
        ConfigError: no such kind, or the values do not fit it.
    """
    return _kind(kind).config.parse(values, "agent")


def make_agent(
    kind: str, config: Mapping[str, Any], observations: Sequence[ArraySpec], action_dim: int
) -> LearningAgent:
    """An agent with fresh weights; see ``agent_config``.

    Raises:
        ConfigError: no such kind, or the configuration does not fit it.
    """
    return _kind(kind).make(agent_config(kind, config), observations, action_dim)


def _kind(name: str) -> Kind:
    if name not in KINDS:
        raise ConfigError(f"no such kind of agent: {name}", "agent", f"give {' or '.join(KINDS)}")
    return KINDS[name]
