"""C that is compiled on the machine where it runs, once, and kept for later processes."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from lawm_schemas import LawmError

from lawm_data.system.atomic import storage_errors, write_file

LONGEST = 120
"""Seconds that a compiler may take."""


def load_library(source: Path, options: Sequence[str]) -> ctypes.CDLL:
    """A file of C as a shared library, made by ``$CC`` or ``cc``.

    It is kept in ``$XDG_CACHE_HOME/lawm`` (``~/.cache/lawm``) under a name that depends on source
    and command.

    Raises:
        LawmError: there is no compiler, or it refuses.
        StorageError: the file system refuses.
    """
    command = [*shlex.split(os.environ.get("CC", "cc")), *options]
    made_of = source.read_bytes() + shlex.join(command).encode()
    name = f"{source.stem}-{hashlib.sha256(made_of).hexdigest()[:16]}.so"
    kept = _cache() / "lawm" / name
    if not kept.is_file():
        with storage_errors(kept):
            kept.parent.mkdir(parents=True, exist_ok=True)
        write_file(kept, _compiled(source, command))
    try:
        return ctypes.CDLL(str(kept))
    except OSError as error:
        raise LawmError(f"cannot be loaded: {error}", str(kept), "remove it") from None


def _cache() -> Path:
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # neither HOME nor the system knows the user, as in some containers
        raise LawmError("no home folder to keep it in", "~/.cache", "set XDG_CACHE_HOME") from None


def _compiled(source: Path, command: Sequence[str]) -> bytes:
    compiler, *_ = command
    with TemporaryDirectory() as folder:
        made = Path(folder) / "library.so"
        whole = [*command, "-shared", "-fPIC", str(source), "-o", str(made), "-lm"]
        try:
            subprocess.run(whole, check=True, capture_output=True, text=True, timeout=LONGEST)
        except subprocess.CalledProcessError as error:
            raise LawmError(f"does not compile: {error.stderr}", str(source)) from None
        except (OSError, subprocess.TimeoutExpired) as error:
            hint = "install a C compiler, or name it in CC"
            raise LawmError(f"cannot be run: {error}", compiler, hint) from None
        return made.read_bytes()
