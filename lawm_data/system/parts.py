"""Parts of an output, in a folder beside it until all are there: what a kill does not undo."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from lawm_data.system.atomic import TEMPORARY, storage_errors
from lawm_data.system.output import remove


def parts_folder(out: Path) -> Path:
    """Where the parts of ``out`` wait: beside it, never inside."""
    return out.with_name(out.name + ".parts")


def open_parts(out: Path, purpose: str) -> Path:
    """The folder of an output's parts; only by the one process that makes the output.

    Parts of another purpose are removed, and what a process was writing when it was killed.

    Args:
        out: the output.
        purpose: everything that the parts depend on.

    Raises:
        StorageError: the file system refused.
    """
    parent = parts_folder(out.absolute())
    folder = parent / hashlib.sha256(purpose.encode()).hexdigest()[:16]
    with storage_errors(parent):
        if parent.exists() and not folder.exists():
            remove(parent)  # of something else, which was not finished
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob(f"{TEMPORARY}*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return folder


def remove_parts(out: Path) -> None:
    """Remove what ``open_parts`` made, if it is there.

    Raises:
        StorageError: the file system refused.
    """
    parent = parts_folder(out.absolute())
    with storage_errors(parent):
        if parent.exists():
            remove(parent)
