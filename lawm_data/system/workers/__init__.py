"""Workers: one file per backend, looked up by name and loaded when asked for."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from lawm_schemas import ConfigError

from lawm_data.system.workers._protocol import Executor as Executor
from lawm_data.system.workers._protocol import Lost as Lost
from lawm_data.system.workers._protocol import Perform as Perform
from lawm_data.system.workers._protocol import Prepare as Prepare


def backends() -> tuple[str, ...]:
    """Names of the backends: the public modules of this folder."""
    return tuple(m.name for m in iter_modules(__path__) if not m.name.startswith("_"))


def executor(backend: str = "processes") -> Executor:
    """What runs work on this backend.

    Args:
        backend: one of ``backends()``.

    Raises:
        ConfigError: there is no such backend, or its package is not installed.
    """
    if backend not in backends():
        what = f"unknown backend {backend!r}"
        raise ConfigError(what, "--backend", f"give {' or '.join(backends())}")
    return import_module(f"{__name__}.{backend}").executor()
