"""World models foresee where trajectories end, where some end at all."""

import numpy as np
import pytest
import torch
from lawm_schemas import ArraySpec, Provenance, Role
from runs_compared import numbers, weights
from safetensors.torch import load_file

from lawm_data import CorpusWriter, make_mask, open_corpus, save_mask
from lawm_data.batches.loader import Loader
from lawm_data.corpus.table import FINAL_MISSING
from lawm_models.networks.encoders import Observation
from lawm_models.networks.world_model import WorldModel, WorldModelConfig, state_weight
from lawm_models.training.checkpoint import MODEL
from lawm_models.training.experiment import open_sources, resolve
from lawm_models.training.run_folder import RunFolder
from lawm_models.training.trainer import train

LIMIT, EDGE = 20, 1.0
SIZES = {
    "rssm": {"deter": 8, "stoch": 4, "hidden": 16},
    "embed": 16,
    "units": 16,
    "layers": 1,
}


def write(path, terminal=True, metadata=None):
    """A point that drifts and is pushed; at x ≥ 1 it falls, or after 20 steps it is cut."""
    draws = np.random.default_rng(0)
    action = ArraySpec(name="action", shape=(1,), role=Role.action, low=(-1.0,), high=(1.0,))
    with CorpusWriter.create(
        path, observations=(ArraySpec(name="state", shape=(2,)),), action=action
    ) as writer:
        for _ in range(60):
            states, actions = [draws.uniform(-1, 0.5, 2)], []
            while len(actions) < LIMIT and states[-1][0] < EDGE:
                actions.append(draws.uniform(-1, 1, 1))
                states.append(states[-1] + 0.5 * np.array([*actions[-1] + 0.2, draws.normal()]))
            fell = states[-1][0] >= EDGE
            writer.add(
                {"state": np.float32(states)},
                rewards=np.float32(states)[1:, 0],
                actions=np.float32(actions),
                provenance=Provenance(source="test"),
                terminated=bool(fell and terminal),
                truncated=not fell,
                metadata=metadata if fell else None,
            )
    corpus = open_corpus(path)
    save_mask(corpus, make_mask(corpus, 0.5, seed=0, name="half"))
    return path


@pytest.fixture(scope="module")
def falling(tmp_path_factory):
    return write(tmp_path_factory.mktemp("corpora") / "falling")


def of(experiment, path, **changes):
    return resolve(experiment("lawm", corpora=[{"path": str(path), "mask": "half"}], **changes))


def test_the_head_finds_where_trajectories_end(falling):
    """Where x ≥ 1, and not after 20 steps."""
    torch.manual_seed(0)
    corpus = open_corpus(falling)
    config = WorldModelConfig(**SIZES, observation_std=0.1)
    world = WorldModel(config, corpus.manifest.state, 1, terminates=True)
    optimizer = torch.optim.Adam(world.parameters(), 3e-2)
    loader = Loader(((corpus, 1.0),), 64, 3, seed=0, short="pad", oversample_ends=True)

    def features(batch):
        noise = torch.randn(*batch.observation.shape[:2], 4)
        return world.observe(Observation.of(batch), batch.action, noise)

    for _ in range(100):
        batch = loader.next()
        observed = features(batch)
        feature = observed.state.feature
        terms = world.state_losses(observed, feature, Observation.of(batch), batch.reward)
        ends = world.continuation_loss(feature, batch.terminated)
        kl = world.balanced_kl(terms, state_weight(batch.valid))
        loss = terms.observation.mean() + kl + ends.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    batch = loader.batch(10_000)
    with torch.no_grad():
        goes_on = world.continuation(features(batch).state.feature)[:, 1:][batch.valid]
    x = batch.observation[:, 1:, 0][batch.valid]
    clear = (x - EDGE).abs() > 0.1
    goes_on, fell = goes_on[clear], x[clear] >= EDGE
    assert fell.sum() > 5
    assert (goes_on[fell] < 0.5).float().mean() > 0.9
    assert (goes_on[~fell] > 0.5).float().mean() > 0.9


def without_head(config):
    settings = config.algorithm.settings
    settings = settings | {"model": settings["model"] | {"continuation": False}}
    algorithm = config.algorithm.model_copy(update={"settings": settings})
    return config.model_copy(update={"algorithm": algorithm})


def test_where_nothing_terminates_all_is_as_without(experiment, tmp_path):
    config = experiment("lawm")
    runs = [
        train(each, tmp_path / name)
        for each, name in ((config, "auto"), (without_head(config), "off"))
    ]
    assert numbers(runs[0]) == numbers(runs[1])
    assert weights(runs[0]) == weights(runs[1])


def has_head(run):
    return any("continuation" in name for name in load_file(run.latest_checkpoint() / MODEL))


def test_a_run_stays_as_it_has_begun(experiment, falling, tmp_path):
    """One of an earlier version has no head, and nor has one that takes its model."""
    config = of(experiment, falling, steps={"model": 2, "agent": 1}, short="pad")
    sources = open_sources(config)
    assert sources.record.terminates
    before = sources.record.model_copy(update={"terminates": False})
    (tmp_path / "old").mkdir()
    old = RunFolder.create(tmp_path / "old", config, before)
    old.metrics_path.touch()
    assert not has_head(train(config, old.path))
    assert not has_head(train(config, tmp_path / "taken", begin_from=old.path))

    new = train(config, tmp_path / "new")
    assert has_head(new)
    assert has_head(train(config, tmp_path / "both", begin_from=new.path))
    assert not has_head(train(without_head(config), tmp_path / "off"))


@pytest.mark.parametrize(("terminal", "metadata"), [(False, None), (True, FINAL_MISSING)])
def test_ends_that_nobody_has_seen_teach_nothing(experiment, tmp_path, terminal, metadata):
    """Of a trajectory that was cut, or whose terminal state was not recorded."""
    config = of(experiment, write(tmp_path / "corpus", terminal, metadata), short="pad")
    assert not open_sources(config).record.terminates
