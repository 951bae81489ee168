"""A run that takes its world model from another one makes the numbers that it makes by itself."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from lawm_schemas import ConfigError, ExperimentConfig
from small_runs import DISTINCT
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lawm_data import make_mask, open_corpus, save_mask
from lawm_models.algorithms import ALGORITHMS
from lawm_models.training import checkpoint
from lawm_models.training.checkpoint import MODEL
from lawm_models.training.run_folder import RunFolder
from lawm_models.training.trainer import train

# cola has four, and a test of its own below
IN_STAGES = [
    n for n in (*DISTINCT, "bc_rla") if ALGORITHMS.load(n).Algorithm.stages[1:] and n != "cola"
]
POLICY = {
    "agent": {"units": 6, "layers": 2, "horizon": 3},
    "support": 1.0,
    "sample_dreamed": True,
    "prior_kl": 0.1,
    "prior_kl_scale": "action_snr",
    "data_values": 0.5,
    "data_expectile": 0.9,
    "cloning": 0.5,
    "agent_rate": 1e-3,
}
OTHER = {
    "bc_rla": {"agent": {"units": 6, "layers": 1, "foresight": 0.0}, "agent_rate": 1e-2},
    "clap": POLICY,
    "lawm": POLICY,
    "lawm_plus": POLICY | {"prior_kl_scale": "one"},
    "idm_td3_bc": {"agent": {"units": 6}},
    "lam": {"controller": {"units": 6, "layers": 1}, "controller_rate": 1e-2},
}
"""Other values for everything that is of the last stage."""
ONCE = pytest.mark.parametrize("config", ["lawm"], indirect=True, scope="module")
"""For what the trainer does alike whatever the algorithm: with the one that draws most noise."""


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


def points(run: RunFolder) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows: step and value of every point."""
    board = EventAccumulator(str(run.events_path))
    board.Reload()
    names = board.Tags()["scalars"]
    return {name: [(p.step, p.value) for p in board.Scalars(name)] for name in names}


def weights(run: RunFolder) -> bytes:
    return (run.latest_checkpoint() / MODEL).read_bytes()


class StopAt:
    """A progress that interrupts when a stage has begun."""

    def __init__(self, stage: str) -> None:
        self.stage = stage

    def start(self, stage: str, total: int) -> None:
        if stage == self.stage:
            raise KeyboardInterrupt

    def reach(self, done: int, metrics: Any = None) -> None: ...

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


@pytest.fixture(scope="module")
def taking(config, donor, tmp_path_factory) -> RunFolder:
    return train(config, tmp_path_factory.mktemp("runs") / "run", begin_from=donor.path)


def test_everything_of_the_last_stage_is_in_this_test(config) -> None:
    algorithm = ALGORITHMS.load(config.algorithm.name).Algorithm
    assert set(OTHER[config.algorithm.name]) == set(algorithm.last_stage.settings)


def test_same_numbers_as_made_whole(config, donor, whole, taking) -> None:
    run = taking
    assert weights(run) == weights(whole)
    assert log(run) == log(whole)
    *earlier, _ = config.steps
    assert min(run.checkpoints()) == sum(config.steps[stage] for stage in earlier)
    taken = run.record.taken
    assert taken is not None
    assert (taken.run, taken.stages) == (str(donor.path), tuple(earlier))
    assert taken.versions == donor.record.versions
    # the clock goes on, as if it had been one run
    elapsed = [line["elapsed"] for line in run.metrics()]
    assert elapsed == sorted(elapsed)
    assert elapsed[: len(donor.metrics())] == [line["elapsed"] for line in donor.metrics()]


@ONCE
def test_taken_on_from_one_that_has_taken(config, donor, whole, tmp_path) -> None:
    once = train(differing_at_the_end(config), tmp_path / "once", begin_from=donor.path)
    twice = train(config, tmp_path / "twice", begin_from=once.path)
    assert (weights(twice), log(twice)) == (weights(whole), log(whole))
    assert twice.record.taken is not None
    assert twice.record.taken.versions == donor.record.versions


