"""What commands have in common: their version, and what a shell offers."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("program", "line", "offered"),
    [
        ("lawm", "lawm e", ["evaluate", "export-policy"]),
        ("lawm", "lawm train --algorithm lawm", ["lawm", "lawm_plus"]),
        ("lawm", "lawm settings --preset s", ["small"]),
        ("lawm-data", "lawm-data col", ["collect"]),
    ],
)
def test_a_shell_is_told_what_could_come_next(program: str, line: str, offered: list) -> None:
    name = program.replace("-", "_")
    environment = {
        f"_{name.upper()}_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split()) - 1),
    }
    done = call(name, [], environment)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, offered, "")


def test_completion_can_be_shown() -> None:
    # where no shell is a parent, as of a job that was detached, Typer finds none
    detection = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    shown = call("lawm", ["--show-completion", "bash"], detection)
    assert (shown.returncode, "complete -o default -F" in shown.stdout) == (0, True)


def call(
    name: str, words: list[str], environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Call a program in a process of its own."""
    code = f"import sys; from lawm_cli.entry import {name} as run; sys.exit(run())"
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def test_version(run) -> None:
    assert run("lawm-data", "--version").out == run("lawm", "--version").out == "0.1.0\n"
