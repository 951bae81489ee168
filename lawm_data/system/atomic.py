"""Files that are either wholly there or not there: temporary name, flush, rename, one writer."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from lawm_schemas import StorageError

TEMPORARY = ".tmp-"
"""Prefix of names that a dead writer may leave behind and the next one removes."""
LOCK = ".lock"
"""File in a folder that its writer holds."""
HELD = f"{TEMPORARY}held-"
"""Prefix of those on which their writer holds a lock while it lives."""
REPLACED = ".replaced"
"""Suffix of a folder that is about to be replaced by one of the same name."""


@contextlib.contextmanager
def storage_errors(where: Path | str) -> Iterator[None]:
    """Turn any ``OSError`` inside into a ``StorageError`` that names the place."""
    try:
        yield
    except OSError as error:
        raise StorageError.from_os_error(error, str(where)) from None


def temporary_name(path: Path, prefix: str = TEMPORARY) -> Path:
    """A fresh name beside ``path``, on the same file system."""
    return path.with_name(f"{prefix}{os.getpid()}-{secrets.token_hex(4)}-{path.name}")


def write_file(path: Path, data: bytes | memoryview) -> None:
    """Write a file so that a reader sees the old content or the new one, even after a crash.

    What a writer that was killed has left in the folder is removed.

    Raises:
        StorageError: the file system refused; the previous file is intact.
    """
    with storage_errors(path):
        remove_dead(path.parent)
        temporary, descriptor = make_held(lambda: _new_file(path))
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        sync_folder(path.parent)


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder of files so that it appears complete or not at all.

    What a writer that was killed has left beside it is removed, and a folder that was giving way
    then gets its name back.

    Args:
        folder: replaced when it exists.
        files: contents by name.

    Raises:
        StorageError: the file system refused; the previous folder is intact.
    """
    old = folder.with_name(f".{folder.name}{REPLACED}")
    with storage_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        remove_dead(folder.parent)
        new, descriptor = make_held(lambda: _new_folder(folder))
        try:
            for name, content in files.items():
                write_file(new / name, content)
            if not folder.exists():
                new.rename(folder)
            elif not _change_places(new, folder):
                shutil.rmtree(old, ignore_errors=True)
                # a kill in between leaves the old one under this name
                folder.rename(old)
                new.rename(folder)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            if old.exists() and not folder.exists():
                old.rename(folder)
            raise
        finally:
            os.close(descriptor)
        sync_folder(folder.parent)
        for gone in (new, old):
            if gone.is_dir():
                shutil.rmtree(gone, ignore_errors=True)
            else:
                gone.unlink(missing_ok=True)


def _change_places(one: Path, other: Path) -> bool:
    """Let two folders change places at once; False where the system cannot, and nothing is done."""
    call = getattr(ctypes.CDLL(None), "renameat2", None)  # of Linux
    here, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE
    names = os.fsencode(one), os.fsencode(other)
    return call is not None and call(here, names[0], here, names[1], exchange) == 0


def own_folder(folder: Path) -> None:
    """Make a folder inside of what is written to, unless it is there.

    Raises:
        StorageError: it is a link, so that somebody else's files would be changed; or the file
            system refused.
    """
    if folder.is_symlink():
        hint = "put the folder itself in its place (cp -rL)"
        raise StorageError("is a link: nothing is written through it", str(folder), hint)
    with storage_errors(folder):
        folder.mkdir(exist_ok=True)


def remove_dead(folder: Path) -> None:
    """Remove what ``write_file`` and ``write_folder`` have left in a folder when they were killed.

    Who is at work holds a lock on what it makes, which the kernel takes from the dead.
    """
    with contextlib.suppress(OSError):
        names = [entry.name for entry in os.scandir(folder)]
        for name in names:
            if name.startswith(HELD):
                remove_if_dead(folder / name)
        at_work = [name for name in names if name.startswith(HELD) and (folder / name).exists()]
        for name in names:
            owner = name.removeprefix(".").removesuffix(REPLACED)
            if not name.endswith(REPLACED) or any(other.endswith(f"-{owner}") for other in at_work):
                continue
            if (folder / owner).exists():
                shutil.rmtree(folder / name, ignore_errors=True)
            else:
                (folder / name).rename(folder / owner)


def remove_if_dead(entry: Path) -> None:
    """Remove what was made by ``make_held``, unless its maker lives."""
    with contextlib.suppress(OSError), contextlib.ExitStack() as opened:
        access = os.O_RDONLY if entry.is_dir() else os.O_RDWR
        descriptor = os.open(entry, access | os.O_NOFOLLOW | os.O_NONBLOCK)
        opened.callback(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(descriptor), entry.lstat()):
            return  # it has become what it was to become
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def make_held(make: Callable[[], Path]) -> tuple[Path, int]:
    """Something new, and a descriptor that holds a lock on it until it is closed.

    Args:
        make: makes an empty file or folder under a name of its own.
    """
    while True:  # who looked for the dead may have removed it before it was locked
        path = make()
        with contextlib.suppress(FileNotFoundError), contextlib.ExitStack() as failed:
            access = os.O_RDONLY if path.is_dir() else os.O_WRONLY
            descriptor = os.open(path, access | os.O_NOFOLLOW)
            failed.callback(os.close, descriptor)
            with contextlib.suppress(OSError):  # a file system without locks: nobody removes it
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(descriptor), path.lstat()):
                failed.pop_all()
                return path, descriptor


