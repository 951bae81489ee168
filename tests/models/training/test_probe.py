"""R² of the true state from features: some where they are the state, none where they are noise."""

import numpy as np

from lawm_data import open_corpus
from lawm_models.training.probe import probe_state


def test_features_that_are_the_state_tell_it_and_noise_does_not(corpus_path):
    view = open_corpus(corpus_path)
    states = [trajectory.observations.state for trajectory in view]
    draws = np.random.default_rng(0)
    noise = [draws.normal(size=state.shape).astype(np.float32) for state in states]
    told = probe_state(view, states)
    assert told.keys() == {"position", "speed"}
    # six short trajectories are few: one that was not seen is foretold in part alone
    assert min(told.values()) > 0.3
    assert max(probe_state(view, noise).values()) < 0.1