@ONCE
def test_stopped_at_once_and_gone_on_with(config, donor, whole, tmp_path) -> None:
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(config, out, StopAt([*config.steps][-1]), begin_from=donor.path)
    # what it took is its own now; and a run that has begun takes nothing more
    run = train(config, out, begin_from=tmp_path / "nowhere")
    assert (weights(run), log(run)) == (weights(whole), log(whole))


def test_tensorboard_shows_all_of_it(whole, taking) -> None:
    assert points(taking) == points(whole)


@pytest.fixture
def killed(config, donor, tmp_path, monkeypatch) -> tuple[Path, Path]:
    """A copy of the donor, and a run that was killed before it had taken anything over."""
    moved, out = Path(shutil.copytree(donor.path, tmp_path / "donor")), tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_checkpoint", _killed)
        with pytest.raises(KeyboardInterrupt):
            train(config, out, begin_from=moved)
    assert not RunFolder.open(out).checkpoints()
    return moved, out


def _killed(*_: Any) -> None:
    raise KeyboardInterrupt


@ONCE
def test_killed_before_it_had_taken_anything(config, whole, killed) -> None:
    _, out = killed
    run = train(config, out)
    assert (weights(run), log(run)) == (weights(whole), log(whole))


@ONCE
@pytest.mark.parametrize("there", [False, True])
def test_what_it_was_to_take_is_gone(config, killed, tmp_path, there) -> None:
    moved, out = killed
    shutil.rmtree(moved)
    if there:
        train(config, moved)  # one that began with other weights of the policy
    with pytest.raises(ConfigError, match=f"{out}: was to begin with what is no longer in {moved}"):
        train(config, out)


@ONCE
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (f"checkpoints/step_00000012/{MODEL}", b"x", "does not match its checksum"),
        (
            f"checkpoints/step_00000012/{checkpoint.STATE}",
            b"{}",
            "is not the state of a checkpoint",
        ),
        ("metrics.jsonl", b"", "metrics.jsonl has lost lines"),
        ("metrics.jsonl", b"x" * 9999, "metrics.jsonl has lost lines"),
        ("metrics.jsonl", b"\n" * 9999, "Expecting value"),
        ("metrics.jsonl", None, "No such file"),
    ],
)
def test_a_damaged_run_is_left_alone(config, donor, tmp_path, name, content, message) -> None:
    moved = Path(shutil.copytree(donor.path, tmp_path / "donor"))
    (moved / name).unlink()
    if content is not None:
        (moved / name).write_bytes(content)
    with pytest.raises(
        ConfigError, match=f"step_00000012: cannot be taken from: .*{message}"
    ) as error:
        train(config, tmp_path / "run", begin_from=moved)
    assert "or train without --from" in str(error.value)
    assert not (tmp_path / "run").exists()


@ONCE
@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_weights_of_another_version_are_left_alone(config, donor, tmp_path, change) -> None:
    moved = Path(shutil.copytree(donor.path, tmp_path / "donor"))
    folder = moved / "checkpoints" / "step_00000012"
    state = checkpoint.load_weights(folder)
    own = ALGORITHMS.load(config.algorithm.name).Algorithm.last_stage.modules
    name = next(k for k in state if k.partition(".")[0] not in own and state[k].dim() == 2)
    match change:
        case "missing":
            del state[name]
        case "extra":
            state[f"{name}2"] = state[name]
        case "shape":
            state[name] = state[name][:-1]
    module = torch.nn.Module()
    module.state_dict = lambda: state  # type: ignore[method-assign]
    checkpoint.save_checkpoint(folder, module, {}, checkpoint.load_state(folder))
    with pytest.raises(ConfigError, match="cannot be taken from"):
        train(config, tmp_path / "run", begin_from=moved)
    assert not (tmp_path / "run").exists()


