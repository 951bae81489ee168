"""States, observations and rewards: the part of the objective that needs no latent action."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from lawm_schemas import ArraySpec, Count, Schema, Size
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, sigmoid

from lawm_data.corpus.corpus import Corpus
from lawm_models.networks.data_parallel import number, part, total
from lawm_models.networks.distributions import kl, log_prob
from lawm_models.networks.dynamics import Dynamics, Observed
from lawm_models.networks.encoders import ENCODERS, vectors
from lawm_models.networks.encoders._protocol import EncoderChoice, Observation, Sizes
from lawm_models.networks.layers import MLP
from lawm_models.networks.rssm import RSSM, RSSMConfig
from lawm_models.networks.scaling import root_mean_square
from lawm_models.networks.scan import fused, native, plain

Generators = torch.Generator | Sequence[torch.Generator]
"""The generator of a model, or that of each of M models."""


class WorldModelConfig(Schema):
    """Encoder, RSSM, heads and their densities; the defaults are the paper's (Table 2)."""

    encoder: EncoderChoice = Field(default_factory=vectors.Config)
    """How observations are encoded, and what of them is reconstructed."""
    rssm: RSSMConfig = Field(default_factory=RSSMConfig)
    """The recurrent state-space model."""
    embed: Size = 512
    """E, width of the observation embedding."""
    units: Size = 512
    """Hidden units of encoder and heads."""
    layers: Count = 2
    """Hidden layers of encoder and heads."""
    observation_std: float = Field(default=1.0, gt=0)
    """Fixed std of p(o|s), on the encoder's scale; 1 is plain squared error."""
    reward_std: float = Field(default=1.0, gt=0)
    """Fixed std of p(r|s), on the scale of ``reward_scale``."""
    reward_scale: Literal["raw", "standard"] = "raw"
    """Rewards as they are, or divided by their root mean square over the data; never shifted, which
    would change what is best where trajectories end."""
    continuation: bool = True
    """Learn p(c|s), whether a trajectory goes on, where some terminate; without it dreams go on
    past their ends. Where none terminates there is no such head."""
    kl_balance: float | None = Field(default=0.8, ge=0, le=1)
    """Share of the KL gradient that trains the prior (Hafner 2021), the rest the posterior; with
    0.5 both take half of what the plain ELBO gives them. None gives each the whole: Eq. 9."""
    free_nats: float = Field(default=1.0, ge=0)
    """The state KL below this many nats has no gradient. The paper takes 1 on medium-replay and
    plan2explore corpora, which leaves 0 for the others."""
    free_nats_unit: Literal["batch", "step"] = "batch"
    """What the free nats bound: the mean KL of a batch, or the KL of every step."""
    scan: Literal["native", "fused", "plain"] = "native"
    """How the posterior is rolled over a window: in compiled code, which needs a C compiler and a
    CPU and is ``fused`` without; in one operation of torch; or step by step as it is defined. The
    same numbers up to rounding; dynamics of other kinds than the RSSM always take the last."""

    @model_validator(mode="before")
    @classmethod
    def _before_encoders(cls, data: Any) -> Any:
        """``symlog`` was a setting of its own before the encoder had a name."""
        if not isinstance(data, Mapping) or not isinstance(data.get("symlog"), bool):
            return data
        rest = {key: value for key, value in data.items() if key != "symlog"}
        encoder = data.get("encoder", {})
        if isinstance(encoder, Mapping) and encoder.get("name", "vectors") == "vectors":
            rest["encoder"] = {"scale": "symlog" if data["symlog"] else "raw", **encoder}
        return rest


class StateLosses(NamedTuple):
    """Negative terms of Eq. 7 and 8 that both share, in nats per step, and Eq. 11."""

    observation: Float[Tensor, "*m B T+1"]
    """−log p(o_t | s_t)."""
    reward: Float[Tensor, "*m B T"]
    """−log p(r_t | s_{t+1}), Eq. 11."""
    state_kl_prior: Float[Tensor, "*m B T+1"]
    """KL(q(s_t|s_{t−1},a_{t−1},o_t) ‖ p(s_t|s_{t−1},a_{t−1})), its gradient on the prior alone."""
    state_kl_posterior: Float[Tensor, "*m B T+1"]
    """The same value with its gradient on the posterior alone."""


