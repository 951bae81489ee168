"""Processes end with those that they work for."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from lawm_data.system.workers import executor

PREPARE = partial(partial, subprocess.getoutput)


def test_closing_ends_the_workers(tmp_path: Path) -> None:
    items = ["echo $PPID", *(f"sleep 60; touch {tmp_path}/late" for _ in range(2))]
    results = executor()(PREPARE, items, 1)
    worker = int(next(results))
    os.kill(worker, 0)
    getattr(results, "close")()  # noqa: B009 - as above
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


def test_workers_do_not_outlive_the_process_they_work_for(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys; from functools import partial\n"
        "from lawm_data.system.workers import executor\n"
        "list(executor()(partial(partial, subprocess.getoutput), [sys.argv[1]], 1))"
    )
    pid_file = tmp_path / "worker"
    command = f"echo $PPID > {pid_file}.part; mv {pid_file}.part {pid_file}; exec sleep 60"
    process = subprocess.Popen([sys.executable, "-c", code, command])
    while not pid_file.exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    worker = int(pid_file.read_text())
    for _ in range(500):
        if not _runs(worker):
            return
        time.sleep(0.02)
    raise AssertionError("the worker goes on")


def _runs(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"
