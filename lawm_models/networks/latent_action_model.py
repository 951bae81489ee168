"""The latent-action world model: Eq. 7, Eq. 8 and their mix, Eq. 9, in one scan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Annotated, Any, Literal, NamedTuple, cast

import torch
from jaxtyping import Bool, Float
from lawm_schemas import ArraySpec, Count
from pydantic import BeforeValidator, Field, model_validator
from torch import Tensor, nn

from lawm_data.batches.batch import Batch
from lawm_models.networks.constraints import gaussian
from lawm_models.networks.constraints._protocol import effective_size
from lawm_models.networks.distributions import Normal, kl
from lawm_models.networks.dynamics import Observed
from lawm_models.networks.encoders._protocol import Observation, shows_images
from lawm_models.networks.latent_action import (
    ActionDecoder,
    ActionDensity,
    ActionDensityName,
    ActionPosterior,
    InversePosterior,
    LatentActionConfig,
    LatentActionPrior,
)
from lawm_models.networks.optimizer import frozen
from lawm_models.networks.stacking import labeled_rows, put, take
from lawm_models.networks.world_model import (
    Generators,
    WorldModel,
    WorldModelConfig,
    mean_above,
    standard_noise,
    state_weight,
    weighted_mean,
)


class NatsConfig(gaussian.Config):
    """A constraint on latent actions of which there is a density."""

    beta: float = Field(default=1.0, ge=0)
    """Factor on the latent action's KL; 1 is Eq. 7 and 8."""


def _with_density(value: Any) -> Any:
    name = value.get("name", "gaussian") if isinstance(value, Mapping) else "gaussian"
    if name != "gaussian":
        hint = "take gaussian, or train --algorithm lam"
        raise ValueError(f"{name!r} has no density of u, which Eq. 9 needs; {hint}")
    return value


