"""A run that takes its world model from another one makes the numbers that it makes by itself."""

import json
import shutil
from typing import Any

import pytest
from lawm_schemas import ConfigError, ExperimentConfig

from lawm_data import make_mask, open_corpus, save_mask
from lawm_models import algorithms
from lawm_models.checkpoint import MODEL
from lawm_models.run_folder import RunFolder
from lawm_models.trainer import train

IN_STAGES = [name for name in algorithms.names() if algorithms.load(name).Algorithm.stages[1:]]
POLICY = {
    "agent": {"units": 6, "layers": 2, "horizon": 3},
    "support": 1.0,
    "sample_dreamed": True,
    "prior_kl": 0.1,
    "prior_kl_scale": "action_snr",
    "agent_rate": 1e-3,
}
OTHER = {
    "clap": POLICY,
    "lawm": POLICY,
    "lawm_plus": POLICY | {"prior_kl_scale": "one"},
    "idm_td3_bc": {"agent": {"units": 6}},
}
"""Other values for everything that is of the last stage."""


def changed(config: ExperimentConfig, **changes: Any) -> ExperimentConfig:
    return ExperimentConfig.parse(config.model_dump(mode="json") | changes, "test")


def differing_at_the_end(config: ExperimentConfig) -> ExperimentConfig:
    """The same until the last stage, of which nothing is the same."""
    name, last = config.algorithm.name, [*config.steps][-1]
    settings = config.algorithm.settings | OTHER[name]
    return changed(
        config,
        algorithm={"name": name, "settings": settings},
        steps=config.steps | {last: 7},
        batches={last: {"batch_size": 3}},
        checkpoint_every=4,
        evaluate_every=6,
        evaluation_episodes=0,
        preset="demo",
    )


def log(run: RunFolder) -> list[tuple[str, Any]]:
    """Everything in the log but the clock, in order."""
    lines = [json.loads(line) for line in run.metrics_path.read_text().splitlines()]
    return [(k, v) for line in lines for k, v in line.items() if k != "elapsed"]


def weights(run: RunFolder) -> bytes:
    return (run.latest_checkpoint() / MODEL).read_bytes()


class StopAt:
    """A progress that interrupts when a stage has begun."""

    def __init__(self, stage: str) -> None:
        self.stage = stage

    def start(self, stage: str, total: int) -> None:
        if stage == self.stage:
            raise KeyboardInterrupt

    def advance(self, steps: int, metrics: Any) -> None: ...

    def stop(self) -> None: ...


@pytest.fixture(scope="module", params=IN_STAGES)
def config(request, experiment) -> ExperimentConfig:
    return experiment(request.param)


@pytest.fixture(scope="module")
def donor(config, tmp_path_factory) -> RunFolder:
    """A run that differs in its last stage, and has not begun it."""
    out = tmp_path_factory.mktemp("runs") / "donor"
    other = differing_at_the_end(config)
    with pytest.raises(KeyboardInterrupt):
        train(other, out, StopAt([*config.steps][-1]))
    return RunFolder.open(out)


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory) -> RunFolder:
    return train(config, tmp_path_factory.mktemp("runs") / "whole")


def test_everything_of_the_last_stage_is_in_this_test(config) -> None:
    algorithm = algorithms.load(config.algorithm.name).Algorithm
    assert set(OTHER[config.algorithm.name]) == set(algorithm.last_stage.settings)


def test_same_numbers_as_made_whole(config, donor, whole, tmp_path) -> None:
    run = train(config, tmp_path / "run", begin_from=donor.path)
    assert weights(run) == weights(whole)
    assert log(run) == log(whole)
    *earlier, _ = config.steps
    assert min(run.checkpoints()) == sum(config.steps[stage] for stage in earlier)
    taken = run.record.taken
    assert taken is not None
    assert (taken.run, taken.stages) == (str(donor.path), tuple(earlier))
    assert taken.versions == donor.record.versions
    # the clock goes on, as if it had been one run
    told = [line["elapsed"] for line in run.metrics()]
    assert told == sorted(told)
    assert told[: len(donor.metrics())] == [line["elapsed"] for line in donor.metrics()]


