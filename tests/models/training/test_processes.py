"""Two processes make the numbers of one, up to the order of summation; what cannot is refused."""

import signal

import pytest
import torch
from lawm_schemas import ConfigError
from runs_compared import numbers, weights
from safetensors.torch import load_file
from small_runs import SETTINGS, write_corpus
from working_together import SAID, disturbed, start, trainings

from lawm_models.algorithms import ALGORITHMS
from lawm_models.training import checkpoint
from lawm_models.training.experiment import settings_of
from lawm_models.training.processes import Processes
from lawm_models.training.run_folder import RunFolder
from lawm_models.training.trainer import train

LAM, LAWM = SETTINGS["lam"], SETTINGS["lawm"]


def lam(constraint, **model):
    return {**LAM, "model": {**LAM["model"], "constraint": constraint, "labels": 1.0, **model}}


CASES = {
    # of the four windows one has labels: the second process never has any
    "gaussian": ("lam", lam({"name": "gaussian"}), {}),
    # codes are given up and drawn anew, from latents of all windows
    "vq": ("lam", lam({"name": "vq", "codes": 5, "reset_after": 2}), {}),
    "sparse": ("lam", lam({"name": "sparse"}, context=2), {}),
    "nested": ("lam", lam({"name": "nested"}), {}),
    "lawm": (
        "lawm",
        {
            **LAWM,
            "agent": {**LAWM["agent"], "start_states": 6},
            "sample_dreamed": True,
            "data_values": 1.0,
            "cloning": 0.5,
            "model": {**LAWM["model"], "free_nats": 0.01, "inverse_supervision": 0.5},
        },
        {},
    ),
    "no labels": ("lawm", LAWM, {"batches": {"model": {"labeled_ratio": 0.0}}}),
    "by chance": ("lawm", LAWM, {"labeled_ratio": None, "label_unit": "window"}),
    # the signal-to-noise ratio of actions, and the range of returns
    "lawm_plus": ("lawm_plus", LAWM, {}),
    **{name: (name, SETTINGS[name], {}) for name in ("acwm", "flam", "dila", "cola", "bc_rla")},
    "autoencoder": ("autoencoder", SETTINGS["autoencoder"], {}),
}


@pytest.fixture(scope="module")
def cases(experiment, tmp_path_factory):
    """Their configurations, on trajectories of which some are shorter than a window."""
    path = write_corpus(tmp_path_factory.mktemp("corpora") / "short", (5, 12, 6, 12, 9, 7))

    def configure(name, settings, changes):
        return experiment(
            name,
            corpora=[{"path": str(path), "mask": "half"}],
            algorithm={"name": name, "settings": settings},
            steps=dict.fromkeys(ALGORITHMS.load(name).Algorithm.stages, 4),
            **{"labeled_ratio": 0.25, "checkpoint_every": 3, "log_every": 1, **changes},
        )

    return {case: configure(*what) for case, what in CASES.items()}


@pytest.fixture(scope="module")
def together(cases, tmp_path_factory):
    """The runs of two processes."""
    folder = tmp_path_factory.mktemp("together")
    jobs = [(config, folder / case) for case, config in cases.items()]
    assert start(folder / "store", trainings, jobs) == [0, 0]
    return {case: RunFolder.open(out) for case, (_, out) in zip(cases, jobs, strict=True)}


@pytest.mark.parametrize("case", CASES)
def test_two_processes_make_the_numbers_of_one(case, cases, together, tmp_path):
    two, one = together[case], train(cases[case], tmp_path / "one")
    assert (two.record.processes, one.record.processes) == (2, 1)
    assert len(numbers(two)) == len(numbers(one))
    for found, expected in zip(numbers(two), numbers(one), strict=True):
        assert found.pop("stage") == expected.pop("stage")
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert [*two.checkpoints()] == [*one.checkpoints()]
    for found, expected in zip(two.checkpoints().values(), one.checkpoints().values(), strict=True):
        states = checkpoint.load_state(found), checkpoint.load_state(expected)
        torch.testing.assert_close(*(state["generators"] for state in states), rtol=0, atol=0)
        assert states[0]["loader"] == states[1]["loader"]
        for path in expected.glob("*.safetensors"):
            tensors = load_file(found / path.name), load_file(path)
            torch.testing.assert_close(*tensors, rtol=1e-3, atol=2e-6)


