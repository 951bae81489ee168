"""What a world model on features dreams, as pictures that the autoencoder decodes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from lawm_schemas import ConfigError, Role
from torch import Tensor

from lawm_data.corpus.corpus import Corpus
from lawm_models.algorithms import autoencoder, lawm
from lawm_models.networks.dynamics import State
from lawm_models.networks.encoders import vectors
from lawm_models.networks.encoders._protocol import Observation
from lawm_models.training.run_folder import RunFolder

FEATURES = "features:"


class Dreamed(NamedTuple):
    """One trajectory in three ways, K + 1 pictures each."""

    truth: UInt8[np.ndarray, "K1 h w 3"]
    """As recorded."""
    decoded: UInt8[np.ndarray, "K1 h w 3"]
    """The autoencoder's reconstruction: what the features tell."""
    dreamed: UInt8[np.ndarray, "K1 h w 3"]
    """The world model's prediction, decoded likewise. It sees the first observations, then nothing
    but the actions."""


@torch.no_grad()
def dream(run: RunFolder, encoder: RunFolder, corpus: Corpus, place: int, seen: int) -> Dreamed:
    """Let a world model foresee a recorded trajectory from its actions.

    States and observations are means; nothing is drawn.

    Args:
        run: of ``clap``, ``lawm`` or ``lawm_plus``, on the features of one autoencoder.
        encoder: the run of that autoencoder, on one camera.
        corpus: with the features and all actions; no model learns from it here.
        place: of the trajectory.
        seen: observations before the dream.

    Raises:
        ConfigError: runs of something else.
    """
    trained, coder = run.trained()[0], encoder.trained()[0]
    if not isinstance(trained, lawm.Algorithm) or not run.config.observe.startswith(FEATURES):
        raise ConfigError("has no world model on features", str(run.path), "train lawm on some")
    if not isinstance(coder, autoencoder.Algorithm):
        raise ConfigError("is no autoencoder", str(encoder.path), "give the run that made them")
    trajectory = corpus.observing(run.config.observe)[place]
    features = torch.from_numpy(np.asarray(trajectory.observations.state, np.float32))
    actions = torch.from_numpy(np.asarray(trajectory.actions, np.float32))
    world = trained.model.world
    known = world.rssm.project(world.encoder(Observation(features[None])))
    action = trained.scale.to_model(actions.flatten(1)[None])
    deter, found = world.rssm.initial(1, action).deter, []
    for t in range(len(features)):
        if t < seen:
            state = State(deter, world.rssm.posterior(deter, known[:, t]).mean)
        else:
            state = State(deter, world.rssm.prior(deter).mean)
        found.append(world.observation_head(state.feature))
        if t < action.shape[1]:
            deter = world.rssm.transition(state, action[:, t])
    (name,) = (spec.name for spec in corpus.manifest.observations if spec.role is Role.pixels)
    (frozen,) = run.encoders().frozen().values()
    assert isinstance(world.encoder, vectors.Encoder)  # features are vectors
    foreseen = world.encoder.observation(torch.cat(found))
    decode = _Decode(coder, frozen.mean, frozen.scale)
    shown = corpus[place].observations[name]
    return Dreamed(np.asarray(shown), decode(features, shown.shape), decode(foreseen, shown.shape))


class _Decode(NamedTuple):
    """Features to pictures."""

    coder: autoencoder.Algorithm
    mean: Tensor
    scale: Tensor

    def __call__(self, features: Float[Tensor, "N D"], shape: tuple[int, ...]) -> np.ndarray:
        pixels = self.coder.decoder(features * self.scale + self.mean)
        return ((pixels + 0.5) * 255).round().clamp(0, 255).byte().view(shape).numpy()
