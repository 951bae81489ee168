"""LAWM: a latent-action world model on labeled and unlabeled windows, then a policy inside it.

Stage ``model`` maximises Eq. 9 + Eq. 11; stage ``agent`` freezes the model and trains a policy
û ∈ [-1, 1]^U with u = μ_p(s) + ε̃ · σ_p(s) · û and a ~ p(a|s,u): the support constraint of C-LAP is
the parametrisation itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import ClassVar, Literal, cast

import torch
from jaxtyping import Float
from lawm_schemas import ConfigError, Schema
from pydantic import Field
from torch import Tensor, nn

from lawm_data.batches.batch import Batch
from lawm_data.corpus.corpus import Corpus
from lawm_models.algorithms._protocol import LastStage, ModelSpec, RewardsFrom
from lawm_models.networks.actor_critic import (
    ActorCritic,
    ActorCriticConfig,
    Dream,
    alive,
    choose_starts,
)
from lawm_models.networks.data_parallel import average
from lawm_models.networks.dynamics import State
from lawm_models.networks.encoders import ENCODERS
from lawm_models.networks.encoders._protocol import Observation
from lawm_models.networks.latent_action import ActionSnr
from lawm_models.networks.latent_action_model import (
    Inferred,
    LatentActionModel,
    LatentActionModelConfig,
    Noise,
    Seen,
)
from lawm_models.networks.latent_dynamics import FilteredDynamics
from lawm_models.networks.optimizer import adam, clip_and_step, frozen_view
from lawm_models.networks.planning_model import LatentActions, RecurrentPlanningModel
from lawm_models.networks.policies import FilteringPolicy, noisy
from lawm_models.networks.scaling import ActionScale
from lawm_models.networks.smoothing import smooth
from lawm_models.networks.stacking import labeled_rows, windows
from lawm_models.networks.world_model import Generators, standard_noise, weighted_mean

ROWS_AT_ONCE = 64
"""Copies of the windows whose actions are inferred are filtered side by side, up to so many."""
COLLAPSED = 0.05
"""An alarm is due below so many nats of KL(q(u|s,o') ‖ p(u|s))."""


class Config(Schema):
    """Settings of LAWM; the defaults are the paper's Table 2 and, where it is silent, C-LAP's."""

    model: LatentActionModelConfig = Field(default_factory=LatentActionModelConfig)
    """The world model."""
    agent: ActorCriticConfig = Field(default_factory=ActorCriticConfig)
    """Policy and values."""
    support: float = Field(default=2.0, gt=0)
    """ε̃: the policy stays within this many standard deviations of p(u|s). Not in the paper; C-LAP
    takes 0.5 to 3, by corpus."""
    sample_dreamed: bool = False
    """Draw a ~ p(a|s,u) in dreams, as C-LAP writes, or take its mean; acting takes the mean."""
    prior_kl: float = Field(default=0.0, ge=0)
    """Weight of KL(π(u|s) ‖ p(u|s)) in the actor's loss, see ``Algorithm._prior_kl``: the policy
    leaves what the data do only for enough return. 0 is the paper."""
    prior_kl_scale: Literal["one", "action_snr"] = "one"
    """What that weight is multiplied by: 1, or the signal-to-noise ratio of the data's actions,
    Var_s(E[a|s]) / E_s[Var(a|s)], as p(u|s) and the mean of p(a|s,u) tell it. Only where actions
    vary in a state does the model know what another action would do."""
    data_values: float = Field(default=0.0, ge=0)
    """Weight of the critics' loss on recorded transitions, of all trajectories whose rewards are
    known: it takes no actions, so that unlabeled ones teach values whatever the model can do. 0 is
    the paper."""
    data_expectile: float = Field(default=0.7, gt=0, lt=1)
    """τ of that loss, see ``ActorCritic.data_loss``; 0.7 is IQL's."""
    cloning: float = Field(default=0.0, ge=0)
    """Weight of the squared error of the policy's action on recorded states, of all trajectories:
    from the recorded action, or else from the inferred one. Where hardly an action is a bad one, it
    keeps the policy to what was done, which p(u|s) need not. 0 is the paper."""
    warmup: int = Field(default=0, ge=0)
    """Steps at the beginning of stage ``model`` that see labeled windows alone, so that p(a|s,u)
    means something before Eq. 8 decodes with it; 0 is the paper. A batch without a labeled window
    is used as it is."""
    model_rate: float = Field(default=3e-4, gt=0)
    """Learning rate of the model."""
    agent_rate: float = Field(default=8e-5, gt=0)
    """Learning rate of policy and values."""
    clip: float = Field(default=100.0, gt=0)
    """Gradient norm limit of each part."""


class Algorithm(nn.Module):
    """See ``algorithms._protocol.Algorithm``."""

    stages: ClassVar[tuple[str, ...]] = ("model", "agent")
    last_stage: ClassVar[LastStage] = LastStage(
        settings=(
            "agent",
            "support",
            "sample_dreamed",
            "prior_kl",
            "prior_kl_scale",
            "data_values",
            "data_expectile",
            "cloning",
            "agent_rate",
        ),
        modules=("agent", "snr"),
    )
    needs_labels: ClassVar[bool] = True
    needs_whole_labels: ClassVar[bool] = True
    rewards_from: ClassVar[RewardsFrom] = "all"
    model_class: ClassVar[type[LatentActionModel]] = LatentActionModel
    model_steps: Tensor

    def __init__(self, config: Config, spec: ModelSpec) -> None:
        super().__init__()
        self.config = config
        self.scale = ActionScale.of(spec.action)
        self.model = self.model_class(
            config.model, spec.observations, spec.action.size, spec.terminates
        )
        feature_dim = self.model.world.rssm.feature_dim
        self.agent = ActorCritic(config.agent, feature_dim, config.model.latent_action.dim)
        self.snr: ActionSnr | None = None
        if config.prior_kl and config.prior_kl_scale == "action_snr":
            if config.agent.start_states == 1:
                hint = "take 2 or more, or prior_kl_scale: one"
                raise ConfigError("action_snr cannot be told from 1", "agent.start_states", hint)
            self.snr = ActionSnr()
        if config.warmup:
            self.register_buffer("model_steps", torch.zeros((), dtype=torch.int64))
        self._frozen: list[LatentActionModel] = []  # a list hides it from the module tree
        self._optimizers: dict[str, torch.optim.Optimizer] = {
            "model": adam(self.model.parameters(), config.model_rate),
            "actor": adam(self.agent.actor.parameters(), config.agent_rate),
            "critic": adam(self.agent.critics.parameters(), config.agent_rate),
        }

    @staticmethod
    def stackable(config: Config) -> bool:
        """See ``_protocol.Stackable``; dropout draws from a generator that all models share."""
        encoder = ENCODERS.load(config.model.encoder.name).Encoder
        return not config.model.inverse_dropout and getattr(encoder, "stackable", False)

    @staticmethod
    def require_shareable(config: Config, processes: int) -> None:
        """See ``_protocol.Shareable``.

        Raises:
            ConfigError: noise would be drawn for as many rows as a process happens to have, or the
                starts of dreams cannot be dealt evenly.
        """
        key, hint = "algorithm.settings", "set it to 0, or train by one process"
        if config.warmup:
            raise ConfigError("several processes cannot warm up", f"{key}.warmup", hint)
        if config.model.inverse_dropout:
            what, where = "several processes cannot drop units", f"{key}.model.inverse_dropout"
            raise ConfigError(what, where, hint)
        if config.model.inverse_members > 1:  # which member a row has depends on its place
            what, where = "several processes cannot share members", f"{key}.model.inverse_members"
            raise ConfigError(what, where, "set it to 1, or train by one process")
        if config.agent.start_states % processes:
            what = f"{config.agent.start_states} cannot be dealt to {processes} processes evenly"
            hint = f"give a multiple of {processes}"
            raise ConfigError(what, f"{key}.agent.start_states", hint)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Optimisers by name."""
        return self._optimizers

    def prepare(self, corpora: Sequence[Corpus]) -> None:
        """See the protocol."""
        self.model.world.fit(corpora)

    def begin(self, stage: str) -> None:
        """A stage starts or resumes; dreams read a view of the model that takes no gradients."""
        if stage == "agent":
            self._frozen = [cast(LatentActionModel, frozen_view(self.model))]

    def update(self, stage: str, batch: Batch, generator: Generators) -> dict[str, Tensor]:
        """One gradient step of a stage."""
        if stage == "model":
            return self._update_model(batch, generator)
        return self._update_agent(batch, generator)

    def _update_model(self, batch: Batch, generator: Generators) -> dict[str, Tensor]:
        batch = self._normalized(self._warm(batch))
        loss, terms = self.model.loss(batch, self.model.draw_noise(batch, generator))
        norm = clip_and_step(self._optimizers["model"], loss, self.config.clip)
        return {**terms, "gradient_norm": norm.detach()}

    def _warm(self, batch: Batch) -> Batch:
        """The labeled windows of a batch while the model warms up."""
        if not self.config.warmup:
            return batch
        self.model_steps += 1
        if (self.model_steps > self.config.warmup).any() or not batch.labeled.any():
            return batch
        return windows(batch, labeled_rows(batch.labeled))

    def _update_agent(self, batch: Batch, generator: Generators) -> dict[str, Tensor]:
        model = self._frozen[0]
        with torch.no_grad():
            noise = self.model.draw_noise(batch, generator)
            inferred = self._infer(batch, noise)
        observed = inferred.observed.state
        start = choose_starts(observed, batch.valid, self.config.agent.start_states, generator)
        dream = self.agent.dream(model.world, start, self._constrained(model, generator), generator)
        reward = model.world.reward(dream.feature[..., 1:, :, :])
        goes_on = model.world.continuation(dream.feature)
        actor, critic, metrics = self.agent.losses(dream, reward, goes_on)
        divergence = self._prior_kl(dream)
        if goes_on is not None:
            divergence = divergence * alive(goes_on)
        (divergence,) = average(divergence.mean((-2, -1)))
        metrics["prior_kl"] = divergence.detach()
        if self.config.prior_kl:
            weight = self.config.prior_kl
            if self.snr is not None:
                metrics["action_snr"] = self._action_snr(self.snr, model, start, generator)
                weight = weight * metrics["action_snr"]
            actor = actor + weight * divergence
        if self.config.cloning:
            error = self._cloning_error(model, inferred, batch)
            metrics["cloning"] = error.detach()
            actor = actor + self.config.cloning * error
        if self.config.data_values:
            loss = self._data_loss(observed, batch)
            metrics["data_values"] = loss.detach()
            critic = critic + self.config.data_values * loss
        clip_and_step(self._optimizers["actor"], actor, self.config.clip)
        clip_and_step(self._optimizers["critic"], critic, self.config.clip)
        self.agent.update_target()
        return metrics

    def _data_loss(self, observed: State, batch: Batch) -> Float[Tensor, "*m"]:
        """The critics' loss on the transitions of a batch whose rewards were recorded."""
        # where the last observation is missing, an end leaves nothing to be known of it
        known = (batch.valid | batch.unseen & batch.terminated) & batch.rewarded.unsqueeze(-1)
        reward = self.model.world.scaled(batch.reward)
        return self.agent.data_loss(
            observed.feature,
            reward,
            batch.terminated,
            known.to(reward.dtype),
            self.config.data_expectile,
        )

    def _cloning_error(
        self, model: LatentActionModel, inferred: Inferred, batch: Batch
    ) -> Float[Tensor, "*m"]:
        """Squared error of the policy's actions from those that were recorded, or else inferred.

        As TD3+BC imitates (Fujimoto & Gu 2021), with normalised actions, summed over dimensions.
        """
        feature = inferred.feature[..., :-1, :]  # nothing was done in the last state
        chosen = self.decode(model, feature, self.agent.mode(feature))
        known = batch.action_mask.unsqueeze(-1)
        done = torch.where(known, self.scale.to_model(batch.action), inferred.action.mean)
        error = (chosen - done).square().sum(-1)
        return weighted_mean(error, batch.valid.to(error.dtype))

    def _prior_kl(self, dream: Dream) -> Float[Tensor, "*m L N"]:
        """KL(π(u|s) ‖ p(u|s)) where a dream's policy acts, in nats, as the draws estimate it.

        u is μ_p + ε̃ σ_p û, so that the state's μ_p and σ_p drop out: −H(û) − U log ε̃
        + ½ |ε̃ û|² + ½ U log 2π. SPiRL (Pertsch et al. 2020) regularises policies by the KL to a
        learned prior of skills in the same way. Not exact for a clamped policy, whose entropy is
        that before it is clamped.
        """
        support, dim = self.config.support, dream.bounded.shape[-1]
        constant = dim * (0.5 * math.log(2 * math.pi) - math.log(support))
        return 0.5 * (support * dream.bounded).square().sum(-1) - dream.entropy + constant

    def alarms(self, metrics: Mapping[str, float]) -> dict[str, str]:
        """See ``_protocol.Watched``: a latent action of which no observation tells anything."""
        told = metrics.get("latent_action_nats", math.inf)
        if told >= COLLAPSED:
            return {}
        message = (
            f"the latent action has collapsed: an observation tells {told:.2g} nats of it, unless "
            "states decide the actions; lower algorithm.settings.model.constraint.beta"
        )
        return {"latent_action": message}

    @torch.no_grad()
    def _action_snr(
        self, snr: ActionSnr, model: LatentActionModel, state: State, generator: Generators
    ) -> Float[Tensor, "*m"]:
        """Signal-to-noise ratio of actions, means of p(a|s,u) with u ~ p(u|s), over states of data.

        The width of p(a|s,u) is not counted: a Gaussian of one width has it from the settings.
        """
        feature, prior = state.feature, model.prior(state.feature)
        size = prior.mean.shape[-2:]
        noise = standard_noise(feature, generator, 2, *size, rows=1).unbind(-3)
        one, other = (model.decoder(feature, prior.sample(part)) for part in noise)
        return snr.update(one, other)

    def _constrained(self, model: LatentActionModel, generator: Generators | None = None):
        def act(state: State, bounded: Tensor) -> Tensor:
            noise = None
            if self.config.sample_dreamed:
                noise = standard_noise(bounded, generator, bounded.shape[-2], len(self.scale.low))
            return self.decode(model, state.feature, bounded, noise)

        return act

    def decode(
        self,
        model: LatentActionModel,
        feature: Float[Tensor, "*b F"],
        bounded: Float[Tensor, "*b U"],
        noise: Float[Tensor, "*b A"] | None = None,
    ) -> Float[Tensor, "*b A"]:
        """û ∈ [-1, 1]^U to a normalised action: u = μ_p + ε̃ σ_p û, then p(a|s,u).

        A sample of it for standard normal noise, without noise its mean.
        """
        prior = model.prior(feature)
        u = torch.addcmul(prior.mean, self.config.support * prior.std, bounded)
        return model.decoder(feature, u, noise=noise)

    def _infer(self, batch: Batch, noise: Noise) -> Inferred:
        batch = self._normalized(batch)
        labeled = batch.labeled.to(batch.reward.dtype)
        return self.model.infer(Observation.of(batch), batch.action, labeled, noise, batch.valid)

    def _normalized(self, batch: Batch) -> Batch:
        """The batch with actions in [-1, 1]; hidden ones are zero, whatever stood there."""
        observed = batch.action_mask.unsqueeze(-1)
        action = torch.where(observed, self.scale.to_model(batch.action), 0.0)
        return replace(batch, action=action)

    def latent_dynamics(self) -> FilteredDynamics:
        """See ``_protocol.Probed``."""
        return FilteredDynamics(self.model, len(self.scale.low))

    def policy(self, deterministic: bool = True) -> FilteringPolicy:
        """The policy for an environment."""
        model, agent = self.model, self.agent
        if deterministic:
            return FilteringPolicy(
                model.world,
                self.scale,
                lambda state, _: self.decode(model, state.feature, agent.mode(state.feature)),
            )

        def draw(feature: Tensor, noise: Tensor) -> Tensor:
            return self.decode(model, feature, agent.draw(feature, noise).value)

        return FilteringPolicy(model.world, self.scale, noisy(draw, agent.policy_dim))

    def planning_model(self) -> RecurrentPlanningModel:
        """See ``_protocol.Plannable``: a choice is û, within the support that the policy has."""
        model = self.model

        def through(feature: Tensor, action: Tensor) -> Tensor:
            return model.decoder(feature, model.posterior(feature, action).mean)

        return RecurrentPlanningModel(
            model.world,
            self.scale,
            latent=LatentActions(
                self.config.model.latent_action.dim, partial(self.decode, model), through
            ),
            pays=model.world.has_rewards,
            discount=self.config.agent.discount,
            value=self.agent.lowest_value,
        )

    @torch.no_grad()
    def infer_actions(
        self, batch: Batch, samples: int = 8
    ) -> tuple[Float[Tensor, "B T A"], Float[Tensor, "B T A"]]:
        """Actions of the inverse posterior and their uncertainty, in environment units.

        Mean and std over u ~ q(u|s,o') of every member in turn, decoded by p(a|s,u), plus the
        decoder's own std. Reads observations alone: the state is filtered with inferred actions,
        on labeled rows too.
        """
        seen = self.model.see(Observation.of(batch), batch.valid)
        generator = torch.Generator(batch.reward.device).manual_seed(0)
        size, members = len(batch.labeled), self.config.model.inverse_members
        rounds = -(-samples // members)  # every member serves every row as often
        together = max(1, min(rounds, ROWS_AT_ONCE // (size * members)))
        means, spreads = [], []
        for start in range(0, rounds, together):
            copies = members * min(together, rounds - start)
            index = torch.arange(size, device=batch.reward.device).repeat_interleave(copies)
            # drawn one copy after the other, however many go together
            noise = Noise.joined([self.model.draw_noise(batch, generator) for _ in range(copies)])
            own, zeros = Seen(*(part[index] for part in seen)), batch.reward.new_zeros
            unknown = zeros(len(index), *batch.action.shape[1:])
            action = self.model.infer_seen(own, unknown, zeros(len(index)), noise).action
            drawn = action.mean.unflatten(0, (size, copies))
            means.append(drawn)
            spreads.append(torch.as_tensor(action.spread).expand_as(action.mean).view_as(drawn))
        mean, spread = torch.cat(means, 1), torch.cat(spreads, 1)
        std = (mean.var(1) + spread.square().mean(1)).sqrt()
        return self.scale.to_environment(mean.mean(1)), std * self.scale.half_range

    @torch.no_grad()
    def smooth_actions(
        self, batch: Batch, samples: int = 32, steps: int = 1
    ) -> tuple[Float[Tensor, "B T A"], Float[Tensor, "B T A"]]:
        """Actions weighed by what the model foresees; see ``smoothing.smooth``."""
        generator = torch.Generator(batch.reward.device).manual_seed(0)
        seen = Observation.of(batch)
        found = smooth(self.model, seen, batch.valid, generator, samples, steps)
        return self.scale.to_environment(found.mean), found.std * self.scale.half_range
