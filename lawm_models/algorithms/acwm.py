"""ACWM: a forward model on true actions, where they are known; what latent actions must beat.

Of the same networks as ``lam``, which infers the actions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from lawm_schemas import Schema
from pydantic import Field
from torch import Tensor, nn

from lawm_data.batches.batch import Batch
from lawm_data.corpus.corpus import Corpus
from lawm_models.algorithms._protocol import LastStage, ModelSpec, RewardsFrom
from lawm_models.networks.lam.planning_model import TransitionPlanningModel
from lawm_models.networks.lam.transition_model import TransitionConfig, TransitionModel
from lawm_models.networks.latent_dynamics import TransitionDynamics
from lawm_models.networks.optimizer import clip_and_step
from lawm_models.networks.scaling import ActionScale


class Config(Schema):
    """Settings of the action-conditioned world model."""

    model: TransitionConfig = Field(default_factory=TransitionConfig)
    """The forward model."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Learning rate of Adam."""
    clip: float = Field(default=100.0, gt=0)
    """Gradient norm limit of each part."""


class Algorithm(nn.Module):
    """See ``algorithms._protocol.Algorithm``; ``model`` is for planners."""

    stages: ClassVar[tuple[str, ...]] = ("model",)
    last_stage: ClassVar[LastStage] = LastStage()
    needs_labels: ClassVar[bool] = True
    rewards_from: ClassVar[RewardsFrom] = "none"

    def __init__(self, config: Config, spec: ModelSpec) -> None:
        super().__init__()
        self.config = config
        self.scale = ActionScale.of(spec.action)
        action_dim = config.model.horizon * spec.action.size
        self.model = TransitionModel(config.model, spec.observations, action_dim, "acwm")
        self._optimizers = self.model.optimizers(config.learning_rate)

    def prepare(self, corpora: Sequence[Corpus]) -> None:
        """Learn scales, of all observations."""
        self.model.fit(corpora)

    def begin(self, stage: str) -> None:
        """See the protocol; nothing to prepare."""

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """See the protocol."""
        return self._optimizers

    def require_window(self, steps: int) -> None:
        """See ``_protocol.Windowed``."""
        self.model.require_window(steps)

    @staticmethod
    def require_shareable(config: Config, processes: int) -> None:
        """See ``_protocol.Shareable``; all settings will do."""

    def latent_dynamics(self) -> TransitionDynamics:
        """See ``_protocol.Probed``."""
        return TransitionDynamics(self.model)

    def update(self, stage: str, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """One gradient step on the labeled steps of the batch."""
        steps = self.model.steps(batch, self.scale)
        losses = self.model.losses(steps.state, steps.after, steps.action, steps.labeled)
        norm = clip_and_step(self._optimizers["model"], losses.prediction, self.config.clip)
        clip_and_step(self._optimizers["alone"], losses.alone, self.config.clip)
        return {**losses.metrics, "gradient_norm": norm.detach()}

    def planning_model(self) -> TransitionPlanningModel:
        """See ``_protocol.Plannable``."""
        return TransitionPlanningModel(self.model, self.scale)

    def infer_actions(self, batch: Batch) -> None:
        """None: it is told the actions."""
