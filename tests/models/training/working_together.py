"""Trainings by two processes, which are started here as ``torchrun`` would."""

import multiprocessing
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from lawm_schemas import LawmError

from lawm_models.training.trainer import train

COUNT = 2
"""Processes."""
PRELOADED = [
    __name__,
    "lawm_models.algorithms.lam",
    "lawm_models.algorithms.lawm",
    "torch.utils.tensorboard",
    "torch._dynamo",  # the first optimizer imports it, which takes two seconds
]
SAID = "said"
"""Holds what the first one says before it ends."""


def start(folder: Path, work, *arguments) -> list[int]:
    """Exit codes of processes that each do ``work(rank, *arguments)``."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    folder.mkdir(parents=True, exist_ok=True)
    processes = [
        context.Process(target=_run, args=(folder, work, rank, *arguments)) for rank in range(COUNT)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def _run(folder: Path, work, rank: int, *arguments) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(str(folder / "store"), COUNT)
    patience = timedelta(minutes=5)
    dist.init_process_group("gloo", timeout=patience, world_size=COUNT, rank=rank, store=store)
    try:
        work(rank, *arguments)
    except LawmError as error:
        (folder / f"{SAID}{rank}").write_text(str(error))
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    dist.destroy_process_group()


def trainings(rank: int, jobs) -> None:
    """Train one after the other; a job has its configuration, or one for each process."""
    for configs, out in jobs:
        train(configs[rank] if isinstance(configs, list) else configs, out)


class Killer:
    """A progress of the first process that sends a signal to one of them after so many steps."""

    def __init__(self, until: int, signal_: signal.Signals, pid: int) -> None:
        self.left, self.signal, self.pid = until, signal_, pid

    def start(self, stage, total):
        self.left += 1  # the next call tells what was done before

    def reach(self, done, metrics=None):
        self.left -= 1
        if self.left == 0:
            os.kill(self.pid, self.signal)

    def stop(self):
        pass


def disturbed(rank: int, config, out: Path, until: int, which: int, signal_) -> None:
    """A training in which process ``which`` gets a signal after so many steps."""
    pids = [0] * COUNT
    dist.all_gather_object(pids, os.getpid())
    train(config, out, Killer(until, signal_, pids[which]))
