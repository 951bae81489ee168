"""A run that was stopped goes on as if it had not been."""

import multiprocessing
import random
import signal
import time

import pytest
from runs_compared import Watcher, numbers, weights

from lawm_models.training.run_folder import RunFolder
from lawm_models.training.trainer import train


def test_interrupted_run_resumes_exactly(config, whole, tmp_path):
    """In the middle of a log interval, before and after checkpoints, between stages."""
    handler = signal.getsignal(signal.SIGINT)
    total, done = sum(config.steps.values()), 0
    for steps in (4, 3, 5, 1, 6):
        if done + steps > total:
            break
        watcher = Watcher(until=steps)
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path / "run", watcher)
        assert watcher.steps == steps
        assert watcher.stopped
        assert signal.getsignal(signal.SIGINT) is handler
        done += steps
        assert max(RunFolder.open(tmp_path / "run").checkpoints()) == done
    run = train(config, tmp_path / "run")
    assert numbers(run) == numbers(whole)
    assert weights(run) == weights(whole)


def test_killed_run_resumes_exactly(experiment, tmp_path):
    """SIGKILL at random moments of the training, the checkpoints and the log."""
    config = experiment("lawm", steps={"model": 20, "agent": 20}, window=4, checkpoint_every=4)
    whole = train(config, tmp_path / "whole")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lawm_models.training.trainer", "lawm_models.algorithms.lawm"])
    out, killed = tmp_path / "run", 0
    for attempt in range(3):
        process = context.Process(target=train, args=(config, out))
        process.start()
        # every trainer opens an event file of its own when it starts to train
        while process.is_alive() and len(list(out.glob("tensorboard/*"))) <= attempt:
            time.sleep(0.002)
        time.sleep(random.uniform(0, 0.3))
        process.kill()
        process.join()
        killed += process.exitcode == -signal.SIGKILL
    assert killed
    run = train(config, out)
    assert numbers(run) == numbers(whole)
    assert weights(run) == weights(whole)
    assert not [p.name for p in (out / "checkpoints").iterdir() if p.name.startswith(".")]


def test_run_with_other_batches_resumes_exactly(experiment, tmp_path):
    """Before, at and after the change of the loader."""
    config = experiment("idm_td3_bc", batches={"idm": {"batch_size": 6, "labeled_ratio": 1.0}})
    whole = train(config, tmp_path / "whole")
    for steps in (7, 5, 4):
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path / "run", Watcher(until=steps))
    run = train(config, tmp_path / "run")
    assert numbers(run) == numbers(whole)
    assert weights(run) == weights(whole)
