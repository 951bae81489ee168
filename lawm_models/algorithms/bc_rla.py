"""BC-RLA: behaviour cloning that also learns to predict RLA's latent actions, of all trajectories.

After the policy of RLA-WM (Zhang et al. 2026, arXiv 2605.07079), of the parts of ``rla``, whose
stages come first. Stage ``agent`` clones the action where it is known, and foresees from the same
state the z of the finished model wherever something follows. Acting needs the action alone.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from lawm_data.batches.batch import Batch
from lawm_models.algorithms import rla
from lawm_models.algorithms._protocol import LastStage, ModelSpec
from lawm_models.networks.lam.clone import Clone, CloneConfig, ClonePolicy
from lawm_models.networks.optimizer import adam, clip_and_step


class Config(rla.Config):
    """Settings of BC-RLA."""

    agent: CloneConfig = Field(default_factory=CloneConfig)
    """The cloned policy."""
    agent_rate: float = Field(default=3e-4, gt=0)
    """Learning rate of the cloned policy."""


class Algorithm(rla.Algorithm):
    """See ``algorithms._protocol.Algorithm``; ``model`` and ``controller`` are for planners."""

    stages: ClassVar[tuple[str, ...]] = ("model", "controller", "agent")
    last_stage: ClassVar[LastStage] = LastStage(("agent", "agent_rate"), ("agent",))
    needs_labels: ClassVar[bool] = True
    name: ClassVar[str] = "bc_rla"

    def __init__(self, config: Config, spec: ModelSpec) -> None:
        super().__init__(config, spec)
        action_dim = config.model.horizon * spec.action.size
        self.agent = Clone(config.agent, self.model.state_dim, config.model.latent, action_dim)
        self._optimizers["agent"] = adam(self.agent.parameters(), config.agent_rate)

    def update(self, stage: str, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """One gradient step of a stage."""
        if stage != "agent":
            return super().update(stage, batch, generator)
        with torch.no_grad():
            steps = self.model.steps(batch, self.scale)
            latent = self.model.inverse(steps.state, steps.after)
        loss, metrics = self.agent.losses(
            steps.state, latent, steps.action, steps.weight, steps.labeled
        )
        norm = clip_and_step(self._optimizers["agent"], loss, self.config.clip)
        return {**metrics, "gradient_norm": norm.detach()}

    def policy(self, deterministic: bool = True) -> ClonePolicy:
        """See the protocol."""
        assert self.scale is not None  # it needs labels, which have bounds
        return ClonePolicy(self.model, self.agent, self.scale, deterministic)