def _new_file(path: Path) -> Path:
    temporary = temporary_name(path, HELD)
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    return temporary


def _new_folder(path: Path) -> Path:
    temporary = temporary_name(path, HELD)
    temporary.mkdir()
    return temporary


def require_space(folder: Path, size: int, hint: str = "free some space") -> None:
    """Refuse to begin what the disk cannot hold.

    Args:
        folder: where it goes.
        size: bytes.
        hint: what to do about it.

    Raises:
        StorageError: names both sizes.
    """
    with storage_errors(folder):
        free = shutil.disk_usage(folder).free
    if size > free:
        unit, name = (1e9, "GB") if size >= 1e9 else (1e6, "MB")
        what = f"{size / unit:.3g} {name} are to come, {free / unit:.3g} {name} are free"
        raise StorageError(what, str(folder), hint)


def sync_folder(folder: Path) -> None:
    """Make renames and removals inside a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_file(path: Path) -> str:
    """Checksum of a file's bytes, in hexadecimal."""
    with storage_errors(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_file(path: Path) -> bytes:
    """The bytes of a file in a folder that may be somebody else's: a pipe in its place would wait.

    Raises:
        StorageError: it is no regular file, or the file system refused.
    """
    with storage_errors(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise StorageError("is no regular file", str(path), "restore it from a copy")
            return file.read()


def hold(path: Path, where: str, what: str) -> int:
    """Hold a lock file until the descriptor that is returned is closed, or its holder dies.

    Args:
        path: the file; it is made when there is none.
        where: what it stands for, for messages.
        what: the kind of that.

    Raises:
        StorageError: another process holds it, the file system has no locks, or something else
            than a lock has its name.
    """
    while True:
        descriptor = _hold(path, where, what)
        # the last one to hold it may have removed it meanwhile
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.lstat()):
                return descriptor
        os.close(descriptor)


def _hold(path: Path, where: str, what: str) -> int:
    descriptor = _open_lock(path, where)
    with contextlib.ExitStack() as failed:
        failed.callback(os.close, descriptor)
        with storage_errors(where):
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = f"process {holder}" if holder.isdecimal() else "another process"
            hint = "wait until it ends or stop it"
            raise StorageError(f"{who} is writing to this {what}", where, hint) from None
        except OSError as error:
            text = f"its file system gives no locks ({error.strerror})"
            raise StorageError(text, where, "choose a place on another file system") from None
        # The number is only a help for people: without it the lock holds just the same. What is
        # something else's content, under a second name, stays.
        if not holder or holder.isdecimal():
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        failed.pop_all()
    return descriptor


def _open_lock(path: Path, where: str) -> int:
    """Open the file of a lock, never what a link of its name points to."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        if path.is_symlink() or path.is_dir():
            raise _no_lock(path) from None
        raise StorageError.from_os_error(error, where) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _no_lock(path)
    return descriptor


def _no_lock(path: Path) -> StorageError:
    kind = "link" if path.is_symlink() else "folder" if path.is_dir() else "device or pipe"
    return StorageError(f"is a {kind} in the place of a lock", str(path), "move it away")


def is_alive(process: int) -> bool:
    """Whether there is a process of this number on this machine."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return process > 0


def is_locked(folder: Path) -> bool:
    """Whether a living process holds the ``WriterLock`` of a folder."""
    try:
        # a pipe in its place would be waited for
        descriptor = os.open(folder / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


class WriterLock:
    """The right to write to a folder; the kernel gives it back when its holder dies.

    Args:
        folder: what is locked; it exists.
        what: its kind, for the message.

    Raises:
        StorageError: another writer holds it.
    """

    def __init__(self, folder: Path, what: str = "corpus") -> None:
        self._descriptor, self._path = -1, folder / LOCK
        self._made = not self._path.exists()
        self._descriptor = hold(self._path, str(folder), what)

    def __del__(self) -> None:
        self.release()

    @property
    def released(self) -> bool:
        """Whether the right was given back."""
        return self._descriptor < 0

    def withdraw(self) -> None:
        """Let others write, and leave no file of the lock where there was none."""
        if self._made and not self.released:
            with contextlib.suppress(OSError):
                self._path.unlink()
        self.release()

    def release(self) -> None:
        """Let others write; releasing twice is fine."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