class WorldModel(nn.Module):
    """Encoder, dynamics, observation decoder, reward head and, perhaps, continuation head.

    Args:
        config: sizes and densities.
        observations: what can be observed.
        action_dim: A.
        terminates: whether trajectories can end in a terminal state.
    """

    rssm: Dynamics
    reward_unit: Tensor | None

    def __init__(
        self,
        config: WorldModelConfig,
        observations: Sequence[ArraySpec],
        action_dim: int,
        terminates: bool = False,
    ) -> None:
        super().__init__()
        self.config = config
        parts = ENCODERS.load(config.encoder.name)
        sizes = Sizes(config.embed, config.units, config.layers)
        self.encoder = parts.Encoder(config.encoder, observations, sizes)
        self.rssm = RSSM(config.rssm, action_dim, self.encoder.dim)
        feature_dim = self.rssm.feature_dim
        self.observation_head = parts.Decoder(
            config.encoder, observations, feature_dim, sizes, config.observation_std
        )
        self.reward_head = MLP(feature_dim, 1, config.units, config.layers, zero_init=True)
        standard = config.reward_scale == "standard"
        self.register_buffer("reward_unit", torch.ones(()) if standard else None)
        self.continuation_head: MLP | None = None
        if terminates and config.continuation:
            self.continuation_head = MLP(feature_dim, 1, config.units, config.layers)

    @property
    def scan(self) -> ModuleType:
        """``observe`` and ``infer`` over windows; see ``networks.scan``."""
        ways = {"native": native, "fused": fused, "plain": plain}
        return ways[self.config.scan] if isinstance(self.rssm, RSSM) else plain

    def observe(
        self,
        observation: Observation,
        action: Float[Tensor, "*m B T A"],
        noise: Float[Tensor, "*m B T+1 S"],
    ) -> Observed:
        """Posterior rollout over a window with known actions, Eq. 3."""
        return self.scan.observe(self.rssm, self.encoder(observation), action, noise)

    def fit(self, corpora: Sequence[Corpus], labeled: bool = False) -> None:
        """Take the scales of observations and rewards from the data, where settings say so.

        Args:
            corpora: views in which hidden actions are not.
            labeled: read labeled trajectories alone.
        """
        self.encoder.fit(corpora, labeled)
        if self.reward_unit is not None:
            self.reward_unit.fill_(root_mean_square(corpora, labeled))

    def scaled(self, reward: Float[Tensor, "*m B T"]) -> Float[Tensor, "*m B T"]:
        """Recorded rewards on the scale of ``reward``."""
        unit = self.reward_unit
        return reward if unit is None else reward / unit[..., None, None]

    @property
    def has_rewards(self) -> bool:
        """Whether it has learned from a reward: until then its head is as it began, zero."""
        return bool(self.reward_head.out.weight.any())

    def reward(self, feature: Float[Tensor, "*b F"]) -> Float[Tensor, "*b"]:
        """Mean reward of arriving at a state, on the model's scale."""
        return self.reward_head(feature).squeeze(-1)

    def continuation(self, feature: Float[Tensor, "*b F"]) -> Float[Tensor, "*b"] | None:
        """p(c = 1 | s), that a trajectory goes on from a state; None without the head."""
        if self.continuation_head is None:
            return None
        return sigmoid(self.continuation_head(feature).squeeze(-1))

    def continuation_loss(
        self, feature: Float[Tensor, "*m B T1 F"], terminated: Bool[Tensor, "*m B T1-1"]
    ) -> Float[Tensor, "*m B T1-1"] | None:
        """−log p(c_{t+1} | s_{t+1}), c = 0 where step t has terminated; None without the head.

        C-LAP's termination head; a trajectory that was cut (truncated) could have gone on.
        """
        if self.continuation_head is None:
            return None
        logit = self.continuation_head(feature[..., 1:, :]).squeeze(-1)
        goes_on = (~terminated).to(logit.dtype)
        return binary_cross_entropy_with_logits(logit, goes_on, reduction="none")

    def state_losses(
        self,
        observed: Observed,
        feature: Float[Tensor, "*m B T1 F"],
        observation: Observation,
        reward: Float[Tensor, "*m B T1-1"],
    ) -> StateLosses:
        """The terms of Eq. 7, 8 and 11 that know nothing of latent actions."""
        target = self.encoder.target(observation)
        predicted = self.observation_head(feature)
        # r_t is what the step into s_{t+1} paid
        predicted_reward, paid = self.reward_head(feature[..., 1:, :]), self.scaled(reward)
        prior = self.rssm.prior(observed.state.deter)
        posterior = observed.posterior
        # The stop-gradients, side by side: one trains the prior, one the posterior.
        kl_prior = kl(posterior.detach(), prior)
        kl_posterior = kl(posterior, prior.detach())
        return StateLosses(
            observation=-self.observation_head.log_prob(predicted, target),
            reward=-log_prob(predicted_reward, self.config.reward_std, paid.unsqueeze(-1)),
            state_kl_prior=kl_prior,
            state_kl_posterior=kl_posterior,
        )

    def balanced_kl(
        self, losses: StateLosses, weight: Float[Tensor, "*m B T1"]
    ) -> Float[Tensor, "*m"]:
        """Weighted mean of the state KL with balance and free nats.

        The balance splits the gradient and leaves the value; without one, prior and posterior take
        the whole gradient, as Eq. 7 and 8 are written.
        """
        free, unit = self.config.free_nats, self.config.free_nats_unit
        prior = mean_above(free, unit, losses.state_kl_prior, weight)
        posterior = mean_above(free, unit, losses.state_kl_posterior, weight)
        balance = self.config.kl_balance
        if balance is None:
            return prior + posterior - posterior.detach()
        return balance * prior + (1 - balance) * posterior


