"""The ends of trajectories: as often as other steps, by what is drawn or by weights, not both."""

from typing import Any, cast

import numpy as np
import pytest
import torch
from lawm_schemas import ExperimentConfig
from runs_compared import Watcher, numbers, weights

from lawm_data import Loader, open_corpus, read_overlay
from lawm_data.corpus.overlay import LABELS
from lawm_models.algorithms import ALGORITHMS
from lawm_models.algorithms._protocol import CorrectsEnds
from lawm_models.networks.offline.transitions import choose_step
from lawm_models.runs.relabel import relabel
from lawm_models.training import presets
from lawm_models.training.experiment import resolve
from lawm_models.training.run_folder import RunFolder
from lawm_models.training.trainer import train

LENGTH = 40


def corrects(name):
    algorithm = ALGORITHMS.load(name).Algorithm
    return isinstance(algorithm, CorrectsEnds) and algorithm.corrects_ends()


CORRECTING = [name for name in ALGORITHMS.names() if corrects(name)]


def test_those_who_choose_a_step_of_every_window_correct_ends():
    assert CORRECTING == ["idm_iql", "idm_rebrac", "idm_td3_bc", "rebrac"]


def counts(corpus_path, name, window, oversample_ends):
    """(LENGTH,) how often each step of a trajectory counts, among what an algorithm chooses."""
    table = open_corpus(corpus_path).table
    view = open_corpus(corpus_path).filter((table.length == LENGTH) & (table.num_observed > 0))
    loader = Loader(view, 2048, window, oversample_ends=oversample_ends)
    algorithm = cast(Any, ALGORITHMS.load(name).Algorithm)
    after = int(algorithm.learner.reads_next_action)
    generator, found = torch.Generator().manual_seed(0), np.zeros(LENGTH)
    for _ in range(80):
        batch = loader.next()
        place, weight = choose_step(batch, generator, after)
        np.add.at(found, (batch.start + place).numpy(), weight.numpy())
    return found[: LENGTH - after]  # of the last one the action after it is not there


@pytest.mark.parametrize(
    ("preset", "name"),
    [
        (preset, name)
        for preset in presets.PRESETS.names()
        for name in presets.PRESETS.load(preset)["algorithms"]
        if corrects(name)
    ],
)
def test_every_step_counts_the_same_among_the_windows_of_a_preset(preset, name, corpus_path):
    data = {**presets.load(preset, name), "corpora": [{"path": str(corpus_path)}]}
    config = resolve(ExperimentConfig.parse(data, preset))
    found = counts(corpus_path, name, config.window, config.oversample_ends)
    np.testing.assert_allclose(found / found.mean(), 1, rtol=0.12)


@pytest.mark.parametrize(("name", "window"), [("rebrac", 2), ("idm_td3_bc", 4), ("idm_rebrac", 5)])
def test_by_both_they_count_as_often_as_a_window_has_steps(name, window, corpus_path):
    """As the warning and docs/algorithms.md have it."""
    found = counts(corpus_path, name, window, True)
    middle = np.median(found)
    assert found[[0, -1]] / middle == pytest.approx([window, window], rel=0.12)


WARNING = "warning: oversample_ends: {} already weights the ends of trajectories, whose steps now "


@pytest.mark.parametrize("name", [*CORRECTING, "td3_bc", "lawm", "bc"])
def test_both_are_warned_of_and_trained_all_the_same(experiment, name, tmp_path, capsys):
    steps = dict.fromkeys(ALGORITHMS.load(name).Algorithm.stages, 1)
    for ends in (True, False):
        config = experiment(name, oversample_ends=ends, steps=steps)
        assert train(config, tmp_path / str(ends)).is_finished()
        told = [x for x in capsys.readouterr().err.splitlines() if "oversample_ends" in x]
        expected = [f"{WARNING.format(name)}count up to 8 times; set it to false"]
        assert told == (expected if ends and name in CORRECTING else [])


def test_a_run_of_both_goes_on_unchanged_and_infers_actions(
    experiment, make_corpus, tmp_path, capsys
):
    """Earlier versions made such runs without a word, and so are the published ones."""
    path = make_corpus(tmp_path / "corpus")
    corpora = [{"path": str(path), "mask": "half"}]
    config = experiment("idm_td3_bc", oversample_ends=True, corpora=corpora)
    whole = train(config, tmp_path / "whole")
    for until in (4, 9):
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path / "run", Watcher(until=until))
    run = train(config, tmp_path / "run")
    assert numbers(run) == numbers(whole)
    assert weights(run) == weights(whole)
    assert capsys.readouterr().err.count(WARNING.format("idm_td3_bc")) == 4
    assert RunFolder.open(run.path).config.oversample_ends
    assert train(config, run.path).is_finished()
    relabel(run.path, path, "inferred")
    assert read_overlay(path / LABELS / "inferred").name == "inferred"
    assert WARNING[:20] not in capsys.readouterr().err  # nothing is trained
