"""Versions of what decides the numbers, as runs and corpora record them."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path

from lawm_data.system.registry import other_packages

PACKAGES = ("lawm", "torch", "numpy", "mujoco", "dm_control")


def installed_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide the numbers, and the git commit if any.

    Those are also the packages that bring an algorithm, an environment or another part.
    """
    return dict(_versions(tuple(sys.path)))


@cache
def _versions(path: tuple[str, ...]) -> dict[str, str]:
    """Those on a path; what a process has imported stays as it was when it asked first."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    versions |= other_packages()
    commit = _commit(Path(__file__).resolve().parent.parent)
    return {**versions, "commit": commit} if commit else versions


def _commit(checkout: Path) -> str | None:
    if not (checkout / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
