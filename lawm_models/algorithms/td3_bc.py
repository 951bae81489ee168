"""TD3+BC: offline RL without a model, on the labeled steps alone (Fujimoto & Gu 2021).

See ``networks.td3_bc`` for the equations. A window of one step makes a batch of transitions
drawn uniformly, as the authors draw them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lawm_data.batches.batch import Batch
from lawm_data.corpus.corpus import Corpus
from lawm_models.algorithms._protocol import LastStage, ModelSpec, RewardsFrom
from lawm_models.networks.policies import ReactivePolicy
from lawm_models.networks.scaling import ActionScale, Normalizer, labeled_states
from lawm_models.networks.td3_bc import TD3BC, TD3BCConfig
from lawm_models.networks.transitions import every_step
from lawm_models.networks.world_model import standard_noise


class Config(TD3BCConfig):
    """TD3+BC on the labeled steps."""


class Algorithm(nn.Module):
    """See ``algorithms._protocol.Algorithm``."""

    stages: ClassVar[tuple[str, ...]] = ("agent",)
    last_stage: ClassVar[LastStage] = LastStage()
    rewards_from: ClassVar[RewardsFrom] = "labeled"

    def __init__(self, config: Config, spec: ModelSpec) -> None:
        super().__init__()
        self.action_dim = spec.action_dim
        self.scale = ActionScale(spec.low, spec.high)
        self.normalizer = Normalizer(spec.observation_dim)
        self.agent = TD3BC(config, spec.observation_dim, spec.action_dim)

    def prepare(self, corpora: Sequence[Corpus]) -> None:
        """Observations are normalised over the steps that are learned from: the labeled ones."""
        self.normalizer.fit(labeled_states(corpora))

    def begin(self, stage: str) -> None:
        """See the protocol; nothing to prepare."""

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """See the protocol."""
        return self.agent.optimizers

    def update(self, stage: str, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """See the protocol; steps without observed action and recorded reward have no weight."""
        t = every_step(batch, self.scale)
        t = t._replace(weight=t.weight * t.observed * t.rewarded).normalized(self.normalizer)
        return self.agent.update(t, standard_noise(t.action, generator, *t.action.shape))

    def policy(self, deterministic: bool = True) -> ReactivePolicy:
        """See the protocol."""
        return ReactivePolicy(self, self.normalizer.mean, deterministic)

    def act(
        self, observation: Float[Tensor, "N O"], noise: Float[Tensor, "N A"]
    ) -> Float[Tensor, "N A"]:
        """Actions within the bounds; zero noise is the policy itself."""
        return self.scale.to_environment(self.agent.act(self.normalizer(observation), noise))

    def infer_actions(self, batch: Batch) -> None:
        """None: what its policy prefers says nothing of what was done."""