@ONCE
def test_versions_are_those_of_whoever_trained_it(config, donor, tmp_path) -> None:
    moved = Path(shutil.copytree(donor.path, tmp_path / "donor"))
    old = donor.record.versions | {"torch": "1.0"}
    record = donor.record.model_copy(update={"versions": old})
    (moved / "run.json").write_text(record.to_json())
    once = train(config, tmp_path / "once", begin_from=moved)
    twice = train(config, tmp_path / "twice", begin_from=once.path)
    for run in (once, twice):
        assert run.record.versions == donor.record.versions
        assert run.record.taken is not None
        assert run.record.taken.versions == old


@ONCE
@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"window": 6},
        {"log_every": 4},
        {"threads": 2},
        {"rate_decay": 0.5},
        {"short": "drop"},
        {"label_unit": "window"},
        {"oversample_ends": True},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_is_not_the_same_is_refused(config, donor, tmp_path, changes) -> None:
    ((key, value),) = changes.items()
    message = (
        f"{key} was {getattr(config, key)!r} in this run and is now {value!r}; set {key} back, or"
    )
    with pytest.raises(ConfigError, match=re.escape(message)):
        train(changed(config, **changes), tmp_path / "run", begin_from=donor.path)
    assert not (tmp_path / "run").exists()


@ONCE
def test_other_steps_and_batches_are_refused(config, donor, tmp_path) -> None:
    first, last = config.steps
    for changes, message in (
        ({"steps": {first: 11, last: 12}}, f"steps.{first} was 12 in this run and is now 11"),
        ({"batch_size": 5}, f"batches.{first}.batch_size was 4 in this run and is now 5"),
        ({"labeled_ratio": 1.0}, f"batches.{first}.labeled_ratio was 0.5 in this run"),
        ({"batches": {first: {"labeled_ratio": 1.0}}}, f"batches.{first}.labeled_ratio was 0.5"),
    ):
        with pytest.raises(ConfigError, match=message):
            train(changed(config, **changes), tmp_path / "run", begin_from=donor.path)
    # the same, said otherwise
    batches = {first: {"batch_size": 4}, last: {"batch_size": 3}}
    same = changed(config, batch_size=5, batches=batches)
    train(same, tmp_path / "run", begin_from=donor.path)


@ONCE
def test_other_settings_of_the_model_are_refused(config, donor, experiment, tmp_path) -> None:
    settings = donor.config.algorithm.settings
    for name, message in (
        ("model_rate", "algorithm.settings.model_rate was 0.0003"),
        ("clip", "algorithm.settings.clip was 100.0"),
    ):
        other = changed(
            donor.config, algorithm={"name": "lawm", "settings": settings | {name: 1.0}}
        )
        with pytest.raises(ConfigError, match=message):
            train(other, tmp_path / "run", begin_from=donor.path)
    with pytest.raises(
        ConfigError, match=r"algorithm\.name was 'lawm' in this run and is now 'clap'"
    ):
        train(experiment("clap"), tmp_path / "run", begin_from=donor.path)


@ONCE
def test_other_data_are_refused(config, donor, make_corpus, tmp_path) -> None:
    path, other = make_corpus(tmp_path / "corpus"), make_corpus(tmp_path / "other", (40, 41, 40))
    save_mask(open_corpus(path), make_mask(open_corpus(path), 0.2, seed=3, name="fifth"))
    for sources, message in (
        ([{"path": str(path), "mask": "fifth"}], "under another mask"),
        ([{"path": str(path)}], "under another mask"),
        ([{"path": str(path), "mask": "half", "weight": 2.0}], "with other weights of its corpora"),
        ([{"path": str(path), "mask": "half"}] * 2, "on other corpora"),
        ([{"path": str(other), "mask": "half"}], "on another corpus"),
    ):
        with pytest.raises(ConfigError, match=f"was trained {message}; give the same, or train"):
            train(changed(config, corpora=sources), tmp_path / "run", begin_from=donor.path)
    # the same corpus, elsewhere
    same = changed(config, corpora=[{"path": str(path), "mask": "half"}])
    train(same, tmp_path / "run", begin_from=donor.path)


