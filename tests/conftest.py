"""Settings of all tests: shapes are checked, and examples are the same every time.

``egl`` is for tests that draw: they are skipped only where MuJoCo alone cannot draw either.

Shape annotations of ``lawm_models`` are checked while tests run, and only then: jaxtyping
instruments every function as its module is imported; a call with a wrong shape raises
``jaxtyping.TypeCheckError``. Types that are not arrays are pyright's business.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any, get_args

import pytest
from beartype import beartype
from hypothesis import settings
from jaxtyping import AbstractArray, install_import_hook

CHECKED = "lawm_models"
DRAW = """
import mujoco
scene = "<mujoco><worldbody><light/><geom type='box' size='1 1 .1'/></worldbody></mujoco>"
model = mujoco.MjModel.from_xml_string(scene)
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
with mujoco.Renderer(model, 16, 16) as renderer:
    renderer.update_scene(data)
    if not renderer.render().std():
        raise SystemExit("the picture is empty")
"""

# No deadline: a slow machine is not a wrong result.
settings.register_profile("lawm", deadline=None, derandomize=True, database=None)
settings.load_profile("lawm")


def check_shapes(function: Callable) -> Callable:
    """The function, with its array annotations enforced and every other annotation ignored."""
    annotations = function.__annotations__
    arrays = {name: hint for name, hint in annotations.items() if _mentions_array(hint)}
    if not arrays:
        return function
    function.__annotations__ = {**dict.fromkeys(annotations, Any), **arrays}
    return beartype(function)


@pytest.fixture(scope="session")
def egl() -> dict[str, str]:
    """Environment variables of a process that draws with EGL.

    In a process of its own, without a line of ours: a renderer is chosen when MuJoCo is first
    imported, and a defect of ours must not look like a machine that cannot draw.
    """
    variables = {**os.environ, "MUJOCO_GL": "egl"}
    command = [sys.executable, "-c", DRAW]
    drawn = subprocess.run(command, capture_output=True, text=True, env=variables)
    if drawn.returncode:
        said = drawn.stderr.strip().splitlines() or [f"exit status {drawn.returncode}"]
        why = f"bare MuJoCo cannot draw with EGL on this machine: {said[-1]}"
        # where it draws, the tests run and may fail
        pytest.skip(why)  # reason: the machine has no graphics driver; DRAW runs no line of ours
    return variables


def _mentions_array(hint: Any) -> bool:
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return True
    return any(_mentions_array(part) for part in get_args(hint))


if CHECKED in sys.modules:
    raise RuntimeError(f"{CHECKED} was imported before its shapes could be checked")
install_import_hook(CHECKED, f"sys.modules[{__name__!r}].check_shapes")
