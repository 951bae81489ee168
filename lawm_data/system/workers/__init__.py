"""Workers by backend: one module of this folder, or of another package, is one backend."""

from __future__ import annotations

from collections.abc import Callable

from lawm_data.system.registry import Modules
from lawm_data.system.workers._protocol import BackendModule as BackendModule
from lawm_data.system.workers._protocol import Executor as Executor
from lawm_data.system.workers._protocol import Lost as Lost
from lawm_data.system.workers._protocol import Perform as Perform
from lawm_data.system.workers._protocol import Prepare as Prepare

BACKENDS = Modules[BackendModule]("backend", __name__, "lawm.workers", {"executor": Callable})
"""Every backend; a module imports what it needs only when it works."""


def executor(backend: str = "processes") -> Executor:
    """What runs work on this backend.

    Args:
        backend: one of ``BACKENDS.names()``.

    Raises:
        ConfigError: there is no such backend, or its package is not installed.
    """
    return BACKENDS.load(backend, "--backend").executor()
