"""An output that is made beside its place: by one process at a time, whole or not at all.

The name ``.tmp-PID-…-NAME`` beside ``NAME`` is what a process makes of it. Who makes it holds the
lock ``.tmp-lock-NAME`` meanwhile, which the kernel takes from the dead. So whoever gets the lock
knows that nobody alive is at work, and removes what the dead have left, whatever their numbers.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from lawm_schemas import StorageError

from lawm_data.atomic import (
    TEMPORARY,
    hold,
    is_alive,
    storage_errors,
    sync_folder,
    temporary_name,
)


@contextlib.contextmanager
def claimed(out: Path) -> Iterator[None]:
    """The right to make an output; what dead processes have left of it is removed.

    Args:
        out: a file or a folder, there or not; the folder that it is in exists.

    Raises:
        StorageError: another process is making it.
    """
    lock = _lock_path(out)
    with storage_errors(out):
        descriptor = _hold(lock, out)
    try:
        with storage_errors(out):
            for entry in _begun(out):
                remove(entry)
        yield
    finally:
        # while it is held: who opens it meanwhile finds that it is not the one with this name
        with contextlib.suppress(OSError):
            lock.unlink()
        os.close(descriptor)


@contextlib.contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A place for a folder that gets its name at the end, or vanishes with an error.

    Raises:
        StorageError: something is already there, another process is making it, or the file system
            refused.
    """
    out = out.absolute()
    with storage_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    with claimed(out):
        temporary = temporary_name(out)
        try:
            yield temporary
            if out.exists():
                raise StorageError("something is already there", str(out), "choose another place")
            with storage_errors(out):
                temporary.rename(out)
                sync_folder(out.parent)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def abandoned(out: Path) -> list[Path]:
    """What dead processes have left beside an output, as far as their numbers tell."""
    return [entry for entry in _begun(out) if not is_alive(_maker(entry))]


def remove(entry: Path) -> None:
    """Remove a file, or a folder with all that is in it."""
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink(missing_ok=True)


def _hold(lock: Path, out: Path) -> int:
    """Hold the lock that has its name: the last one to hold it may have removed it meanwhile."""
    while True:
        descriptor = hold(lock, str(out), "output")
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), lock.stat()):
                return descriptor
        os.close(descriptor)


def _lock_path(out: Path) -> Path:
    return out.with_name(f"{TEMPORARY}lock-{out.name}")


def _begun(out: Path) -> list[Path]:
    """Everything beside an output that is, or was, to become it; its lock is not."""
    own = re.compile(rf"({re.escape(TEMPORARY)}(\d+-[0-9a-f]{{8}}|lock)-)+{re.escape(out.name)}")
    with storage_errors(out):
        entries = sorted(out.parent.iterdir()) if out.parent.is_dir() else []
    lock = _lock_path(out).name
    return [entry for entry in entries if own.fullmatch(entry.name) and entry.name != lock]


def _maker(entry: Path) -> int:
    """Number of the process that made a temporary name."""
    found = re.search(r"\d+", entry.name.removeprefix(TEMPORARY))
    return int(found[0]) if found else 0
