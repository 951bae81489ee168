"""The latent-action world model: Eq. 7, Eq. 8 and their mix, Eq. 9, in one scan."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from lawm_data.batch import Batch
from lawm_models import posterior_scan
from lawm_models.distributions import Normal, kl, log_prob
from lawm_models.latent_action import (
    ActionDecoder,
    ActionPosterior,
    InversePosterior,
    LatentActionConfig,
    LatentActionPrior,
)
from lawm_models.rssm import Observed
from lawm_models.world_model import (
    WorldModel,
    WorldModelConfig,
    standard_noise,
    state_weight,
    weighted_mean,
)


class LatentActionModelConfig(WorldModelConfig):
    """Everything Eq. 9 leaves open has a name here."""

    latent_action: LatentActionConfig = Field(default_factory=LatentActionConfig)
    """The latent-action densities."""
    action_std: float = Field(default=0.2, gt=0)
    """Fixed std of p(a|s,u) over normalised actions; at 1 the KL of u drowns the action."""
    latent_action_free_nats: float = Field(default=0.0, ge=0)
    """Free nats of the latent action's KL."""
    decoded_gradient: bool = True
    """Let the gradient of Eq. 8 flow through the decoded action into q(u|s,o') and p(a|s,u)."""
    inverse_input: Literal["embedding", "difference"] = "embedding"
    """What q(u|s,o') sees of o': its embedding (the paper, as far as it says), or also the change
    o' − o in units of ``observation_std``, which the sampled s blurs."""
    inverse_supervision: float = Field(default=0.0, ge=0)
    """Weight of also training q(u|s,o') on labeled windows, where the action is known; Eq. 7 does
    not. 0 is the paper."""


class Noise(NamedTuple):
    """Every random number of one pass over a window."""

    state: Float[Tensor, "B T+1 S"]
    """For z ~ q(z|h,o)."""
    inverse: Float[Tensor, "B T U"]
    """For u ~ q(u|s,o')."""
    posterior: Float[Tensor, "B T U"]
    """For u ~ q(u|s,a)."""


class Inferred(NamedTuple):
    """A posterior rollout over a window with labeled and unlabeled rows."""

    observed: Observed
    """States s_0 … s_T."""
    feature: Float[Tensor, "B T+1 F"]
    """[h, z] of the states."""
    inverse: Normal
    """q(u_t | s_t, o_{t+1}), (B, T, U)."""
    decoded: Float[Tensor, "B T A"]
    """Mean of p(a_t | s_t, u_t) for u_t from the inverse posterior."""


