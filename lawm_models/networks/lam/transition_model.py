"""What happens next: a forward model of observations, and what a planner may ask of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from lawm_schemas import ArraySpec, ConfigError, Count, Schema, Size
from pydantic import Field
from torch import Tensor, nn

from lawm_data.batches.batch import Batch
from lawm_data.corpus.corpus import Corpus
from lawm_models.networks.constraints._protocol import means_of
from lawm_models.networks.data_parallel import total
from lawm_models.networks.distributions import Normal
from lawm_models.networks.encoders import ENCODERS, vectors
from lawm_models.networks.encoders._protocol import (
    EncoderChoice,
    Observation,
    require_no_weights,
)
from lawm_models.networks.lam.forward_dynamics import ForwardDynamics
from lawm_models.networks.layers import beside
from lawm_models.networks.optimizer import adam
from lawm_models.networks.scaling import SMALLEST_STD, ActionScale

RATE = 0.01
"""Share of a new batch in the running error."""
LEAST = 1e-6
"""Smallest error, in units of the mean squared change, that another is divided by."""
Error = Literal["squared", "absolute", "both"]
"""What is minimised of an error: its square, its absolute value, or their sum."""


class TransitionConfig(Schema):
    """Sizes and losses of a forward model."""

    encoder: EncoderChoice = Field(default_factory=lambda: vectors.Config(scale="standard"))
    """How observations enter."""
    context: Count = 1
    """C, observations that make a state; 1 where an observation says what moves, as velocities."""
    horizon: Count = 1
    """k, steps that an action leads over: from o_t to o_{t+k}."""
    units: Size = 256
    """Width of the networks."""
    layers: Count = 2
    """Residual blocks, or hidden layers."""
    error: Error = "squared"
    """What the forward model minimises, of a change in units of its root mean square in the data:
    the squared error, the absolute one, or their sum."""


class Steps(NamedTuple):
    """Every step of every window that a forward model can be asked about, N = B · (T + 1 − k)."""

    state: Float[Tensor, "*m N C E"]
    """The last C scaled observations, k steps apart, the newest last."""
    after: Float[Tensor, "*m N E"]
    """The scaled observation k steps later."""
    weight: Float[Tensor, "*m N"]
    """1 where the context is whole and the observation was recorded, else 0."""
    action: Float[Tensor, "*m N kA"]
    """The k actions between, in [-1, 1]; zero where not observed."""
    labeled: Float[Tensor, "*m N"]
    """1 where they were all observed and the weight is 1, else 0."""


class Losses(NamedTuple):
    """Of a forward model on a batch, one number of each model."""

    prediction: Float[Tensor, "*m"]
    """Its loss."""
    alone: Float[Tensor, "*m"]
    """The loss of the model that is not told the action; it has parameters of its own."""
    metrics: dict[str, Float[Tensor, "*m"]]
    """``prediction``; ``error`` and ``state_only_error``, mean squared errors over the mean squared
    change; ``capacity``. Detached."""


class TransitionModel(nn.Module):
    """Predicts the observation that follows on a state and an action, latent or true.

    A planner or a probe may call, on states ``(*b, C, E)`` and actions ``(*b, A)`` of any leading
    shape, without gradients or with them:

    - ``states(observation)``: the state at every step of observed windows;
    - ``predict(state, action)``: the next observation as a density, mean and standard deviation;
    - ``step(state, action)``: the next state, with the mean of the next observation in it;
    - ``observation(state)``: the newest observation of a state, in which goals are compared;
    - ``action_dim``: A. True actions are k side by side, in [-1, 1].

    ``LatentTransitionModel`` adds ``inverse(state, after)`` and ``prior_sample``, and
    ``Controller`` maps between true and latent actions. All observations are on the encoder's
    scale, and one step of the model is k = ``horizon`` steps of the data.

    Args:
        config: sizes.
        observations: what can be observed.
        action_dim: A.
        algorithm: whose model it is, for messages.
    """

    change: Tensor
    error: Tensor

    def __init__(
        self,
        config: TransitionConfig,
        observations: Sequence[ArraySpec],
        action_dim: int,
        algorithm: str,
    ) -> None:
        super().__init__()
        self.config, self.action_dim = config, action_dim
        self.context, self.horizon = config.context, config.horizon
        self.encoder = ENCODERS.load(config.encoder.name).Encoder(config.encoder, observations)
        require_no_weights(self.encoder, algorithm)
        self.dim = self.encoder.dim
        self.state_dim = self.context * self.dim
        self.dynamics = self._dynamics()
        # the plain network, told 0 in place of an action
        sizes = (config.units, config.layers)
        self.alone = ForwardDynamics(self.state_dim, 1, self.dim, *sizes)
        self.register_buffer("change", torch.ones(self.dim))
        self.register_buffer("error", torch.ones(self.dim))

    def _dynamics(self) -> nn.Module:
        """The network of p(s, a): a state as one vector and an action to a scaled change."""
        sizes = (self.config.units, self.config.layers)
        return ForwardDynamics(self.state_dim, self.action_dim, self.dim, *sizes)

    def fit(self, corpora: Sequence[Corpus]) -> None:
        """Learn the scales of observations, and of their change over k steps; of all the data."""
        self.encoder.fit(corpora)
        total, count = torch.zeros(self.dim, dtype=torch.float64), 0
        for embed in self._trajectories(corpora):
            change = (embed[self.horizon :] - embed[: -self.horizon]).double()
            total += change.square().sum(0).cpu()
            count += len(change)
        self.change.copy_((total / max(count, 1)).sqrt() + SMALLEST_STD)

    def _trajectories(self, corpora: Sequence[Corpus]) -> Iterator[Float[Tensor, "T1 E"]]:
        for view in corpora:
            for trajectory in view:
                seen = trajectory.observations.state
                recorded = seen if trajectory.final_observed else seen[:-1]
                yield self.encoder(Observation(torch.from_numpy(recorded).to(self.change)))

    def optimizers(self, rate: float) -> dict[str, torch.optim.Optimizer]:
        """Of all but the model that is not told the action, ``model``, and of that, ``alone``."""
        told = [p for name, p in self.named_parameters() if not name.startswith("alone.")]
        return {"model": adam(told, rate), "alone": adam(self.alone.parameters(), rate)}

    def states(self, observation: Observation) -> Float[Tensor, "*b T1 C E"]:
        """The state at every observation of windows.

        Before a window its first observation stands.
        """
        return self._contexts(self.encoder(observation))

    def _contexts(self, embed: Float[Tensor, "*b T1 E"]) -> Float[Tensor, "*b T1 C E"]:
        time = torch.arange(embed.shape[-2], device=embed.device)
        back = self.horizon * torch.arange(self.context - 1, -1, -1, device=embed.device)
        return embed[..., (time[:, None] - back).clamp(min=0), :]

    def observation(self, state: Float[Tensor, "*b C E"]) -> Float[Tensor, "*b E"]:
        """The newest observation of a state."""
        return state[..., -1, :]

    def predict(self, state: Float[Tensor, "*b C E"], action: Float[Tensor, "*b A"]) -> Normal:
        """p(o' | s, a): the mean, and the width of the errors that were made of late."""
        moved = self.dynamics(state.flatten(-2), action)
        mean = self.observation(state) + moved * beside(self.change, moved)
        std = beside(self.change * self.error.sqrt(), moved)
        return Normal(mean, std.expand_as(mean))

    def step(
        self, state: Float[Tensor, "*b C E"], action: Float[Tensor, "*b A"]
    ) -> Float[Tensor, "*b C E"]:
        """The state after k steps, with the mean of the observation there."""
        after = self.predict(state, action).mean
        return torch.cat((state[..., 1:, :], after.unsqueeze(-2)), -2)

    def scaled_change(
        self, state: Float[Tensor, "*b C E"], after: Float[Tensor, "*b E"]
    ) -> Float[Tensor, "*b E"]:
        """(o' − o) in units of its root mean square in the data: Δ."""
        change = after - self.observation(state)
        return change / beside(self.change, change)

    def state_only(self, state: Float[Tensor, "*m N C E"]) -> Float[Tensor, "*m N E"]:
        """Δ as the model foresees it that is not told the action."""
        # the same nothing for all: what it modulates is computed once
        return self.alone(state.flatten(-2), torch.zeros_like(state[..., :1, 0, :1]))

    def require_window(self, steps: int) -> None:
        """Refuse windows in which no step of the model has room.

        Raises:
            ConfigError: they are shorter than a state and a step.
        """
        longest = self.context * self.horizon
        if steps < longest:
            what = f"{steps} is too short for {self.context} observations and a step of "
            raise ConfigError(f"{what}{self.horizon}", "window", f"give {longest} or more")

    def steps(self, batch: Batch, scale: ActionScale | None) -> Steps:
        """What there is to learn from in a batch.

        Args:
            batch: windows.
            scale: of actions; none where they have no bounds, and nothing is labeled.

        Raises:
            ConfigError: no window is as long as a state and a step take.
        """
        reach, steps = self.horizon, batch.valid.shape[-1]
        self.require_window(steps)
        embed = self.encoder(Observation.of(batch))
        last = steps + 1 - reach
        whole = torch.arange(last, device=embed.device) >= (self.context - 1) * reach
        known = whole | (batch.start == 0).unsqueeze(-1)
        weight = known & batch.valid[..., reach - 1 :]
        labeled = batch.action_mask.unfold(-1, reach, 1).all(-1) & weight
        if scale is None:
            labeled = torch.zeros_like(labeled)
            action = batch.action
        else:
            # whatever stands where nothing was observed, NaN included, goes no further
            seen = batch.action_mask.unsqueeze(-1)
            action = torch.where(seen, scale.to_model(batch.action), 0.0)
        action = action.unfold(-2, reach, 1).mT.flatten(-2)
        return Steps(
            self._contexts(embed)[..., :last, :, :].flatten(-4, -3),
            embed[..., reach:, :].flatten(-3, -2),
            weight.flatten(-2).to(embed.dtype),
            torch.where(labeled.unsqueeze(-1), action, 0.0).flatten(-3, -2),
            labeled.flatten(-2).to(embed.dtype),
        )

    def losses(
        self,
        state: Float[Tensor, "*m N C E"],
        after: Float[Tensor, "*m N E"],
        action: Float[Tensor, "*m N A"],
        weight: Float[Tensor, "*m N"],
    ) -> Losses:
        """The loss of the forward model, and of one that is not told the action.

        What the second leaves, and the first does not, is what the action says: ``capacity`` is
        1 − error / error without the action.
        """
        target = self.scaled_change(state, after)
        told = self.dynamics(state.flatten(-2), action) - target
        alone = self.state_only(state) - target
        parts = [penalty(error, self.config.error) for error in (told, alone)]
        parts += [error.detach().square().mean(-1) for error in (target, told, alone)]
        prediction, without, *squares = means_of(parts, weight)
        metrics = {"prediction": prediction.detach()}
        with torch.no_grad():
            weighted = (told.square() * weight.unsqueeze(-1)).sum(-2)
            weighted, weights = total(weighted, weight.sum(-1, keepdim=True))
            self.error.lerp_(weighted / weights.clamp(min=1), RATE * weights.clamp(max=1))
            size, error, state_only = squares
            size = size.clamp(min=LEAST)
            metrics["error"] = error / size
            metrics["state_only_error"] = state_only / size
            least = metrics["state_only_error"].clamp(min=LEAST)
            metrics["capacity"] = 1 - metrics["error"] / least
        return Losses(prediction, without, metrics)


def penalty(error: Float[Tensor, "*b E"], kind: Error) -> Float[Tensor, "*b"]:
    """What is minimised of an error, a mean over its last axis."""
    if kind == "squared":
        return error.square().mean(-1)
    absolute = error.abs().mean(-1)
    return absolute if kind == "absolute" else absolute + error.square().mean(-1)
