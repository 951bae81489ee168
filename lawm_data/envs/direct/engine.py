"""MuJoCo, whose compiled names no type checker sees."""

from __future__ import annotations

from importlib import import_module
from typing import Any, TypeAlias

mujoco: Any = import_module("mujoco")
MjModel: TypeAlias = Any
"""``mujoco.MjModel``."""
MjData: TypeAlias = Any
"""``mujoco.MjData``."""