class LatentActionModel(nn.Module):
    """World model with latent actions, for actions normalised to [-1, 1].

    Args:
        config: sizes, densities and what the paper leaves open.
        observation_dim: O.
        action_dim: A.
    """

    def __init__(
        self, config: LatentActionModelConfig, observation_dim: int, action_dim: int
    ) -> None:
        super().__init__()
        self.config = config
        latent = config.latent_action
        self.world = WorldModel(config, observation_dim, action_dim)
        feature_dim = self.world.rssm.feature_dim
        self.prior = LatentActionPrior(latent, feature_dim)
        self.posterior = ActionPosterior(latent, feature_dim, action_dim)
        known_dim = config.embed + (observation_dim if config.inverse_input == "difference" else 0)
        self.inverse = InversePosterior(latent, feature_dim, known_dim)
        self.decoder = ActionDecoder(latent, feature_dim, action_dim)

    def draw_noise(self, batch: Batch, generator: torch.Generator | None) -> Noise:
        """All the noise of one pass."""
        size, steps = batch.reward.shape
        stoch, latent = self.config.rssm.stoch, self.config.latent_action.dim
        like = batch.observation
        return Noise(
            standard_noise(like, generator, size, steps + 1, stoch),
            standard_noise(like, generator, size, steps, latent),
            standard_noise(like, generator, size, steps, latent),
        )

    def infer(
        self,
        observation: Float[Tensor, "B T1 O"],
        action: Float[Tensor, "B T1-1 A"],
        labeled: Float[Tensor, " B"],
        noise: Noise,
    ) -> Inferred:
        """Roll the posterior over a window; a_in = m · a_data + (1 − m) · a_decoded.

        Labeled rows follow Eq. 3, the others Eq. 6: u_t ~ q(u|s_t,o_{t+1}), a_t decoded from it.
        """
        embed = self.world.embed(observation)
        return Inferred(
            *posterior_scan.infer(
                self.world.rssm,
                self.inverse,
                self.decoder,
                (embed, self._next_known(observation, embed)),
                action,
                labeled,
                (noise.state, noise.inverse),
                self.config.decoded_gradient,
            )
        )

    def _next_known(
        self, observation: Float[Tensor, "B T1 O"], embed: Float[Tensor, "B T1 E"]
    ) -> Float[Tensor, "B T1-1 K"]:
        """What the inverse posterior knows beside s_t: o_{t+1}, and perhaps the way there."""
        if self.config.inverse_input == "embedding":
            return embed[:, 1:]
        x = self.world.preprocess(observation)
        change = (x[:, 1:] - x[:, :-1]) / self.config.observation_std
        return torch.cat((embed[:, 1:], change), -1)

    def loss(
        self, batch: Batch, noise: Noise
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """L = L_model (Eq. 9) + L_reward (Eq. 11), negated, in nats per step.

        Each step counts the same; action terms are averaged over all steps of the batch, so that
        with m = 1 everywhere the loss is Eq. 7 and with m = 0 everywhere Eq. 8.

        Returns:
            The scalar loss and its terms by name (detached).
        """
        m = batch.labeled.to(batch.reward.dtype)
        inferred = self.infer(batch.observation, batch.action, m, noise)
        state = self.world.state_losses(
            inferred.observed, inferred.feature, batch.observation, batch.reward
        )
        step = batch.valid.to(batch.reward.dtype)  # (B, T)
        states = state_weight(batch.valid)  # (B, T+1)
        feature = inferred.feature[:, :-1]
        prior = self.prior(feature)
        # q(u|s,a) and p(a|s,u) of a known action matter in labeled rows; the others take no time.
        rows = batch.labeled.nonzero().squeeze(1)
        known = batch.action[rows]
        posterior = self.posterior(feature[rows], known)
        reconstructed = self.decoder(feature[rows], posterior.sample(noise.posterior[rows]))
        action = -log_prob(reconstructed, self.config.action_std, known)
        latent_kl = kl(inferred.inverse, prior)
        latent_kl = latent_kl.index_copy(0, rows, kl(posterior, prior.rows(rows)))

        free = self.config.latent_action_free_nats
        terms = {
            "observation": weighted_mean(state.observation, states),
            "reward": weighted_mean(state.reward, step),
            "state_kl": self.world.balanced_kl(state, states),
            "action": weighted_mean(torch.zeros_like(step).index_copy(0, rows, action), step),
            "latent_action_kl": weighted_mean(latent_kl, step).clamp(min=free),
        }
        if self.config.inverse_supervision:
            inverse, decoded = inferred.inverse.rows(rows), inferred.decoded[rows]
            labeled = inferred._replace(inverse=inverse, decoded=decoded)
            inverse = self.inverse_loss(labeled, posterior, known)
            inverse = torch.zeros_like(step).index_copy(0, rows, inverse)
            terms["inverse"] = self.config.inverse_supervision * weighted_mean(inverse, step)
        total = torch.stack(list(terms.values())).sum()
        logged = {name: term.detach() for name, term in terms.items()}
        return total, {"loss": total.detach(), **logged}

    def inverse_loss(
        self, inferred: Inferred, posterior: Normal, action: Float[Tensor, "B T A"]
    ) -> Float[Tensor, "B T"]:
        """−log p(a | s, u ~ q(u|s,o')) + KL(q(u|s,a) ‖ q(u|s,o')) where the action is known."""
        nll = -log_prob(inferred.decoded, self.config.action_std, action)
        return nll + kl(posterior.detach(), inferred.inverse)
