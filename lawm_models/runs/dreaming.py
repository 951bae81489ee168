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
    on_features = run.config.observe.startswith(FEATURES)
    if not isinstance(trained, lawm.Algorithm) or not on_features:
        raise ConfigError("has no world model on features", str(run.path), "train lawm on some")
    if not isinstance(coder, autoencoder.Algorithm):
        raise ConfigError("is no autoencoder", str(encoder.path), "give the run that made them")
    shown, seen_as = corpus[place], corpus.observing(run.config.observe)[place]
    features = torch.from_numpy(np.asarray(seen_as.observations.state, np.float32))
    actions = torch.from_numpy(np.asarray(shown.actions, np.float32)).flatten(1)
    foreseen = _foreseen(trained, features, actions, seen)
    (camera,) = (spec.name for spec in corpus.manifest.observations if spec.role is Role.pixels)
    (frozen,) = run.encoders().frozen().values()
    truth = np.asarray(shown.observations[camera])
    decode = Decode(coder, frozen.mean, frozen.scale, truth.shape)
    return Dreamed(truth, decode(features), decode(foreseen))


def _foreseen(
    trained: lawm.Algorithm,
    features: Float[Tensor, "K1 D"],
    actions: Float[Tensor, "K A"],
    seen: int,
) -> Float[Tensor, "K1 D"]:
    """The observations of a world model that sees the first of them, and all actions."""
    world, encoder = trained.model.world, trained.model.world.encoder
    assert isinstance(encoder, vectors.Encoder)  # what reads features
    known = world.rssm.project(encoder(Observation(features[None])))
    action = trained.scale.to_model(actions[None])
    deter, found = world.rssm.initial(1, action).deter, []
    for t in range(len(features)):
        density = world.rssm.posterior(deter, known[:, t]) if t < seen else world.rssm.prior(deter)
        state = State(deter, density.mean)
        found.append(world.observation_head(state.feature))
        if t < len(actions):
            deter = world.rssm.transition(state, action[:, t])
    return encoder.observation(torch.cat(found))


class Decode(NamedTuple):
    """Features to pictures."""

    coder: autoencoder.Algorithm
    mean: Tensor
    scale: Tensor
    shape: tuple[int, ...]
    """(N, h, w, 3)."""

    @torch.no_grad()
    def __call__(self, features: Float[Tensor, "N D"]) -> UInt8[np.ndarray, "N h w 3"]:
        """Pictures of one camera."""
        pixels = self.coder.decoder(features * self.scale + self.mean)
        return ((pixels + 0.5) * 255).round().clamp(0, 255).byte().view(self.shape).numpy()
