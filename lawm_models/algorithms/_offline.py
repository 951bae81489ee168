"""Offline RL from single steps: what its learners offer, and learning from labels alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from jaxtyping import Float
from lawm_schemas import ConfigError
from torch import Tensor, nn

from lawm_data.batches.batch import Batch
from lawm_data.corpus.corpus import Corpus
from lawm_models.algorithms._protocol import LastStage, ModelSpec, RewardsFrom
from lawm_models.networks.encoders import ENCODERS
from lawm_models.networks.encoders._protocol import Observation, require_no_weights
from lawm_models.networks.layers import load_renamed
from lawm_models.networks.offline.transitions import Transitions, choose_step, every_step, one_step
from lawm_models.networks.policies import ReactivePolicy
from lawm_models.networks.scaling import ActionScale
from lawm_models.networks.world_model import standard_noise


class Learner(Protocol):
    """A torch module that learns a policy from steps whose actions are known or inferred."""

    reads_next_action: ClassVar[bool]
    """Whether it needs the action after a step."""
    optimizers: dict[str, torch.optim.Optimizer]
    """By name."""

    def __init__(self, config: Any, embed_dim: int, action_dim: int) -> None:
        """Fresh weights for settings, width of an encoded observation and of an action."""
        ...

    def fit(self, returns: Float[np.ndarray, " N"]) -> None:
        """Take over the scale of rewards from the returns of the trajectories to learn from."""
        ...

    def update(self, t: Transitions, noise: Float[Tensor, "N A"]) -> dict[str, Tensor]:
        """One gradient step on steps with an action wherever there is weight; metrics by name.

        Args:
            t: the steps.
            noise: standard normal.
        """
        ...

    def act(self, embed: Float[Tensor, "N E"], noise: Float[Tensor, "N A"]) -> Float[Tensor, "N A"]:
        """Action in [-1, 1] at an encoded observation; zero noise is the policy itself."""
        ...


class OnLabels(nn.Module):
    """A learner on the labeled steps alone; see ``algorithms._protocol.Algorithm``.

    A window of one step makes a batch of steps drawn uniformly. One that reads the next action
    takes one step of every window, which has another behind it or is an end.

    Args:
        config: settings of the learner, and ``encoder``.
        spec: arrays of the data.
    """

    stages: ClassVar[tuple[str, ...]] = ("agent",)
    last_stage: ClassVar[LastStage] = LastStage()
    needs_labels: ClassVar[bool] = True
    rewards_from: ClassVar[RewardsFrom] = "labeled"
    title: ClassVar[str]
    """What messages call it."""
    learner: ClassVar[type[Learner]]
    """The class of the learner."""

    def __init__(self, config: Any, spec: ModelSpec) -> None:
        super().__init__()
        self.action_dim = spec.action.size
        self.scale = ActionScale.of(spec.action)
        parts = ENCODERS.load(config.encoder.name)
        self.encoder = parts.Encoder(config.encoder, spec.observations)
        require_no_weights(self.encoder, self.title)
        self.agent = self.learner(config, self.encoder.dim, self.action_dim)
        load_renamed(self, "normalizer", "encoder.normalizer")

    def prepare(self, corpora: Sequence[Corpus]) -> None:
        """Observations are normalised over the steps that are learned from: the labeled ones."""
        self.encoder.fit(corpora, labeled=True)
        self.agent.fit(returns(corpora, labeled=True))

    def begin(self, stage: str) -> None:
        """See the protocol; nothing to prepare."""

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """See the protocol."""
        return self.agent.optimizers

    @classmethod
    def corrects_ends(cls) -> bool:
        """See ``_protocol.CorrectsEnds``."""
        return cls.learner.reads_next_action

    def require_window(self, steps: int) -> None:
        """See ``_protocol.Windowed``."""
        if self.agent.reads_next_action:
            require_steps(steps, 2, "to see the next action")

    def update(self, stage: str, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """See the protocol."""
        t = self.steps(batch, generator)
        return self.agent.update(t, standard_noise(t.action, generator, *t.action.shape))

    def steps(self, batch: Batch, generator: torch.Generator) -> Transitions:
        """What is learned from; a step without known action or recorded reward has no weight."""
        self.require_window(batch.valid.shape[1])
        embed = self.encoder(Observation.of(batch))
        if self.agent.reads_next_action:
            t = one_step(batch, embed, self.scale, *choose_step(batch, generator, after=1))
            t = t._replace(weight=t.weight * (t.next_observed | (t.terminated > 0)))
        else:
            t = every_step(batch, embed, self.scale)
        return t._replace(weight=t.weight * t.observed * t.rewarded)

    def policy(self, deterministic: bool = True) -> ReactivePolicy:
        """See the protocol."""
        return ReactivePolicy(self, next(self.parameters()), deterministic)

    def act(self, observation: Observation, noise: Float[Tensor, "N A"]) -> Float[Tensor, "N A"]:
        """Actions within the bounds; zero noise is the policy itself."""
        return self.scale.to_environment(self.agent.act(self.encoder(observation), noise))

    def infer_actions(self, batch: Batch) -> None:
        """None: what its policy prefers says nothing of what was done."""


def returns(corpora: Sequence[Corpus], labeled: bool) -> Float[np.ndarray, " N"]:
    """Returns of the trajectories whose rewards were recorded, of the labeled ones or of all."""
    found = []
    for view in corpora:
        table = view.table
        wanted = table.rewarded & (table.readable | (not labeled))
        found.append(table.episode_return[wanted])
    return np.concatenate(found)


def require_steps(steps: int, fewest: int, purpose: str) -> None:
    """Refuse windows that are too short for a purpose.

    Raises:
        ConfigError: they have fewer steps than that.
    """
    if steps < fewest:
        raise ConfigError(f"{steps} is too short {purpose}", "window", f"give {fewest} or more")
