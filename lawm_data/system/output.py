"""An output that is made beside its place: by one process at a time, whole or not at all.

The name ``.tmp-PID-…-NAME`` beside ``NAME`` is what a process makes of it. Who makes it holds the
lock ``.tmp-lock-NAME`` meanwhile, which the kernel takes from the dead. So whoever gets the lock
knows that nobody alive is at work, and removes what the dead have left, whatever their numbers.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lawm_schemas import MANIFEST, StorageError

from lawm_data.system.atomic import (
    TEMPORARY,
    hold,
    is_alive,
    make_held,
    remove_if_dead,
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
        descriptor = hold(lock, str(out), "output")
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
def new_output(out: Path) -> Iterator[Path]:
    """A place for a file or folder that gets its name at the end, or vanishes with an error.

    Args:
        out: where it will be; missing folders above it are made, and vanish with it.

    Yields:
        A temporary name beside it for the block to write to. It is synced and renamed at the end.

    Raises:
        StorageError: something is already there, another process is making it, or the file system
            refused.
    """
    out = out.absolute()
    with folder_for(out), claimed(out):
        yield from _made(out)


@contextlib.contextmanager
def folder_for(out: Path) -> Iterator[None]:
    """Make the folders above an output; those that were missing vanish again with an error."""
    above = _make_folders(out.parent)
    try:
        yield
    except BaseException:
        for folder in above:
            with contextlib.suppress(OSError):  # others may have put something there
                folder.rmdir()
        raise


def _made(out: Path) -> Iterator[Path]:
    """The temporary name of ``new_output``, once the right to make it is held."""
    temporary = temporary_name(out)
    try:
        yield temporary
        if out.exists() or out.is_symlink():
            raise StorageError("something is already there", str(out), "choose another place")
        with storage_errors(out):
            _sync_tree(temporary)
            temporary.rename(out)
            sync_folder(out.parent)
    except StorageError as error:
        _discard(temporary)
        # nobody knows the temporary name, and nothing is left of it
        place = error.where.replace(str(temporary), str(out))
        raise StorageError(error.what, place, error.hint) from None
    except BaseException:
        _discard(temporary)
        raise


def _discard(temporary: Path) -> None:
    if temporary.is_dir():
        shutil.rmtree(temporary, ignore_errors=True)
    with contextlib.suppress(OSError):
        temporary.unlink(missing_ok=True)


def _make_folders(folder: Path) -> list[Path]:
    """Make a folder; returns those that were not there, the innermost first."""
    with storage_errors(folder):
        missing = list(itertools.takewhile(lambda f: not f.exists(), (folder, *folder.parents)))
        folder.mkdir(parents=True, exist_ok=True)
    return missing


def _sync_tree(path: Path) -> None:
    """Make a file, or a folder and all that is in it, durable."""
    for folder, _, names in os.walk(path):
        for file in (Path(folder) / name for name in names):
            if file.is_file():  # to open a pipe would wait for somebody who writes to it
                sync_file(file)
        sync_folder(Path(folder))
    if path.is_file():
        sync_file(path)


def sync_file(path: Path) -> None:
    """Make the content of a file durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def abandoned(out: Path) -> list[Path]:
    """What dead processes have left beside an output, as far as their numbers tell."""
    return [entry for entry in _begun(out) if not is_alive(_maker(entry))]


def remove(entry: Path) -> None:
    """Remove a file, or a folder with all that is in it; after a kill none of it has its name."""
    if entry.is_dir() and not entry.is_symlink():
        if not entry.name.startswith(TEMPORARY):
            entry = entry.rename(temporary_name(entry))
        shutil.rmtree(entry)
    else:
        entry.unlink(missing_ok=True)


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


def require_free(out: Path) -> None:
    """Refuse a place where something is, or inside a corpus.

    What a process that was killed has left beside what is there is removed.

    Raises:
        StorageError: names the place.
    """
    with storage_errors(out):
        there = out.exists() or out.is_symlink()
    if there:
        remove_beside(out)
        raise StorageError("something is already there", str(out), "choose another place")
    refuse_inside(out)


def remove_beside(out: Path) -> None:
    """Remove what dead processes have left beside an output, if nobody is making it."""
    out = out.absolute()
    with contextlib.suppress(StorageError):
        if _lock_path(out).exists() or _begun(out):
            with claimed(out):
                pass


@contextlib.contextmanager
def scratch_folder(name: str) -> Iterator[Path]:
    """A folder among the temporary files, for as long as the block runs.

    Those of this name that processes of this user have left when they were killed are removed.

    Args:
        name: what it is for.
    """
    prefix = f"lawm-{name}-held-"
    above = Path(tempfile.gettempdir())
    with contextlib.suppress(OSError):
        for entry in above.glob(f"{prefix}*"):
            if entry.lstat().st_uid == os.getuid():
                remove_if_dead(entry)
    with storage_errors(above):
        folder, descriptor = make_held(lambda: Path(tempfile.mkdtemp(prefix=prefix)))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def refuse_inside(path: Path) -> None:
    """Refuse a place inside a corpus: what is written there could be taken for a part of it.

    Raises:
        StorageError: names the corpus.
    """
    # unlike Path.resolve, a link that leads to itself is no error here
    for folder in Path(os.path.realpath(path)).parents:
        if (folder / MANIFEST).is_file():
            raise StorageError(f"lies in the corpus {folder}", str(path), "choose another place")