def weighted_mean(
    x: Float[Tensor, "*m B N"], weight: Float[Tensor, "*m B N"]
) -> Float[Tensor, "*m"]:
    """Mean of ``x`` under ``weight``; zero when nothing has weight."""
    weighted, weights = total((x * weight).sum((-2, -1)), weight.sum((-2, -1)))
    return weighted / weights.clamp(min=1)


def mean_above(
    free: float,
    unit: Literal["batch", "step"],
    x: Float[Tensor, "*m B N"],
    weight: Float[Tensor, "*m B N"],
) -> Float[Tensor, "*m"]:
    """Weighted mean that is flat below ``free``, as a whole or in each of its entries."""
    if unit == "step":
        return weighted_mean(x.clamp(min=free), weight)
    return weighted_mean(x, weight).clamp(min=free)


def state_weight(valid: Bool[Tensor, "*m B T"]) -> Float[Tensor, "*m B T+1"]:
    """1 for states that belong to real steps: s_0 always does, s_{t+1} when step t is real."""
    return torch.cat((torch.ones_like(valid[..., :1]), valid), -1).float()


def standard_noise(
    like: Tensor, generator: Generators | None, *shape: int, rows: int = 0
) -> Tensor:
    """Standard normal noise of a shape on the device of ``like``; of M generators, (M, *shape).

    Several processes draw it for all and take their part along the axis ``rows`` of the shape.
    """
    if isinstance(generator, Sequence):
        return torch.stack([standard_noise(like, each, *shape, rows=rows) for each in generator])
    drawn = [number(size) if axis == rows else size for axis, size in enumerate(shape)]
    noise = torch.randn(drawn, generator=generator, device=like.device, dtype=like.dtype)
    return part(noise, rows)
