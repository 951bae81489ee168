"""A corpus and the same corpus in other units teach the same, and unusual units are told."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lawm_data import CorpusWriter, make_mask, open_corpus, save_mask
from lawm_models.training.experiment import open_sources, resolve, settings_of
from lawm_models.training.scales import scale_notes
from lawm_models.training.trainer import train

OF_OBSERVATIONS, SHIFT, OF_REWARDS = 1000.0, 5.0, 0.01


def in_other_units(path: Path, out: Path) -> Path:
    """A copy with observations × 1000 + 5 and rewards × 0.01."""
    corpus = open_corpus(path)
    with CorpusWriter.create(
        out, observations=corpus.manifest.observations, action=corpus.manifest.action
    ) as writer:
        for trajectory in corpus:
            fields = {
                spec.name: np.float32(
                    OF_OBSERVATIONS * np.asarray(trajectory.observations[spec.name]) + SHIFT
                )
                for spec in corpus.manifest.observations
            }
            writer.add(
                fields,
                rewards=np.float32(OF_REWARDS * np.asarray(trajectory.rewards)),
                actions=trajectory.actions,
                provenance=corpus.manifest.provenance[0],
                trajectory_id=trajectory.info.id,
            )
    copy = open_corpus(out)
    save_mask(copy, make_mask(copy, 0.5, seed=0, name="half"))
    return out


@pytest.fixture(scope="module")
def rescaled(corpus_path, tmp_path_factory):
    return in_other_units(corpus_path, tmp_path_factory.mktemp("corpora") / "rescaled")


def standard(config):
    settings = config.algorithm.settings
    model = settings["model"] | {"encoder": {"scale": "standard"}, "reward_scale": "standard"}
    algorithm = config.algorithm.model_copy(update={"settings": settings | {"model": model}})
    return config.model_copy(update={"algorithm": algorithm})


def on(config, path):
    source = config.corpora[0].model_copy(update={"path": str(path)})
    return resolve(config.model_copy(update={"corpora": (source,)}))


@pytest.mark.parametrize("name", ["lawm", "clap"])
def test_other_units_teach_the_same(name, experiment, corpus_path, rescaled, tmp_path):
    """What acts, infers actions and plans has the scales of the data in its weights."""
    config = standard(experiment(name, steps={"model": 8, "agent": 6}))
    seen = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
    found = []
    for path, factor, shift in ((corpus_path, 1, 0), (rescaled, OF_OBSERVATIONS, SHIFT)):
        run = train(on(config, path), tmp_path / path.name)
        given, algorithm = np.float32(factor * seen + shift), run.algorithm()
        policy, model = run.policy_of(algorithm), algorithm.planning_model()
        policy.start(4, 0)
        acts = [policy.act(given) for _ in range(3)]
        with torch.no_grad():
            state = model.infer(torch.from_numpy(given), torch.zeros(4, model.memory_dim))
            worth = torch.stack([model.reward(state), model.value(state)]).numpy()
        batch = open_sources(on(config, path)).loaders["model"].batch(0)
        inferred = algorithm.infer_actions(batch) or ()
        found.append([*acts, worth, *(part.numpy() for part in inferred)])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(theirs, ours, atol=2e-3)


def test_scales_are_of_what_is_visible(experiment, corpus_path, tmp_path):
    """Of all trajectories or, where the rest is not read, of the labeled ones."""
    view = open_corpus(corpus_path).with_mask("half")
    for name, read in (("lawm", list(view)), ("clap", [t for t in view if t.actions is not None])):
        config = standard(experiment(name, steps={"model": 1, "agent": 0}))
        world = train(config, tmp_path / name).algorithm().model.world
        states = np.concatenate([t.observations.state[:-1] for t in read]).astype(np.float64)
        rewards = np.concatenate([t.rewards for t in read]).astype(np.float64)
        np.testing.assert_allclose(world.encoder.normalizer.mean, states.mean(0), rtol=1e-5)
        np.testing.assert_allclose(world.encoder.normalizer.std, states.std(0), rtol=1e-5)
        assert world.reward_unit.item() == pytest.approx(np.sqrt(np.mean(rewards**2)), rel=1e-5)


def test_unusual_units_are_told_with_the_setting_that_helps(experiment, corpus_path, rescaled):
    config = experiment("lawm")
    usual, unusual = open_corpus(corpus_path), open_corpus(rescaled)
    assert [*scale_notes(settings_of(config), [usual])] == []
    notes = [*scale_notes(settings_of(config), [usual, unusual])]
    for note, key in zip(notes, ("encoder.scale", "reward_scale"), strict=True):
        assert note.startswith(str(rescaled))
        assert note.endswith(f"--set algorithm.settings.model.{key}=standard")
    assert [*scale_notes(settings_of(standard(config)), [unusual])] == []
    assert [*scale_notes(settings_of(experiment("td3_bc")), [unusual])] == []
