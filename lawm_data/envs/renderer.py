"""What draws where there is no display."""

from __future__ import annotations

import os
import sys


def choose_renderer() -> None:
    """Draw without a display where there is none, unless MUJOCO_GL says how.

    MuJoCo reads the variable when it is imported, so this has to come before.
    """
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform.startswith("linux") and not display:
        os.environ.setdefault("MUJOCO_GL", "egl")
