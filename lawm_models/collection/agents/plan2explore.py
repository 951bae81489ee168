"""Plan2Explore (Sekar 2020): a Dreamer that seeks what its model does not know, not the reward.

An ensemble predicts the next observation's embedding from state and action; where its members
disagree, the model has more to learn. Dreams pay the disagreement and never the world's reward,
which is learned by nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from lawm_schemas import ArraySpec
from pydantic import Field
from torch import Tensor, nn

from lawm_data.batches.batch import Batch
from lawm_models.collection.agents.dreamer import Dreamer, DreamerConfig
from lawm_models.networks.actor_critic import ActorCritic, Dream
from lawm_models.networks.dynamics import State
from lawm_models.networks.encoders._protocol import Observation
from lawm_models.networks.ensemble import Ensemble, EnsembleConfig, disagreement
from lawm_models.networks.optimizer import adam, clip_and_step, frozen_view
from lawm_models.networks.planning_model import RecurrentPlanningModel
from lawm_models.networks.scaling import ActionScale
from lawm_models.networks.world_model import WorldModel

LOW = 0.05
"""Share of a dream's steps that pay nothing where trajectories can end."""


class Plan2ExploreConfig(DreamerConfig):
    """A Dreamer and its ensemble; the defaults are sized for one CPU thread."""

    ensemble: EnsembleConfig = EnsembleConfig()
    """The one-step predictors."""
    intrinsic_scale: float = Field(default=1.0, gt=0)
    """Factor on the intrinsic reward."""


class Plan2Explore(nn.Module):
    """A Dreamer whose dreams pay the ensemble's disagreement, for actions in [-1, 1].

    Args:
        config: everything.
        observations: what can be observed.
        action_dim: A.
        terminates: whether trajectories can end in a terminal state.
    """

    def __init__(
        self,
        config: Plan2ExploreConfig,
        observations: Sequence[ArraySpec],
        action_dim: int,
        terminates: bool = False,
    ) -> None:
        super().__init__()
        self.config, self.terminates = config, terminates
        self.dreamer = Dreamer(config, observations, action_dim, terminates)
        feature_dim = self.world.rssm.feature_dim
        embed_dim = self.world.encoder.dim
        self.ensemble = Ensemble(config.ensemble, feature_dim, action_dim, embed_dim)
        self._frozen = [cast(Ensemble, frozen_view(self.ensemble))]  # hidden, as the Dreamer's
        self.ensemble_optimizer = adam(self.ensemble.parameters(), config.ensemble.rate)

    @property
    def world(self) -> WorldModel:
        """The world model."""
        return self.dreamer.world

    @property
    def agent(self) -> ActorCritic:
        """Actor and critics."""
        return self.dreamer.agent

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Optimisers by name."""
        return {**self.dreamer.optimizers(), "ensemble": self.ensemble_optimizer}

    def update_model(
        self, batch: Batch, generator: torch.Generator | None
    ) -> tuple[dict[str, Tensor], State]:
        """One gradient step of world model and ensemble; also the posterior states (B, T+1)."""
        terms, state = self.dreamer.update_model(batch, generator, learn_reward=False)
        with torch.no_grad():
            embed = self.world.encoder(Observation.of(batch))
        loss = self.ensemble.loss(state.feature, batch.action, embed, batch.valid)
        clip_and_step(self.ensemble_optimizer, loss, self.config.clip)
        return {**terms, "ensemble": loss.detach()}, state

    def update_agent(self, start: State, generator: torch.Generator | None) -> dict[str, Tensor]:
        """One gradient step of actor and critics, dreaming from N start states."""
        return self.dreamer.update_agent(start, generator, self.intrinsic_reward)

    def intrinsic_reward(self, dream: Dream) -> Float[Tensor, "L N"]:
        """Mean log-std of the predictions for every step above that of the whole dream, scaled.

        Log, because it does not depend on the scale of the embedding, which drifts. Where no
        trajectory ends, it is measured from the mean: a constant changes no policy then, and the
        critics need not learn it. Where trajectories can end, a constant says whether that is to
        be sought or avoided. It is measured from a low quantile there and never negative, as the
        paper's variance: nothing is gained by an end.

        Gradients reach the states of the dream, and neither ensemble nor world model; nor the
        action of the step itself, so that it is paid for where it leads (with the action's own
        gradient the policies stayed closer to noise and covered less).
        """
        variance = disagreement(self._frozen[0](dream.feature[:-1], dream.bounded.detach()))
        log_std = 0.5 * (variance + 1e-8).log().mean(-1)
        known = log_std.detach()
        if self.terminates:
            above = (log_std - known.quantile(LOW)).clamp(min=0)
        else:
            above = log_std - known.mean()
        return self.config.intrinsic_scale * above

    def planning_model(self, scale: ActionScale) -> RecurrentPlanningModel:
        """The world model as planners read it; nobody learns its rewards."""
        return RecurrentPlanningModel(self.world, scale, pays=False)


Config, Agent = Plan2ExploreConfig, Plan2Explore
