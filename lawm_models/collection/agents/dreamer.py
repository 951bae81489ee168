"""Dreamer (Hafner 2020): learns a world model, and to act in its dreams, while it collects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self, cast

import torch
from lawm_schemas import ArraySpec, Schema, Size
from lawm_schemas.base import LARGEST
from pydantic import Field, model_validator
from torch import Tensor, nn

from lawm_data.batches.batch import Batch
from lawm_models.networks.actor_critic import ActorCritic, ActorCriticConfig, Dream
from lawm_models.networks.dynamics import State
from lawm_models.networks.encoders import vectors
from lawm_models.networks.encoders._protocol import Observation
from lawm_models.networks.optimizer import adam, clip_and_step, frozen_view
from lawm_models.networks.planning_model import RecurrentPlanningModel
from lawm_models.networks.rssm import RSSMConfig
from lawm_models.networks.scaling import ActionScale
from lawm_models.networks.world_model import (
    WorldModel,
    WorldModelConfig,
    standard_noise,
    state_weight,
    weighted_mean,
)


class DreamerConfig(Schema):
    """The Dreamer agent; the defaults are sized for one CPU thread."""

    world: WorldModelConfig = WorldModelConfig(
        rssm=RSSMConfig(deter=128, stoch=32, hidden=128),
        embed=128,
        units=128,
        observation_std=0.316,
        reward_std=0.316,
    )
    """World model. The stds weigh both squared errors ten times, against one nat of KL."""
    agent: ActorCriticConfig = ActorCriticConfig(
        units=128,
        layers=2,
        policy="clamped_normal",
        critics=1,
        horizon=12,
        entropy=1e-3,
        normalize_returns=True,
        start_states=96,
    )
    """Actor and critic."""
    model_rate: float = Field(default=6e-4, gt=0)
    """Learning rate of the world model."""
    actor_rate: float = Field(default=2e-4, gt=0)
    """Learning rate of the actor."""
    critic_rate: float = Field(default=3e-4, gt=0)
    """Learning rate of the critics."""
    clip: float = Field(default=100.0, gt=0)
    """Gradient norm limit of each part."""
    batch_size: Size = 16
    """B."""
    window: int = Field(default=32, ge=2, le=LARGEST)
    """T."""
    random_trajectories: int = Field(default=8, ge=1)
    """Trajectories of uniform actions before learning starts."""
    first_updates: int = Field(default=150, ge=0)
    """Gradient steps after the random trajectories."""
    updates: int = Field(default=70, ge=1)
    """Gradient steps for every further trajectory."""
    environments: int = Field(default=1, ge=1)
    """Environments it acts in together, N: a round is N trajectories of one policy, then the
    gradient steps for all of them."""

    @model_validator(mode="after")
    def _without_statistics(self) -> Self:
        encoder = self.world.encoder
        if isinstance(encoder, vectors.Config) and encoder.scale == "standard":
            raise ValueError("world.encoder.scale: there are no data to take standard from yet")
        if self.world.reward_scale == "standard":
            raise ValueError("world.reward_scale: there are no data to take standard from yet")
        return self


Reward = Callable[[Dream], Tensor]
"""Rewards (L, N) of the steps of a dream, differentiable."""


class Dreamer(nn.Module):
    """World model, actor and critic with their optimisers, for actions in [-1, 1].

    Args:
        config: everything.
        observations: what can be observed.
        action_dim: A.
        terminates: whether trajectories can end in a terminal state.
    """

    def __init__(
        self,
        config: DreamerConfig,
        observations: Sequence[ArraySpec],
        action_dim: int,
        terminates: bool = False,
    ) -> None:
        super().__init__()
        self.config = config
        self.world = WorldModel(config.world, observations, action_dim, terminates)
        self.agent = ActorCritic(config.agent, self.world.rssm.feature_dim, action_dim)
        self._frozen = [cast(WorldModel, frozen_view(self.world))]  # a list hides it from modules
        self.model_optimizer = adam(self.world.parameters(), config.model_rate)
        self.actor_optimizer = adam(self.agent.actor.parameters(), config.actor_rate)
        self.critic_optimizer = adam(self.agent.critics.parameters(), config.critic_rate)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Optimisers by name."""
        return {
            "model": self.model_optimizer,
            "actor": self.actor_optimizer,
            "critic": self.critic_optimizer,
        }

    def update_model(
        self, batch: Batch, generator: torch.Generator | None, learn_reward: bool = True
    ) -> tuple[dict[str, Tensor], State]:
        """One gradient step of the world model; also its posterior states (B, T+1), detached."""
        loss, terms, state = self.model_loss(batch, generator, learn_reward)
        clip_and_step(self.model_optimizer, loss, self.config.clip)
        return terms, state.detach()

    def update_agent(
        self, start: State, generator: torch.Generator | None, reward: Reward | None = None
    ) -> dict[str, Tensor]:
        """One gradient step of actor and critics, dreaming from N start states.

        Args:
            start: (N, ·).
            generator: of all noise.
            reward: what the dreams pay; None pays the world's reward.
        """
        world = self._frozen[0]
        dream = self.agent.dream(world, start, lambda _, action: action, generator)
        paid = world.reward(dream.feature[1:]) if reward is None else reward(dream)
        goes_on = world.continuation(dream.feature)
        actor, critic, metrics = self.agent.losses(dream, paid, goes_on)
        clip_and_step(self.actor_optimizer, actor, self.config.clip)
        clip_and_step(self.critic_optimizer, critic, self.config.clip)
        self.agent.update_target()
        return metrics

    def model_loss(
        self, batch: Batch, generator: torch.Generator | None, learn_reward: bool = True
    ) -> tuple[Tensor, dict[str, Tensor], State]:
        """The action-conditioned bound without latent actions, and the posterior states.

        Without ``learn_reward`` the bound is that of observations alone.
        """
        world, observation = self.world, Observation.of(batch)
        size, steps = batch.reward.shape
        noise = standard_noise(batch.reward, generator, size, steps + 1, world.rssm.stoch_dim)
        observed = world.observe(observation, batch.action, noise)
        feature = observed.state.feature
        losses = world.state_losses(observed, feature, observation, batch.reward)
        states, step = state_weight(batch.valid), batch.valid.float()
        terms = {
            "observation": weighted_mean(losses.observation, states),
            "reward": weighted_mean(losses.reward, step),
            "state_kl": world.balanced_kl(losses, states),
        }
        if not learn_reward:
            del terms["reward"]
        goes_on = world.continuation_loss(feature, batch.terminated)
        if goes_on is not None:
            terms["continuation"] = weighted_mean(goes_on, step)
        total = torch.stack(list(terms.values())).sum()
        return total, {k: v.detach() for k, v in terms.items()}, observed.state

    def planning_model(self, scale: ActionScale) -> RecurrentPlanningModel:
        """The world model as planners read it, with rewards and values."""
        agent = self.agent
        return RecurrentPlanningModel(
            self.world, scale, discount=agent.config.discount, value=agent.lowest_value
        )


Config, Agent = DreamerConfig, Dreamer
