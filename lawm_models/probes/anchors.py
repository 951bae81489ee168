"""Anchors of the table: what the state alone tells, what true actions tell, and a free latent.

They learn for a few steps from the trajectories that the runs have seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from lawm_schemas import ArraySpec
from torch import Tensor

from lawm_data.corpus.corpus import Corpus
from lawm_models.networks.constraints import none
from lawm_models.networks.encoders._protocol import Observation
from lawm_models.networks.lam.latent_transition_model import (
    LatentTransitionConfig,
    LatentTransitionModel,
)
from lawm_models.networks.lam.transition_model import Steps, TransitionConfig, TransitionModel
from lawm_models.networks.latent_dynamics import LatentDynamics, TransitionDynamics
from lawm_models.networks.optimizer import clip_and_step
from lawm_models.probes.evidence import Kind
from lawm_models.probes.transitions import Recorded, see
from lawm_models.training.seeding import ambient_randomness

UNITS, LATENT = 128, 16
"""Width of networks beside a model that has none of this kind, and least of a free latent."""
BATCH, RATE, CLIP = 256, 1e-3, 100.0
NAME = "lawm probe"


class StateOnly(LatentDynamics):
    """What follows on a state, whatever is done; its action has no numbers."""

    infers, latent_dim = True, 0

    def __init__(self, inner: TransitionDynamics) -> None:
        self.inner = inner
        self.horizon, self.context = inner.horizon, inner.context

    def states(self, observation: Float[Tensor, "B T1 O"]) -> Float[Tensor, "B T1 S"]:
        """See ``LatentDynamics``."""
        return self.inner.states(observation)

    def infer(self, state: Float[Tensor, "N S"], after: Float[Tensor, "N O"]) -> Tensor:
        """No numbers."""
        return state.new_zeros(len(state), 0)

    def predict(
        self, state: Float[Tensor, "N S"], latent: Float[Tensor, "N D"]
    ) -> Float[Tensor, "N O"]:
        """See ``LatentDynamics``."""
        return self.inner.without_action(state)

    def step(
        self, state: Float[Tensor, "N S"], latent: Float[Tensor, "N D"]
    ) -> Float[Tensor, "N S"]:
        """See ``LatentDynamics``."""
        return self.inner.followed(state, self.predict(state, latent))


def config_beside(dynamics: LatentDynamics) -> LatentTransitionConfig:
    """Of a free latent of the sizes of ``lam``, or of small ones beside another model."""
    latent, free = max(LATENT, dynamics.latent_dim), none.Config()
    if not isinstance(dynamics, TransitionDynamics):
        return LatentTransitionConfig(units=UNITS, latent=latent, constraint=free)
    sizes = _sizes(dynamics.model.config).model_dump()
    return LatentTransitionConfig(**sizes, latent=latent, constraint=free)


def _sizes(config: TransitionConfig) -> TransitionConfig:
    """What a forward model has, without an inverse one."""
    names = set(TransitionConfig.model_fields)
    return TransitionConfig.model_validate(config.model_dump(include=names))


def train_anchors(
    config: LatentTransitionConfig,
    observations: Sequence[ArraySpec],
    view: Corpus,
    recorded: Recorded,
    steps: int,
    seed: int,
    given: Mapping[Kind, LatentDynamics],
) -> dict[Kind, LatentDynamics]:
    """Train the anchors that predict; those of true actions are left out where there are none.

    Args:
        config: sizes.
        observations: what is observed.
        view: the trajectories that they learn from, for the scales of observations.
        recorded: the same, read.
        steps: gradient steps of each.
        seed: of weights and batches.
        given: anchors that are there already.
    """
    every = recorded.transitions
    true_dim, sizes = every.action.shape[1], _sizes(config)

    def trained(rows: Int[Tensor, " R"], free: bool = False) -> TransitionDynamics:
        with ambient_randomness(torch.device("cpu")):
            torch.manual_seed(seed)
            if free:
                model = LatentTransitionModel(config, observations, true_dim, NAME)
            else:
                model = TransitionModel(sizes, observations, true_dim, NAME)
        model.fit([view])
        _train(model, recorded, rows, steps, seed)
        return TransitionDynamics(model.requires_grad_(False))

    free = given.get("unconstrained")
    if not isinstance(free, TransitionDynamics):
        free = trained(torch.arange(len(every.step)), free=True)
    found: dict[Kind, LatentDynamics] = {"state_only": StateOnly(free)}
    told: dict[Kind, Tensor] = {"acwm": every.shown, "acwm_all": every.known}
    for kind, which in told.items():
        if kind in given:
            found[kind] = given[kind]
        elif which.any():
            found[kind] = trained(which.nonzero().squeeze(1))
    return {**found, "unconstrained": free}


def _train(
    model: TransitionModel, recorded: Recorded, rows: Int[Tensor, " R"], steps: int, seed: int
) -> None:
    generator, optimizers = torch.Generator().manual_seed(seed), model.optimizers(RATE)
    data = _steps(model, recorded, rows)
    for step in range(steps):
        for optimizer in optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = RATE * (1 - step / steps)
        drawn = torch.randint(len(rows), (BATCH,), generator=generator)
        batch = Steps(*(part[drawn] for part in data))
        if isinstance(model, LatentTransitionModel):
            losses = model.latent_losses(batch, generator)
            # what "state only" is; of the others nothing reads it
            clip_and_step(optimizers["alone"], losses.alone, CLIP)
        else:
            losses = model.losses(batch.state, batch.after, batch.action, batch.weight)
        clip_and_step(optimizers["model"], losses.prediction, CLIP)


def _steps(model: TransitionModel, recorded: Recorded, rows: Int[Tensor, " R"]) -> Steps:
    """Transitions as the model learns from them."""
    chosen = recorded.transitions.take(rows)
    state = see(TransitionDynamics(model), recorded.observations, chosen).state
    with torch.no_grad():
        after = model.encoder(Observation(chosen.after))
    weight = torch.ones(len(rows))
    parts = state.unflatten(-1, (model.context, model.dim))
    return Steps(parts, after, weight, chosen.action, weight)
