#!/bin/sh
# torch 2.13.0's SummaryWriter, read by tensorboard 2.21.0.
# Guess: of two writers that a process opens on one folder, one after the other, the second one's points are read
# after the first one's, and its purge_step hides what the first wrote from that step on. Behaviour: files are read
# in the order of their names, which say the second and end with the number of the writer, without zeros before it.
# Within one second the eleventh writer (.10) is read before the tenth (.9), whose purge_step hides all of it: a
# training that goes on within the second in which it began shows only what it has taken back.
set -e
python=${PYTHON:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0 tensorboard==2.21.0 numpy==2.2.6
cat >"$folder/check.py" <<'PYTHON'
import logging
import sys
import time
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

logging.disable(logging.WARNING)  # every purge is one


def train(folder, begin, loss):
    with SummaryWriter(folder, purge_step=begin) as board:
        for step in range(begin, begin + 4):
            board.add_scalar("loss", loss, step)


def shown(folder):
    found = EventAccumulator(folder).Reload()
    return [(event.step, event.value) for event in found.Scalars("loss")]


wanted = [(1, 0.5), (2, 0.5), (3, 0.25), (4, 0.25), (5, 0.25), (6, 0.25)]
SummaryWriter(sys.argv[1]).close()  # number 0 of the process
for first in range(1, 10, 2):
    folder = str(Path(sys.argv[1], str(first)))
    time.sleep(1 - time.time() % 1)  # both within one second
    train(folder, 1, 0.5)
    train(folder, 3, 0.25)  # it goes on from step 3
    names = sorted(path.name for path in Path(folder).iterdir())
    assert len({name.split(".")[3] for name in names}) == 1, "too slow; run it again"
    order = " before ".join("." + name.split(".")[-1] for name in names)
    print(f"{order}: (step, loss) {shown(folder)}")
    assert (shown(folder) == wanted) == (first != 9)
assert shown(folder) == [(step, 0.5) for step in (1, 2, 3, 4)]
PYTHON
"$folder/venv/bin/python" -W ignore "$folder/check.py" "$folder/board"