@pytest.fixture
def ended(tmp_path):
    """What the first of two trainings says, both of which end before anything is written."""

    def call(configs):
        out = tmp_path / "run"
        assert start(tmp_path / "store", trainings, [(configs, out)]) == [2, 2]
        assert not out.exists()
        said = [*(tmp_path / "store").glob(f"{SAID}*")]
        assert [path.name for path in said] == [f"{SAID}0"]
        return said[0].read_text()

    return call


def test_processes_that_disagree_are_refused(experiment, ended):
    configs = [experiment("lam", seed=seed) for seed in (0, 1)]
    assert "seed is 1 in process 1 and 0 in the first; give all" in ended(configs)


def test_processes_on_other_data_are_refused(experiment, ended, tmp_path):
    path = write_corpus(tmp_path / "other", (40, 40, 25, 40, 40, 34))
    other = experiment("lam", corpora=[{"path": str(path), "mask": "half"}])
    assert "corpora.0.fingerprint is" in ended([experiment("lam"), other])


def test_what_one_process_alone_finds_is_said_by_the_first(experiment, ended, tmp_path):
    missing = experiment("lam", corpora=[{"path": str(tmp_path / "missing")}])
    assert "missing: " in ended([experiment("lam"), missing])


def test_an_algorithm_of_one_process_is_refused(experiment, ended):
    assert "bc is trained by one process; start it without" in ended(experiment("bc"))


@pytest.mark.parametrize(
    ("name", "settings", "where"),
    [
        ("lawm", {"warmup": 5}, "warmup"),
        ("lawm", {"model": {"inverse_dropout": 0.1}}, "inverse_dropout"),
        ("lawm", {"model": {"inverse_members": 2}}, "inverse_members"),
        ("lawm", {"agent": {"start_states": 3}}, "start_states"),
        ("clap", {}, "clap"),
    ],
)
def test_settings_of_one_process_are_refused(experiment, name, settings, where):
    config = settings_of(experiment(name, algorithm={"name": name, "settings": settings}))
    with pytest.raises(ConfigError, match=where):
        ALGORITHMS.load(name).Algorithm.require_shareable(config, 2)


def test_weights_that_come_apart_are_refused(tmp_path):
    assert start(tmp_path, drifting) == [2, 2]
    assert "hash of the weights is" in (tmp_path / f"{SAID}0").read_text()


def drifting(rank):
    group, model = Processes(rank, 2), torch.nn.Linear(2, 2)
    torch.nn.init.zeros_(model.weight)
    torch.nn.init.zeros_(model.bias)
    group.require_same_weights(model, "before")
    torch.nn.init.constant_(model.weight, rank)
    group.require_same_weights(model, "after")


@pytest.mark.slow
def test_killed_and_interrupted_runs_go_on_as_if_they_had_not_been(experiment, tmp_path):
    config = experiment("lam")
    assert start(tmp_path / "a", trainings, [(config, tmp_path / "whole")]) == [0, 0]
    out = tmp_path / "run"
    for number, (until, which, signal_, codes) in enumerate(
        [
            (8, 1, signal.SIGKILL, [2, -signal.SIGKILL]),
            (4, 0, signal.SIGKILL, [-signal.SIGKILL, 2]),
            (5, 0, signal.SIGINT, [130, 2]),
        ]
    ):
        arguments = (config, out, until, which, signal_)
        assert start(tmp_path / str(number), disturbed, *arguments) == codes
    assert "another process of this training" in (tmp_path / "0" / f"{SAID}0").read_text()
    assert max(RunFolder.open(out).checkpoints()) == 10
    with pytest.raises(ConfigError, match="begun by 2 processes and would go on by 1"):
        train(config, out)
    assert start(tmp_path / "b", trainings, [(config, out)]) == [0, 0]
    run, whole = RunFolder.open(out), RunFolder.open(tmp_path / "whole")
    assert numbers(run) == numbers(whole)
    assert weights(run) == weights(whole)