def test_what_has_no_stage_to_give_is_refused(experiment, tmp_path) -> None:
    donor = train(experiment("bc", steps={"agent": 1}), tmp_path / "donor")
    with pytest.raises(ConfigError, match="bc has one stage, so nothing can be taken over"):
        train(experiment("bc"), tmp_path / "run", begin_from=donor.path)
    with pytest.raises(ConfigError, match="not a run folder"):
        train(experiment("bc"), tmp_path / "run", begin_from=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train(experiment("lawm"), tmp_path / "early", StopAt("model"))
    with pytest.raises(ConfigError, match="has no checkpoint at the end of stage model"):
        train(experiment("lawm"), tmp_path / "run", begin_from=tmp_path / "early")


@ONCE
def test_a_setting_that_is_refused_costs_nothing(config, donor, tmp_path) -> None:
    """With --from, and also without: what has not begun is no run to be gone on with."""
    out, settings = tmp_path / "run", config.algorithm.settings
    kl = {"prior_kl": 0.1, "prior_kl_scale": "action_snr"}
    for begin_from in (donor.path, None):
        wrong = settings | kl | {"agent": settings["agent"] | {"start_states": 1}}
        with pytest.raises(ConfigError, match=r"agent\.start_states"):
            train(
                changed(config, algorithm={"name": "lawm", "settings": wrong}),
                out,
                begin_from=begin_from,
            )
        right = changed(config, algorithm={"name": "lawm", "settings": settings | kl})
        train(right, out, begin_from=begin_from)
        shutil.rmtree(out)


@pytest.fixture(scope="module")
def world(experiment, tmp_path_factory) -> RunFolder:
    """A run whose forward model another algorithm goes on with."""
    return train(experiment("lam"), tmp_path_factory.mktemp("runs") / "world")


def test_an_algorithm_adopts_what_another_one_has_learned(experiment, world, tmp_path) -> None:
    config = experiment("cola")
    run = train(config, tmp_path / "run", begin_from=world.path)
    first, theirs = (
        checkpoint.load_weights(folder.checkpoints()[step])
        for folder, step in ((run, 24), (world, 24))
    )
    # the warm-up, which is over then, has left as it was all that an action does not enter by
    kept = ("model.dynamics.state", "model.dynamics.blocks", "model.dynamics.out")
    adopted = [name for name in theirs if name.startswith(kept)]
    assert adopted
    assert all(torch.equal(first[name], theirs[name]) for name in adopted)
    taken = run.record.taken
    assert taken is not None
    assert (taken.run, taken.stages) == (str(world.path), ("world",))
    assert {line["stage"] for line in run.metrics()} == {"warm_up", "model", "controller"}
    out = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        train(config, out, StopAt("warm_up"), begin_from=world.path)
    again = train(config, out, begin_from=tmp_path / "nowhere")
    assert (weights(again), log(again)) == (weights(run), log(run))


def test_what_does_not_fit_is_not_adopted(experiment, world, make_corpus, tmp_path) -> None:
    config, other = experiment("cola"), make_corpus(tmp_path / "other", (40, 41, 40))
    wide = {"name": "cola", "settings": {"model": {"units": 9}}}
    begun = tmp_path / "begun"
    with pytest.raises(KeyboardInterrupt):
        train(experiment("lam"), begun, StopAt("controller"))
    of_another = train(experiment("bc", steps={"agent": 1}), tmp_path / "bc").path
    for changes, begin_from, message in (
        ({"corpora": [{"path": str(other), "mask": "half"}]}, world.path, "on another corpus"),
        ({"algorithm": wide}, world.path, "model.units was 8 in this run and is now 9.*--from"),
        ({}, begun, "is not finished; train it first, or train without --from"),
        ({}, of_another, "is of bc, and cola begins with a run of acwm, lam or its own"),
    ):
        with pytest.raises(ConfigError, match=message):
            train(changed(config, **changes), tmp_path / "run", begin_from=begin_from)
        assert not (tmp_path / "run").exists()
