"""Pictures of what a world model on features foresees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from lawm_schemas import ConfigError

from lawm_data import open_corpus
from lawm_models.networks.encoders._protocol import Observation
from lawm_models.runs.dreaming import dream
from lawm_models.runs.make_features import make_features
from lawm_models.training.run_folder import RunFolder


def test_a_dream_begins_with_what_was_seen_and_is_decoded_by_the_autoencoder(
    drawn: Path, encoder: RunFolder, learn: Callable[..., RunFolder]
) -> None:
    make_features(encoder, drawn, "ae")
    corpus, run = open_corpus(drawn), learn("lawm", "features:ae")
    trajectory = corpus[0]
    every = len(trajectory) + 1
    whole = dream(run, encoder, corpus, 0, seen=every)
    short = dream(run, encoder, corpus, 0, seen=2)
    np.testing.assert_array_equal(whole.truth, trajectory.observations["pixels"])
    # the filtered state of the first observations knows nothing of the later ones
    np.testing.assert_array_equal(short.dreamed[:2], whole.dreamed[:2])
    np.testing.assert_array_equal(short.decoded, whole.decoded)
    # the decoded picture is the autoencoder's, up to the half precision of features
    coder = encoder.algorithm()
    images = torch.from_numpy(trajectory.observations["pixels"])
    seen = Observation(torch.zeros(every, 0), {"pixels": images})
    with torch.no_grad():
        own = ((coder.decoder(coder.encoder(seen)) + 0.5) * 255).clamp(0, 255)
    off = np.abs(own.view(images.shape).numpy() - whole.decoded.astype(float))
    assert off.max() < 2


def test_runs_that_dream_of_no_features_are_refused(
    drawn: Path, encoder: RunFolder, learn: Callable[..., RunFolder]
) -> None:
    corpus, cloned = open_corpus(drawn), learn("bc", "pixels")
    with pytest.raises(ConfigError, match="has no world model on features"):
        dream(cloned, encoder, corpus, 0, seen=2)