def test_taken_on_from_one_that_has_taken(config, donor, whole, tmp_path) -> None:
    once = train(differing_at_the_end(config), tmp_path / "once", begin_from=donor.path)
    twice = train(config, tmp_path / "twice", begin_from=once.path)
    assert (weights(twice), log(twice)) == (weights(whole), log(whole))
    assert twice.record.taken is not None
    assert twice.record.taken.versions == donor.record.versions


def test_stopped_at_once_and_gone_on_with(config, donor, whole, tmp_path) -> None:
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(config, out, StopAt([*config.steps][-1]), begin_from=donor.path)
    # what it took is its own now; and a run that has begun takes nothing more
    run = train(config, out, begin_from=tmp_path / "nowhere")
    assert (weights(run), log(run)) == (weights(whole), log(whole))


def test_what_it_was_to_take_is_gone(config, donor, tmp_path) -> None:
    """Killed before it had taken anything."""
    moved, out = tmp_path / "donor", tmp_path / "run"
    shutil.copytree(donor.path, moved)
    train(config, out, begin_from=moved)
    shutil.rmtree(out / "checkpoints")
    shutil.rmtree(moved)
    with pytest.raises(ConfigError, match=f"remove {out} and train it anew") as error:
        train(config, out)
    assert str(moved) in str(error.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seed": 1}, "seed was 0 in this run and is now 1"),
        ({"window": 6}, "window was 8 in this run and is now 6"),
        ({"log_every": 4}, "log_every was 3 in this run and is now 4"),
    ],
)
def test_what_is_not_the_same_is_refused(config, donor, tmp_path, changes, told) -> None:
    with pytest.raises(ConfigError, match=told) as error:
        train(changed(config, **changes), tmp_path / "run", begin_from=donor.path)
    assert "or train without --from" in str(error.value)
    assert not (tmp_path / "run").exists()


def test_other_settings_of_the_model_are_refused(experiment, tmp_path) -> None:
    donor = train(experiment("lawm"), tmp_path / "donor")
    settings = donor.config.algorithm.settings
    for name, told in (
        ("model_rate", "algorithm.settings.model_rate was 0.0003"),
        ("clip", "algorithm.settings.clip was 100.0"),
    ):
        other = changed(
            donor.config, algorithm={"name": "lawm", "settings": settings | {name: 1.0}}
        )
        with pytest.raises(ConfigError, match=told):
            train(other, tmp_path / "run", begin_from=donor.path)
    with pytest.raises(
        ConfigError, match=r"algorithm\.name was 'lawm' in this run and is now 'clap'"
    ):
        train(experiment("clap"), tmp_path / "run", begin_from=donor.path)


def test_other_data_are_refused(config, donor, corpus_path, tmp_path) -> None:
    corpus = open_corpus(corpus_path)
    save_mask(corpus, make_mask(corpus, 0.2, seed=3, name="fifth"), replace=True)
    for sources in (
        [{"path": str(corpus_path), "mask": "fifth"}],
        [{"path": str(corpus_path)}],
        [{"path": str(corpus_path), "mask": "half", "weight": 2.0}],
        [{"path": str(corpus_path), "mask": "half"}] * 2,
    ):
        with pytest.raises(ConfigError, match="was trained on other data"):
            train(changed(config, corpora=sources), tmp_path / "run", begin_from=donor.path)


def test_what_has_no_stage_to_give_is_refused(experiment, tmp_path) -> None:
    donor = train(experiment("bc"), tmp_path / "donor")
    with pytest.raises(ConfigError, match="bc has one stage, so nothing can be taken over"):
        train(experiment("bc"), tmp_path / "run", begin_from=donor.path)
    with pytest.raises(ConfigError, match="not a run folder"):
        train(experiment("bc"), tmp_path / "run", begin_from=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train(experiment("lawm"), tmp_path / "early", StopAt("model"))
    with pytest.raises(ConfigError, match="has not finished stage model"):
        train(experiment("lawm"), tmp_path / "run", begin_from=tmp_path / "early")
