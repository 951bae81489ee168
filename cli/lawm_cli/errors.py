"""From exceptions to exit codes: one line on stderr, never a traceback."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from copy import copy
from typing import Any, TextIO, cast

import typer
from lawm_schemas import LawmError, StorageError
from lawm_schemas.errors import reason_of

from lawm_cli.entry import INTERRUPTED

FOUND = 1
"""``validate`` found errors, ``audit`` could not prove what it should, a run of a study failed."""
REFUSED = 2
"""Something that the user can repair: an option, a file, a full disk."""
DEFECT = 70
"""A defect of this program (``EX_SOFTWARE``)."""
PIPE_CLOSED = 141
"""Whoever read the output stopped reading, as in ``| head``."""

RESUMABLE = ("train", "benchmark", "demo", "collect", "build")
"""Commands that go on where they were stopped."""
COMPLETE = "_{}_COMPLETE"
"""Environment variable with which a shell asks what could come next."""
EMPTY = re.compile(r"--[a-z-]+=")
"""An option without its value; as a path it would be the current folder."""
TORCH_MEMORY = re.compile(r"allocate memory|out of memory")
"""How PyTorch says that the memory of the machine, or of an accelerator, is full."""
TRACEBACK = "LAWM_TRACEBACK"
"""Environment variable: when set, defects show their traceback."""


def run(app: typer.Typer, program: str, arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code.

    Args:
        app: the commands.
        program: name shown in usage and before errors.
        arguments: the words after the program's name; those of the process when None.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    if any(word == "" or EMPTY.fullmatch(word) for word in words):
        return _report(program, "an argument is empty; give it a value or leave it out", REFUSED)
    output = _Output(sys.stdout)
    try:
        with redirect_stdout(cast(TextIO, output)):
            code = _invoke(app, program, words)
        output.flush()
        if output.failed is None:
            return code
        reason = StorageError.from_os_error(output.failed, "").what
        return _report(program, f"stdout: {reason}; all else was done", code or REFUSED)
    except (KeyboardInterrupt, typer.Abort):
        again = "; the same command goes on where it was" if {*words[:1]} & {*RESUMABLE} else ""
        return _report(program, f"interrupted{again}", INTERRUPTED)
    except LawmError as error:
        return [_report(program, line, REFUSED) for line in error.lines][-1]
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            return PIPE_CLOSED
        where = str(error.filename or " ".join([program, *words[:1]]))
        return _report(program, str(StorageError.from_os_error(error, where)), REFUSED)
    except Exception as error:
        if _is_of_memory(error):
            what = f"the memory is not enough ({reason_of(error)})"
            return _report(program, f"{what}; ask for less at once, or free some", REFUSED)
        code = _usage_error(program, error)
        if code is None and os.environ.get(TRACEBACK):
            raise
        text = f"{type(error).__name__}: {error}; set {TRACEBACK}=1 to see where, and report it"
        return _report(program, f"defect: {text}", DEFECT) if code is None else code
    finally:
        with suppress(OSError):
            output.flush()


def _invoke(app: typer.Typer, program: str, words: list[str]) -> int:
    # Not app(): that turns Ctrl-C and closed pipes into exit codes of its own.
    command = typer.main.get_command(_narrowed(app, words))
    try:
        if COMPLETE.format(program.replace("-", "_").upper()) in os.environ:
            command.main(words, prog_name=program)  # says what the shell asks for, and exits
        with command.make_context(program, words) as context:
            command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    except SystemExit as end:  # of the shell's completion
        return int(end.code or 0)
    return 0


def _narrowed(app: typer.Typer, words: list[str]) -> typer.Typer:
    """The program with the one command that is called alone: to build all of them takes long."""
    called = [
        command
        for command in app.registered_commands
        if words[:1] == [command.name or _name(command.callback)]
    ]
    if called and app.registered_callback:  # else a single command would take no name
        app = copy(app)
        app.registered_commands = called
    return app


def _name(function: Any) -> str:
    return typer.main.get_command_name(function.__name__)


def _is_of_memory(error: Exception) -> bool:
    torch = isinstance(error, RuntimeError) and TORCH_MEMORY.search(str(error))
    return isinstance(error, MemoryError) or bool(torch)


class _Output:
    """A stream that a full disk does not stop the work for; the last line says so.

    Args:
        stream: where everything goes.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.failed: OSError | None = None

    def write(self, text: str) -> int:
        """As that of the stream."""
        with self._noted():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """As that of the stream."""
        with self._noted():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if self.failed is None:
                # forgotten: Python would try once more to write it, at its exit
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            self.failed = error
            if isinstance(error, BrokenPipeError):  # nobody listens any more, as with head
                raise


def _usage_error(program: str, error: Exception) -> int | None:
    """Print what the parser of the command line raised; None for other errors."""
    # Typer has had its own copy of click's classes since 0.2x; both have this method.
    message = getattr(error, "format_message", None)
    if message is None:
        return None
    text = str(message())
    if "\n" in text:  # the help screen of a program called without a command
        with suppress(OSError):
            print(text, file=sys.stderr, flush=True)
        return REFUSED
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else program
    text = text.replace("Value error, ", "").rstrip(".")
    return _report(program, f"{text}; see {command} --help", REFUSED)


def _report(program: str, text: str, code: int) -> int:
    with suppress(OSError):  # the exit code says it all the same
        print(f"{program}: {' '.join(text.split())}", file=sys.stderr, flush=True)
    return code
