"""From a configuration to what it is run on."""

from pathlib import Path

import numpy as np
import pytest
import torch
from lawm_schemas import ConfigError

from lawm_data import edit_corpus, open_corpus
from lawm_models.algorithms import ALGORITHMS
from lawm_models.training.experiment import (
    build,
    data_now,
    learns_policy,
    make_loaders,
    open_sources,
    resolve,
)
from lawm_models.training.trainer import train


@pytest.mark.parametrize("name", ALGORITHMS.names())
def test_resolving_writes_out_everything_once(experiment, name: str) -> None:
    config = resolve(experiment(name))
    assert resolve(config) == config
    module = ALGORITHMS.load(name)
    assert config.algorithm.settings == module.Config.model_validate(
        config.algorithm.settings
    ).model_dump(mode="json")
    assert tuple(config.steps) == module.Algorithm.stages
    assert learns_policy(config) == hasattr(module.Algorithm, "policy")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": {"agent": 1, "model": 1}}, "steps.model: no such stage; known ones: agent"),
        ({"batches": {"model": {"batch_size": 1}}}, "batches.model: no such stage"),
        ({"steps": {}}, "steps.agent: missing"),
        ({"steps": {"agent": 0}}, "steps: all are 0"),
    ],
)
def test_stages_have_to_be_the_algorithms(experiment, changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve(experiment("bc", **changes))


def test_weights_come_from_the_seed_and_from_nothing_else(experiment) -> None:
    record, cpu = open_sources(resolve(experiment())).record, torch.device("cpu")
    weights = []
    for seed in (0, 0, 1):
        state = torch.get_rng_state()
        algorithm = build(resolve(experiment(seed=seed)), record, cpu)
        assert torch.equal(torch.get_rng_state(), state)
        torch.rand(3)
        weights.append(torch.cat([p.detach().ravel() for p in algorithm.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("name", ["bc", "lam"])
def test_actions_without_bounds_are_refused_with_the_edit_that_declares_them(
    experiment, name: str, corpus_path: Path, tmp_path: Path
) -> None:
    edit_corpus(open_corpus(corpus_path), tmp_path / "free", bounds={"action": None})
    config = experiment(name, corpora=[{"path": str(tmp_path / "free"), "mask": "half"}])
    shown = open_corpus(tmp_path / "free").with_mask("half")
    actions = np.concatenate([t.actions for t in shown if t.is_labeled])
    edit = f"lawm-data edit {tmp_path / 'free'} --bounds action=LOW:HIGH --out"
    between = f"lie between {actions.min():.3g} and {actions.max():.3g}"
    with pytest.raises(ConfigError) as refusal:
        train(config, tmp_path / "run")
    assert str(refusal.value).startswith(f"{tmp_path / 'free'}: the action has no bounds")
    assert f"(those that are shown {between}): {edit}" in str(refusal.value)


def test_stages_that_draw_alike_share_a_loader(experiment) -> None:
    config = resolve(experiment("lawm"))
    alike = make_loaders(config, open_sources(config).corpora)
    assert alike["model"] is alike["agent"]
    config = resolve(experiment("lawm", batches={"agent": {"batch_size": 2}}))
    apart = make_loaders(config, open_sources(config).corpora)
    assert [len(apart[stage].next().labeled) for stage in ("model", "agent")] == [4, 2]


def test_what_data_are_now_is_known_without_reading_them(experiment, make_corpus, tmp_path) -> None:
    path = make_corpus(tmp_path / "corpus")
    config = resolve(experiment("bc", corpora=[{"path": str(path), "mask": "half"}]))
    (view,), (record,) = data_now(config), open_sources(config).record.corpora
    assert (view.path, view.mask.name) == (path, record.mask)
    assert view.label_counts()["observed"] == record.labeled
    path.rename(tmp_path / "gone")
    assert data_now(config) == (None,)


@pytest.mark.parametrize("name", ALGORITHMS.names())
def test_batches_without_a_label_are_refused_where_nothing_would_be_learned(
    experiment, name: str
) -> None:
    config = resolve(experiment(name, labeled_ratio=0.0, batches={}))
    if ALGORITHMS.load(name).Algorithm.needs_labels:
        with pytest.raises(ConfigError, match=f"labeled_ratio: 0 leaves no .*, and {name} learns"):
            open_sources(config)
    else:
        loaders = open_sources(config).loaders.values()
        assert not any(loader.settings.num_labeled for loader in loaders)


@pytest.mark.parametrize("name", ALGORITHMS.names())
def test_where_every_trajectory_lacks_actions_windows_are_labeled(
    experiment, name: str, make_corpus, tmp_path: Path
) -> None:
    path = str(make_corpus(tmp_path / "partial", lacking=1))
    config = resolve(experiment(name, corpora=[{"path": path}], labeled_ratio=0.5, batches={}))
    if name in ("lawm", "lawm_plus", "clap"):
        with pytest.raises(ConfigError, match=r"label_unit: trajectory leaves .*; set it to wind"):
            open_sources(config)
    else:  # single actions teach the others
        assert open_sources(config)
    config = config.model_copy(update={"label_unit": "window"})
    for loader in open_sources(config).loaders.values():
        assert loader.next().labeled.sum() == loader.settings.num_labeled > 0
