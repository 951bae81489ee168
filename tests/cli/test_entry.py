"""Ctrl-C at any moment of a program's life: one line, exit code 130, no traceback."""

import subprocess
import sys

import pytest

# The tests may run where interrupts are ignored, and a child would inherit that.
BEGIN = """
import atexit, os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
stop = lambda: os.kill(os.getpid(), signal.SIGINT)
"""
RUN = "from lawm_cli.entry import {program} as run; sys.argv[1:] = {words!r}; sys.exit(run())"
WHEN_IMPORTED = """
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            stop()
sys.meta_path.insert(0, Finder())
"""


def started(before: str, program: str, *words: str) -> subprocess.CompletedProcess[str]:
    code = f"{BEGIN}{before}\n{RUN.format(program=program, words=list(words))}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("program", "module"),
    [
        ("lawm_data", "lawm_cli.data_app"),
        ("lawm_data", "pydantic_core"),
        ("lawm_data", "lawm_cli.curation"),
        ("lawm", "lawm_cli.app"),
    ],
)
def test_an_interrupt_while_the_program_loads_is_one_line(program: str, module: str) -> None:
    done = started(WHEN_IMPORTED.format(module=module), program, "info", "nowhere")
    line = f"{program.replace('_', '-')}: interrupted\n"
    assert (done.returncode, done.stdout, done.stderr) == (130, "", line)


def test_an_interrupt_while_the_program_works_or_ends_is_one_line() -> None:
    work = WHEN_IMPORTED.format(module="lawm_data.corpus")
    for before in (work, "atexit.register(stop)"):
        done = started(before, "lawm_data", "info", "nowhere")
        assert done.returncode == 130
        assert done.stderr.endswith("lawm-data: interrupted\n")
        assert "Traceback" not in done.stderr


def test_an_interrupt_that_python_drops_comes_again() -> None:
    """What a weakref's callback raises is lost, wherever the program happens to be then."""
    dropping = """
import weakref
class Thing:
    pass
thing = Thing()
def raises(_):
    raise KeyboardInterrupt
reference = weakref.ref(thing, raises)
def stop():
    global thing
    thing = None
"""
    done = started(
        dropping + WHEN_IMPORTED.format(module="lawm_data.corpus"), "lawm_data", "info", "x"
    )
    assert (done.returncode, done.stderr) == (130, "lawm-data: interrupted\n")


def test_who_ignores_interrupts_goes_on_doing_so() -> None:
    work = WHEN_IMPORTED.format(module="pydantic_core")
    ignored = f"signal.signal(signal.SIGINT, signal.SIG_IGN)\n{work}"
    done = started(ignored, "lawm_data", "--version")
    assert (done.returncode, done.stderr) == (0, "")
