"""Where both programs begin: Ctrl-C is answered in one line from the first moment on.

Nothing is imported here but what Python has imported already: the commands take most of a second
to load, and who stops a program in that time should not be shown where it was.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from importlib import import_module
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

INTERRUPTED = 130
"""Exit code of Ctrl-C; the others stand in ``lawm_cli.errors``."""
AGAIN_IN = 0.01
"""Seconds until an interrupt that was dropped comes again."""


def lawm() -> int:
    """Run ``lawm`` and return its exit code."""
    return _run("lawm", "lawm_cli.app")


def lawm_data() -> int:
    """Run ``lawm-data`` and return its exit code."""
    return _run("lawm-data", "lawm_cli.data_app")


class _Messages(io.TextIOWrapper):
    """A stderr that cannot be written to, such as one on a full disk, stops no work."""

    def write(self, text: str, /) -> int:
        """As that of every text stream; what cannot be written is lost."""
        with contextlib.suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        """As that of every text stream; what cannot be written is lost."""
        with contextlib.suppress(OSError):
            super().flush()


def _open_streams() -> None:
    """Give closed streams the null device.

    Else the next file that is opened gets their number, and what is printed could end up in it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
    usual = sys.__stderr__  # which stays, and with it what it writes to
    if usual is sys.stderr and isinstance(usual, io.TextIOWrapper):
        sys.stderr = _Messages(usual.buffer, usual.encoding, usual.errors, line_buffering=True)


def _run(program: str, module: str) -> int:
    _open_streams()
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # it reads all packages for them
    line = f"{program}: interrupted\n".encode()

    def stop(number: int, frame: FrameType | None) -> None:
        # not an exception: libraries that are being imported turn those into errors of their own
        os.write(2, line)
        os._exit(INTERRUPTED)

    usual = signal.getsignal(signal.SIGINT)
    if usual is not signal.default_int_handler:  # somebody wants it otherwise, such as nohup
        return import_module(module).main()
    signal.signal(signal.SIGINT, stop)
    try:
        main = import_module(module).main
        signal.signal(signal.SIGINT, usual)
        _keep_interrupts()
        return main()
    except KeyboardInterrupt:  # before or after the command, which answers by itself
        os.write(2, line)
        return INTERRUPTED
    finally:
        # what was to be written is written; Python still takes a moment to end
        signal.signal(signal.SIGINT, stop)


def _keep_interrupts() -> None:
    """Let an interrupt come again that Python drops, with a traceback, in a callback of its own.

    A weakref's callback or a ``__del__`` cannot pass an exception on.
    """

    def dropped(what: UnraisableHookArgs) -> None:
        if issubclass(what.exc_type, KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, AGAIN_IN)
        else:
            sys.__unraisablehook__(what)

    signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    sys.unraisablehook = dropped
