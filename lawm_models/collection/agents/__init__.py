"""Agents that learn while they collect: one module of this folder or of another package is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from lawm_data.system.registry import Modules

if TYPE_CHECKING:  # agents are listed without importing torch
    from lawm_schemas import ArraySpec

    from lawm_models.collection.agents.dreamer import Dreamer, DreamerConfig
    from lawm_models.collection.agents.plan2explore import Plan2Explore

    LearningAgent = Dreamer | Plan2Explore


class AgentModule(Protocol):
    """A module of this folder, named after the agent, or one that another package brings."""

    Config: type[DreamerConfig]
    """Its settings, at least those of ``DreamerConfig``."""
    Agent: Callable[..., LearningAgent]
    """The agent for such settings, what can be observed, A, and whether trajectories can end in a
    terminal state, with fresh weights."""


AGENTS = Modules[AgentModule]("agent", __name__, "lawm.agents", {"Config": type, "Agent": Callable})
"""Every learning agent."""


def agent_config(kind: str, values: Mapping[str, Any]) -> DreamerConfig:
    """The configuration of an agent from plain values; what is not named takes its default.

    Raises:
        ConfigError: no such agent, or the values do not fit it.
    """
    return AGENTS.load(kind).Config.parse(values, "agent")


def make_agent(
    kind: str,
    config: Mapping[str, Any],
    observations: Sequence[ArraySpec],
    action_dim: int,
    terminates: bool = False,
) -> LearningAgent:
    """An agent with fresh weights; see ``agent_config``.

    Raises:
        ConfigError: no such agent, or the configuration does not fit it.
    """
    settings = agent_config(kind, config)
    return AGENTS.load(kind).Agent(settings, observations, action_dim, terminates)
