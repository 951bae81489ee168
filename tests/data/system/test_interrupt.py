"""Ctrl-C waits for a good moment, and reaches one process of a group alone."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from lawm_data.system.interrupt import blocked_interrupts, deferred_interrupts

BOTH = (signal.SIGINT, signal.SIGTERM)


def handlers() -> list[object]:
    return [signal.getsignal(number) for number in BOTH]


@pytest.mark.parametrize("number", BOTH)
def test_the_first_asks_and_the_second_acts(number: signal.Signals) -> None:
    acted: list[int] = []
    before = signal.signal(number, lambda number, frame: acted.append(number))
    own = handlers()
    try:
        with deferred_interrupts() as interrupt:
            assert not interrupt.requested
            os.kill(os.getpid(), number)
            assert interrupt.requested
            assert acted == []
            os.kill(os.getpid(), number)
            assert acted == [number]
        assert handlers() == own
    finally:
        signal.signal(number, before)


def test_handlers_are_put_back_whatever_happens() -> None:
    def fail() -> None:
        with deferred_interrupts():
            assert handlers() != own
            raise ValueError("oops")

    own = handlers()
    with pytest.raises(ValueError, match="oops"):
        fail()
    assert handlers() == own


def test_threads_leave_signals_alone() -> None:
    seen: list[list[object]] = []

    def look() -> None:
        with deferred_interrupts() as interrupt:
            seen.append(handlers())
            assert not interrupt.requested

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [handlers()]


def test_who_is_started_blocked_does_not_see_it() -> None:
    code = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    command = [sys.executable, "-c", code]
    with blocked_interrupts():
        inside = subprocess.run(command, capture_output=True, text=True)
    after = subprocess.run(command, capture_output=True, text=True)
    assert (inside.stdout, after.stdout) == ("True\n", "False\n")
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