class LatentActionModelConfig(WorldModelConfig):
    """Everything Eq. 9 leaves open has a name here (docs/ablations.md)."""

    latent_action: LatentActionConfig = Field(default_factory=LatentActionConfig)
    """The latent-action densities."""
    action_density: ActionDensityName = "normal"
    """Form of p(a|s,u), which the paper leaves open: a Gaussian around a tanh of width
    ``action_std``, the same with a learned width, or the tanh of a Gaussian of learned width."""
    action_std: float = Field(default=0.2, gt=0)
    """Width of p(a|s,u) over normalised actions, or where a learned one starts; at 1 the KL of u
    drowns the action."""
    sample_decoded: bool = False
    """Draw a ~ p(a|s,u) on the action-free path, as Eq. 6 writes, or take its mean, which does not
    disturb the next state with noise that no latent action explains."""
    decoded_gradient: bool = True
    """Let the gradient of Eq. 8 flow through the decoded action into q(u|s,o') and p(a|s,u), as the
    bound asks; without it they learn from the latent action's KL and from labels alone."""
    constraint: Annotated[NatsConfig, BeforeValidator(_with_density)] = Field(
        default_factory=lambda: NatsConfig()
    )
    """What the latent action may say: ``gaussian``, whose KL is that of Eq. 7 and 8."""
    latent_action_free_nats: float = Field(default=0.0, ge=0)
    """Free nats of the latent action's KL, as ``free_nats`` are of the state's. The paper does not
    say which KL its free nats belong to; its ancestors give them to the state alone."""
    inverse_input: Literal["embedding", "difference", "observation"] = "embedding"
    """What q(u|s,o') sees of o': its embedding (the paper, as far as it says), also the change
    o' − o in units of ``observation_std``, which the sampled s blurs, or o' as it is."""
    inverse_steps: Count = 1
    """K, observations that the inverse posterior sees: o_{t+1} … o_{t+K}, the last one again where
    the window ends. 1 is the paper."""
    inverse_members: Count = 1
    """N, inverse posteriors, each of which serves every N-th window; where they disagree, inferred
    actions are uncertain. 1 is the paper."""
    inverse_supervision: float = Field(default=0.0, ge=0)
    """Weight of also training q(u|s,o') on labeled windows, where the action is known; Eq. 7 does
    not. 0 is the paper."""
    inverse_target: Literal["both", "action", "latent_action"] = "both"
    """What it is trained on there: −log p(a|s,u) of its own latent action, its KL to q(u|s,a), or
    their sum."""
    inverse_detached: bool = False
    """It is trained there alone: state, embedding and p(a|s,u) take no gradient from that. They
    would learn to make up for a u that o' cannot tell, and p(a|s,u) to shrink towards its mean."""
    inverse_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of its hidden units that are silent there, against overfitting of few labels (Table 3
    gives the baseline's inverse model 0.1)."""

    @model_validator(mode="before")
    @classmethod
    def _before_constraints(cls, data: Any) -> Any:
        """The factor on the KL was a setting of its own before constraints had names."""
        if not isinstance(data, Mapping) or "latent_action_kl_weight" not in data:
            return data
        rest = {key: value for key, value in data.items() if key != "latent_action_kl_weight"}
        return {"constraint": {"beta": data["latent_action_kl_weight"]}, **rest}


class Noise(NamedTuple):
    """Every random number of one pass over a window."""

    state: Float[Tensor, "*m B T+1 S"]
    """For z ~ q(z|h,o)."""
    inverse: Float[Tensor, "*m B T U"]
    """For u ~ q(u|s,o')."""
    posterior: Float[Tensor, "*m B T U"]
    """For u ~ q(u|s,a)."""
    action: Float[Tensor, "*m B T A"] | None = None
    """For a ~ p(a|s,u) on the action-free path; None takes the mean."""

    @classmethod
    def joined(cls, passes: Sequence[Noise]) -> Noise:
        """That of N passes over B windows as that of one over (B N): each window N times."""

        def join(parts: Sequence[Tensor]) -> Tensor:
            return torch.stack(tuple(parts), 1).flatten(0, 1)

        state, inverse, posterior, action = zip(*passes, strict=True)
        drawn = None if action[0] is None else join(action)
        return cls(join(state), join(inverse), join(posterior), drawn)


class Seen(NamedTuple):
    """What a model makes of the observations of a window, whatever the noise."""

    embed: Float[Tensor, "*m B T1 E"]
    """Of each observation."""
    known: Float[Tensor, "*m B T K"]
    """What the inverse posterior knows of the observations that follow each step."""


class Inferred(NamedTuple):
    """A posterior rollout over a window with labeled and unlabeled rows."""

    observed: Observed
    """States s_0 … s_T."""
    feature: Float[Tensor, "*m B T+1 F"]
    """[h, z] of the states."""
    inverse: Normal
    """q(u_t | s_t, o_{t+1}), (*m, B, T, U)."""
    action: ActionDensity
    """p(a_t | s_t, u_t) for u_t from the inverse posterior, (*m, B, T, A)."""
    known: Float[Tensor, "*m B T K"]
    """What the inverse posterior knew beside the state."""


class LatentActionModel(nn.Module):
    """World model with latent actions, for actions normalised to [-1, 1].

    Args:
        config: sizes, densities and what the paper leaves open.
        observations: what can be observed.
        action_dim: A.
        terminates: whether trajectories can end in a terminal state.
    """

    def __init__(
        self,
        config: LatentActionModelConfig,
        observations: Sequence[ArraySpec],
        action_dim: int,
        terminates: bool = False,
    ) -> None:
        super().__init__()
        self.config = config
        latent = config.latent_action
        self.world = WorldModel(config, observations, action_dim, terminates)
        feature_dim = self.world.rssm.feature_dim
        self.prior = LatentActionPrior(latent, feature_dim)
        self.posterior = ActionPosterior(latent, feature_dim, action_dim)
        known_dim = config.inverse_steps * self._width_of_known()
        self.inverse = InversePosterior(latent, feature_dim, known_dim)
        self.decoder = ActionDecoder(
            latent, feature_dim, action_dim, config.action_density, config.action_std
        )
        self.more_inverses = nn.ModuleList(
            InversePosterior(latent, feature_dim, known_dim)
            for _ in range(config.inverse_members - 1)
        )

    @property
    def inverses(self) -> list[InversePosterior]:
        """The members of q(u|s,o')."""
        return [self.inverse, *cast("Iterable[InversePosterior]", self.more_inverses)]

    def draw_noise(self, batch: Batch, generator: Generators | None) -> Noise:
        """All the noise of one pass."""
        size, steps, action_dim = batch.action.shape[-3:]
        stoch, latent = self.world.rssm.stoch_dim, self.config.latent_action.dim

        def draw(steps: int, width: int) -> Tensor:
            return standard_noise(batch.observation, generator, size, steps, width)

        noise = Noise(draw(steps + 1, stoch), draw(steps, latent), draw(steps, latent))
        if self.config.sample_decoded:
            noise = noise._replace(action=draw(steps, action_dim))
        return noise

    def infer(
        self,
        observation: Observation,
        action: Float[Tensor, "*m B T A"],
        labeled: Float[Tensor, "*m B"],
        noise: Noise,
        valid: Bool[Tensor, "*m B T"] | None = None,
    ) -> Inferred:
        """Roll the posterior over a window; a_in = m · a_data + (1 − m) · a_decoded.

        Labeled rows follow Eq. 3, the others Eq. 6: u_t ~ q(u|s_t,o_{t+1}), a_t decoded from it.

        Args:
            observation: o_0 … o_T.
            action: a_data, normalised.
            labeled: m.
            noise: all of it.
            valid: real steps, which nothing looks beyond; None for all.
        """
        return self.infer_seen(self.see(observation, valid), action, labeled, noise)

    def see(self, observation: Observation, valid: Bool[Tensor, "*m B T"] | None = None) -> Seen:
        """Encode the observations of a window; see ``infer``."""
        embed = self.world.encoder(observation)
        return Seen(embed, self._next_known(observation, embed, valid))

    def infer_seen(
        self,
        seen: Seen,
        action: Float[Tensor, "*m B T A"],
        labeled: Float[Tensor, "*m B"],
        noise: Noise,
        members: Sequence[InversePosterior] | None = None,
    ) -> Inferred:
        """``infer`` from what was encoded before, perhaps for other noise.

        Of N members of q(u|s,o'), all unless they are given, row b takes member b mod N.
        """
        embed, known = seen
        observed, feature, inverse, decoded = self.world.scan.infer(
            self.world.rssm,
            self.inverses if members is None else members,
            self.decoder,
            (embed, known),
            action,
            labeled,
            (noise.state, noise.inverse, noise.action),
            self.config.decoded_gradient,
        )
        return Inferred(observed, feature, inverse, decoded, known)

    def latent_between(
        self, feature: Float[Tensor, "N F"], pair: Observation
    ) -> Float[Tensor, "N U"]:
        """Mean of q(u|s,o') over its members, for any o', also one that never followed.

        Args:
            feature: [h, z] of s.
            pair: o and o', (N, 2, ·); beyond o' nothing is known, as at the end of a window.
        """
        known = self._next_known(pair, self.world.encoder(pair), None)[..., 0, :]
        each = [member(feature, member.project(known)).mean for member in self.inverses]
        return torch.stack(each).mean(0)

    def _next_known(
        self,
        observation: Observation,
        embed: Float[Tensor, "*m B T1 E"],
        valid: Bool[Tensor, "*m B T1-1"] | None,
    ) -> Float[Tensor, "*m B T1-1 K"]:
        """What the inverse posterior knows beside s_t: o_{t+1} …, and perhaps the way there."""
        kind, encoder = self.config.inverse_input, self.world.encoder
        # that of two pictures says little: the embeddings change with what is in them
        x = embed if shows_images(encoder) else encoder.target(observation)
        seen, parts = x if kind == "observation" else embed, []
        for steps in range(1, self.config.inverse_steps + 1):
            parts.append(ahead(seen, steps, valid))
            if kind == "difference":
                change = ahead(x, steps, valid) - x[..., :-1, :]
                parts.append(change / self.config.observation_std)
        return torch.cat(parts, -1)

    def _width_of_known(self) -> int:
        kind, encoder = self.config.inverse_input, self.world.encoder
        width = encoder.dim if shows_images(encoder) else encoder.target_dim
        if kind == "observation":
            return width
        return encoder.dim + (width if kind == "difference" else 0)

    def loss(
        self, batch: Batch, noise: Noise
    ) -> tuple[Float[Tensor, "*m"], dict[str, Float[Tensor, "*m"]]]:
        """L = L_model (Eq. 9) + L_reward (Eq. 11), negated, in nats per step.

        Each step counts the same; action terms are averaged over all steps of the batch, so that
        with m = 1 everywhere the loss is Eq. 7 and with m = 0 everywhere Eq. 8. So is the reward's,
        to which a trajectory adds nothing whose rewards were not recorded. Where trajectories
        terminate, −log p(c|s) is added.

        Returns:
            The loss and its terms by name (detached), one number of each model; beside them
            ``latent_action_nats``, the mean of KL(q(u|s,o') ‖ p(u|s)), and ``effective_size`` of
            the means of q(u|s,o').
        """
        m = batch.labeled.to(batch.reward.dtype)
        observation = Observation.of(batch)
        inferred = self.infer(observation, batch.action, m, noise, batch.valid)
        state = self.world.state_losses(
            inferred.observed, inferred.feature, observation, batch.reward
        )
        step = batch.valid.to(batch.reward.dtype)  # (*m, B, T)
        states = state_weight(batch.valid)  # (*m, B, T+1)
        feature = inferred.feature[..., :-1, :]
        prior = self.prior(feature)
        # q(u|s,a) and p(a|s,u) of a known action matter in labeled rows; the others take no time.
        rows = labeled_rows(batch.labeled)
        known, known_feature = take(batch.action, rows), take(feature, rows)
        posterior = self.posterior(known_feature, known)
        u = posterior.sample(take(noise.posterior, rows))
        reconstructed = self.decoder.density(known_feature, u)
        action = -reconstructed.log_prob(known)
        known_prior = Normal(take(prior.mean, rows), take(prior.std, rows))
        inverse_kl = kl(inferred.inverse, prior)
        latent_kl = put(inverse_kl, rows, kl(posterior, known_prior))
        free, unit = self.config.latent_action_free_nats, self.config.free_nats_unit
        terms = {
            "observation": weighted_mean(state.observation, states),
            "reward": weighted_mean(state.reward * batch.rewarded.unsqueeze(-1), step),
            "state_kl": self.world.balanced_kl(state, states),
            "action": weighted_mean(put(torch.zeros_like(step), rows, action), step),
            "latent_action_kl": self.config.constraint.beta
            * mean_above(free, unit, latent_kl, step),
        }
        goes_on = self.world.continuation_loss(inferred.feature, batch.terminated)
        if goes_on is not None:
            terms["continuation"] = weighted_mean(goes_on, step)
        if self.config.inverse_supervision:
            inverse = self.inverse_loss(
                known_feature,
                take(inferred.known, rows),
                take(noise.inverse, rows),
                posterior,
                known,
            )
            inverse = weighted_mean(put(torch.zeros_like(step), rows, inverse), step)
            terms["inverse"] = self.config.inverse_supervision * inverse
        total = torch.stack(list(terms.values())).sum(0)
        logged = {name: term.detach() for name, term in terms.items()}
        watched = self.watched(inferred.inverse, inverse_kl, step)
        return total, {"loss": total.detach(), **logged, **watched}

    @torch.no_grad()
    def watched(
        self, inverse: Normal, told: Float[Tensor, "*m B T"], weight: Float[Tensor, "*m B T"]
    ) -> dict[str, Float[Tensor, "*m"]]:
        """What is logged beside the loss.

        Args:
            inverse: q(u|s,o'), with a mean of (*m, B, T, U).
            told: KL(q(u|s,o') ‖ p(u|s)), in nats.
            weight: of each step.
        """
        size = effective_size(inverse.mean.flatten(-3, -2), weight.flatten(-2))
        return {"latent_action_nats": weighted_mean(told, weight), "effective_size": size}

    def inverse_loss(
        self,
        feature: Float[Tensor, "*m B T F"],
        known: Float[Tensor, "*m B T K"],
        noise: Float[Tensor, "*m B T U"],
        posterior: Normal,
        action: Float[Tensor, "*m B T A"],
    ) -> Float[Tensor, "*m B T"]:
        """−log p(a | s, u ~ q(u|s,o')) + KL(q(u|s,a) ‖ q(u|s,o')) where the action is known.

        Or one of them alone, by ``inverse_target``; the mean over the members.
        """
        target, alone, losses = self.config.inverse_target, self.config.inverse_detached, []
        if alone:
            feature, known = feature.detach(), known.detach()
        for member in self.inverses:
            inverse = member(feature, member.project(known), self.config.inverse_dropout)
            if target != "latent_action":
                with frozen(self.decoder) if alone else nullcontext():
                    decoded = self.decoder.density(feature, inverse.sample(noise))
                losses.append(-decoded.log_prob(action))
            if target != "action":
                losses.append(kl(posterior.detach(), inverse))
        return torch.stack(losses).sum(0) / len(self.inverses)


def ahead(
    x: Float[Tensor, "*m B T1 N"], steps: int, valid: Bool[Tensor, "*m B T1-1"] | None
) -> Float[Tensor, "*m B T1-1 N"]:
    """x_{t+steps}, or the last of a row beyond its end."""
    if steps == 1:
        return x[..., 1:, :]
    states = x.shape[-2]
    count = torch.arange(steps, steps + states - 1, device=x.device).expand(*x.shape[:-2], -1)
    last = states - 1 if valid is None else valid.sum(-1, keepdim=True)
    return x.take_along_dim(count.clamp(max=last).unsqueeze(-1), -2)
