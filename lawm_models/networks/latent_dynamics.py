"""What a probe asks of a model: which action lies between two observations, and what follows on it.

Observations are in the units in which they were recorded, so that models compare.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float, Int
from lawm_schemas import ConfigError
from torch import Tensor

from lawm_models.networks.dynamics import State
from lawm_models.networks.encoders._protocol import Observation
from lawm_models.networks.encoders.vectors import Encoder
from lawm_models.networks.lam.latent_transition_model import LatentTransitionModel
from lawm_models.networks.lam.transition_model import TransitionModel
from lawm_models.networks.latent_action_model import LatentActionModel, Noise


def side_by_side(trajectories: Sequence[Float[Tensor, "_ O"]]) -> Float[Tensor, "B T1 O"]:
    """Trajectories as one array, in which the shorter ones stand still at the end.

    A model that looks ahead sees there what it sees at the end of a trajectory by itself.
    """
    longest = max(len(rows) for rows in trajectories)
    return torch.stack(
        [torch.cat((rows, rows[-1:].expand(longest - len(rows), -1))) for rows in trajectories]
    )


class LatentDynamics(ABC):
    """Inverse and forward model. A state is one vector, whatever it is made of."""

    horizon: int = 1
    """k, steps of the data that an action leads over."""
    context: int = 1
    """C, observations k steps apart without which a state is not whole."""
    latent_dim: int
    """D, width of an action."""
    codes: int | None = None
    """Size of the codebook that latent actions are from, if there is one."""
    infers: bool = True
    """Whether it has an inverse model; one without acts on true actions in [-1, 1]."""

    @abstractmethod
    def states(self, observation: Float[Tensor, "B T1 O"]) -> Float[Tensor, "B T1 S"]:
        """The state at every observation of trajectories, from it and what came before.

        Trajectories of several lengths are put ``side_by_side``.
        """

    @abstractmethod
    def infer(self, state: Float[Tensor, "N S"], after: Float[Tensor, "N O"]) -> Tensor:
        """The latent action (N, D) from a state to an observation k steps later, without chance.

        The observation may be any, also one that never followed.
        """

    def code(self, latent: Float[Tensor, "N D"]) -> Int[Tensor, " N"] | None:
        """Places of latent actions in the codebook, if there is one."""
        return None

    @abstractmethod
    def predict(
        self, state: Float[Tensor, "N S"], latent: Float[Tensor, "N D"]
    ) -> Float[Tensor, "N O"]:
        """The observation k steps after a state and an action, as the mean."""

    @abstractmethod
    def step(
        self, state: Float[Tensor, "N S"], latent: Float[Tensor, "N D"]
    ) -> Float[Tensor, "N S"]:
        """The state there, if that mean is what is observed."""


class TransitionDynamics(LatentDynamics):
    """Of ``lam`` and ``acwm``.

    Raises:
        ConfigError: it sees images, which have no units.
    """

    def __init__(self, model: TransitionModel) -> None:
        self.model, self.encoder = model, _vectors(model.encoder)
        self.horizon, self.context = model.horizon, model.context
        self.latent_dim = model.action_dim
        self.infers = isinstance(model, LatentTransitionModel)
        if isinstance(model, LatentTransitionModel):
            self.codes = model.constraint.codes

    def states(self, observation: Float[Tensor, "B T1 O"]) -> Float[Tensor, "B T1 S"]:
        """The last C scaled observations."""
        return self.model.states(Observation(observation)).flatten(-2)

    def infer(self, state: Float[Tensor, "N S"], after: Float[Tensor, "N O"]) -> Tensor:
        """See ``LatentDynamics``."""
        model = cast(LatentTransitionModel, self.model)
        return model.inverse(self._parts(state), self.encoder(Observation(after)))

    def code(self, latent: Float[Tensor, "N D"]) -> Int[Tensor, " N"] | None:
        """See ``LatentDynamics``."""
        return cast(LatentTransitionModel, self.model).constraint.code(latent)

    def predict(
        self, state: Float[Tensor, "N S"], latent: Float[Tensor, "N D"]
    ) -> Float[Tensor, "N O"]:
        """See ``LatentDynamics``."""
        return self.encoder.observation(self.model.predict(self._parts(state), latent).mean)

    def step(
        self, state: Float[Tensor, "N S"], latent: Float[Tensor, "N D"]
    ) -> Float[Tensor, "N S"]:
        """See ``LatentDynamics``."""
        return self.model.step(self._parts(state), latent).flatten(-2)

    def followed(
        self, state: Float[Tensor, "N S"], observation: Float[Tensor, "N O"]
    ) -> Float[Tensor, "N S"]:
        """The state once an observation followed on a state."""
        newest = self.encoder(Observation(observation)).unsqueeze(-2)
        return torch.cat((self._parts(state)[..., 1:, :], newest), -2).flatten(-2)

    def without_action(self, state: Float[Tensor, "N S"]) -> Float[Tensor, "N O"]:
        """What the part of the model expects that is not told the action."""
        parts = self._parts(state)
        moved = self.model.state_only(parts) * self.model.change
        return self.encoder.observation(self.model.observation(parts) + moved)

    def _parts(self, state: Float[Tensor, "N S"]) -> Float[Tensor, "N C E"]:
        return state.unflatten(-1, (self.model.context, self.model.dim))


class FilteredDynamics(LatentDynamics):
    """Of LAWM: u is the mean of q(u|s,o'), and o' is decoded from p(s'|s,a) with a from p(a|s,u).

    States are filtered with actions that the first member of q(u|s,o') infers, and all draws are
    at their means. A state is [h, z, o], since the inverse posterior may see the change of o.

    Raises:
        ConfigError: it sees images, which have no units.
    """

    def __init__(self, model: LatentActionModel, action_dim: int) -> None:
        self.model, self.encoder = model, _vectors(model.world.encoder)
        self.latent_dim, self._action_dim = model.config.latent_action.dim, action_dim

    def states(self, observation: Float[Tensor, "B T1 O"]) -> Float[Tensor, "B T1 S"]:
        """[h, z, o], filtered without any true action."""
        rows, times = observation.shape[:2]
        rssm, latent = self.model.world.rssm, self.model.config.latent_action.dim
        action = observation.new_zeros(rows, times - 1, self._action_dim)
        still = observation.new_zeros(rows, times - 1, latent)
        noise = Noise(observation.new_zeros(rows, times, rssm.stoch_dim), still, still)
        labeled = observation.new_zeros(rows)
        # rows of a batch take turns with the members, and a state is not to depend on its row
        first, seen = self.model.inverses[:1], self.model.see(Observation(observation))
        feature = self.model.infer_seen(seen, action, labeled, noise, first).feature
        return torch.cat((feature, observation), -1)

    def infer(self, state: Float[Tensor, "N S"], after: Float[Tensor, "N O"]) -> Tensor:
        """See ``LatentDynamics``."""
        feature, before = state.split([self._width, after.shape[-1]], -1)
        return self.model.latent_between(feature, Observation(torch.stack((before, after), -2)))

    def predict(
        self, state: Float[Tensor, "N S"], latent: Float[Tensor, "N D"]
    ) -> Float[Tensor, "N O"]:
        """See ``LatentDynamics``."""
        return self.step(state, latent)[..., self._width :]

    def step(
        self, state: Float[Tensor, "N S"], latent: Float[Tensor, "N D"]
    ) -> Float[Tensor, "N S"]:
        """See ``LatentDynamics``; z is the mean of p(z|h), as nothing is observed."""
        world, feature = self.model.world, state[..., : self._width]
        deter = world.rssm.transition(self._state(feature), self.model.decoder(feature, latent))
        following = State(deter, world.rssm.prior(deter).mean).feature
        observation = self.encoder.observation(world.observation_head(following))
        return torch.cat((following, observation), -1)

    @property
    def _width(self) -> int:
        return self.model.world.rssm.feature_dim

    def _state(self, feature: Float[Tensor, "N F"]) -> State:
        stoch = self.model.world.rssm.stoch_dim
        return State(*feature.split([feature.shape[-1] - stoch, stoch], -1))


def _vectors(encoder: object) -> Encoder:
    if not isinstance(encoder, Encoder):
        hint = "train on features of them: lawm-data features"
        raise ConfigError("it observes images, whose change has no units", "lawm probe", hint)
    return encoder
