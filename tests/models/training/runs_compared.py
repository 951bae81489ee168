"""What two runs have to have in common, and a run stopped on the way."""

import os
import signal

from lawm_models.training.checkpoint import MODEL


def numbers(run):
    """Everything in the log but the clock."""
    return [{k: v for k, v in line.items() if k != "elapsed"} for line in run.metrics()]


def weights(run):
    return (run.latest_checkpoint() / MODEL).read_bytes()


class Watcher:
    """A progress that presses Ctrl-C after so many steps of its own."""

    def __init__(self, until=None):
        self.until, self.steps, self.stages, self.stopped = until, 0, [], False

    def start(self, stage, total):
        self.stages.append((stage, total))
        self.steps -= 1  # the next call tells what was done before

    def reach(self, done, metrics=None):
        self.steps += 1
        if self.steps == self.until:
            os.kill(os.getpid(), signal.SIGINT)

    def stop(self):
        self.stopped = True
