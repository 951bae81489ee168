"""C that is compiled on the machine where it runs, once, and kept for later processes."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from lawm_schemas import LawmError

from lawm_data.system.atomic import storage_errors, write_file
from lawm_data.system.home import home_folder

LONGEST = 120
"""Seconds that a compiler may take."""


def load_library(source: Path, options: Sequence[str]) -> ctypes.CDLL:
    """A file of C as a shared library, made by ``$CC`` or ``cc``.

    It is kept in ``$XDG_CACHE_HOME/lawm/compiled`` (``~/.cache/…``), followed by its SHA-256, under
    a name that depends on source, command and kind of machine. One that is damaged is made anew.

    Raises:
        LawmError: there is no compiler, or it refuses; others may write where it is kept; there
            is no home folder to keep it in.
        StorageError: the file system refuses.
    """
    try:
        command = [*(shlex.split(os.environ.get("CC", "")) or ["cc"]), *options]
    except ValueError as error:
        raise LawmError(f"is no command: {error}", "CC", "name a C compiler") from None
    cache = os.environ.get("XDG_CACHE_HOME") or home_folder("XDG_CACHE_HOME") / ".cache"
    made_of = source.read_bytes() + shlex.join([*command, platform.machine()]).encode()
    name = f"{source.stem}-{hashlib.sha256(made_of).hexdigest()[:16]}.so"
    kept = Path(cache) / "lawm" / "compiled" / name
    with storage_errors(kept):
        kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _own(kept.parent):
            hint = f"chmod go-w {kept.parent}, if it is yours, or set XDG_CACHE_HOME"
            raise LawmError("others may write here, so nothing is loaded", str(kept.parent), hint)
        if not _whole(kept):
            made = _compiled(source, command)
            write_file(kept, made + hashlib.sha256(made).digest())
    try:
        return ctypes.CDLL(str(kept))
    except OSError as error:
        raise LawmError(f"cannot be loaded: {error}", str(kept), "remove it") from None


def _own(path: Path) -> bool:
    """Whether nobody else can write there."""
    found = path.stat()
    others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return found.st_uid == os.getuid() and not others


def _whole(kept: Path) -> bool:
    """Whether a library is as it was written. Calls into one that was cut end the process."""
    if not kept.is_file() or not _own(kept):
        return False
    made = kept.read_bytes()
    size = hashlib.sha256().digest_size
    return hashlib.sha256(made[:-size]).digest() == made[-size:]


def _compiled(source: Path, command: Sequence[str]) -> bytes:
    compiler, *_ = command
    try:
        with TemporaryDirectory() as folder:
            made = Path(folder) / "library.so"
            whole = [*command, "-shared", "-fPIC", str(source), "-o", str(made), "-lm"]
            run = subprocess.run(
                whole, capture_output=True, text=True, errors="replace", timeout=LONGEST
            )
            if run.returncode:
                raise LawmError(f"does not compile: {run.stderr}", str(source))
            return made.read_bytes()
    except (OSError, subprocess.TimeoutExpired) as error:
        hint = "install a C compiler, or name it in CC"
        raise LawmError(f"cannot be run: {error}", compiler, hint) from None
