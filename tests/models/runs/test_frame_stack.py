"""Runs on stacks of frames: what they learn from is what their policies see."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from lawm_schemas import ConfigError

from lawm_data import Loader, open_corpus
from lawm_models.networks.encoders import Observation
from lawm_models.runs.make_features import make_features
from lawm_models.runs.relabel import batch_of, relabel
from lawm_models.runs.run import load_run
from lawm_models.training.run_folder import RunFolder


@pytest.fixture
def stacked(learn: Callable) -> RunFolder:
    return learn("bc", "pixels", frame_stack=3)


def test_policies_see_what_was_learned_from(drawn: Path, stacked: RunFolder) -> None:
    """Fed one picture after the other, they act as on the stacks of a batch."""
    view = open_corpus(drawn).observing("pixels")
    algorithm = stacked.algorithm()
    batch = batch_of([view[0], view[1]], 1, ("pixels",), frame_stack=3)
    seen, zeros = Observation.of(batch), torch.zeros(2, 1)
    steps = [algorithm.act(seen.map(lambda x, t=t: x[:, t]), zeros).detach() for t in range(11)]
    expected = torch.stack(steps, 1)
    policy = load_run(stacked.path).policy()
    both = np.stack([view[i].observations["pixels"] for i in (0, 1)])
    for t in range(11):
        found = policy.act({"pixels": both[:, t]})
        np.testing.assert_allclose(found, expected[:, t], atol=1e-5)
    # one of them begins anew
    policy.reset([False, True])
    again = policy.act({"pixels": both[:, 0]})
    np.testing.assert_allclose(again[1], expected[1, 0], atol=1e-5)
    assert np.abs(again[0] - expected[0, 0].numpy()).max() > 0


def test_whole_trajectories_are_stacked_as_windows_are(drawn: Path) -> None:
    view = open_corpus(drawn).observing("pixels")
    loader = Loader(view, 6, 10, frame_stack=3)
    window = loader.next()
    whole = batch_of([view[i] for i in window.trajectory.tolist()], 1, ("pixels",), 3)
    assert (window.start == 0).all()
    assert (window.pixels["pixels"] == whole.pixels["pixels"]).all()


def test_world_models_learn_from_stacks_and_infer(drawn: Path, learn: Callable) -> None:
    run = learn("lawm", "pixels+state", frame_stack=2)
    assert run.is_finished()
    assert relabel(run, drawn, "inferred")["trajectories"] == 3


def test_stacks_beside_features(drawn: Path, encoder: RunFolder, learn: Callable) -> None:
    """The encoder of features reads single frames, of which the policy keeps those it needs."""
    make_features(encoder, drawn, "ae")
    run = learn("bc", "pixels+features:ae", frame_stack=2)
    images = open_corpus(drawn)[0].observations["pixels"]
    policy = load_run(run.path).policy()
    actions = [policy.act({"pixels": image}) for image in images]
    assert np.isfinite(actions).all()


@pytest.mark.parametrize(
    ("algorithm", "observe", "line"),
    [
        ("bc", "state", "frame_stack: 2: no pixels are observed that could be stacked"),
        ("autoencoder", "pixels", "frame_stack: 2: autoencoder encodes single frames"),
    ],
)
def test_where_nothing_can_be_stacked_it_is_said(
    drawn: Path, learn: Callable, algorithm: str, observe: str, line: str
) -> None:
    with pytest.raises(ConfigError, match=line):
        learn(algorithm, observe, "none", frame_stack=2)
    assert not (drawn.parent / "none").exists()
