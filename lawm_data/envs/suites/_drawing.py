"""Pictures of dm_control's physics, drawn by the settings of a ``Drawing``.

``physics.render`` draws into a buffer of 640 x 480 pixels with four samples each, which it reads
back whole, and a shadow map of 2048 x 2048. In software that is nearly all that a small picture
costs. Here the buffer has the size of the picture, and the other two are settings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np


class Style(NamedTuple):
    """What is drawn unlike the suite does."""

    quality: Mapping[str, int]
    """Fields of ``model.vis.quality``, which a context reads when it is made."""
    without: tuple[str, ...] = ()
    """Flags of ``mjtRndFlag`` that are off."""


STYLES = {
    # A capsule of 12 slices cannot be told from one of 28 at the sizes that networks read.
    "fast": Style(
        {"offsamples": 0, "numslices": 12, "numstacks": 8}, ("mjRND_SHADOW", "mjRND_REFLECTION")
    ),
    "shadows": Style({"shadowsize": 512}),
}
"""By the name of the drawing; ``suite`` is what ``physics.render`` does."""


class Drawer:
    """Draws one physics in one style, in a rendering context of its own.

    The suite's own context stays as it is, so that ``physics.render`` gives the same bytes.

    Args:
        physics: dm_control's; its model and data are drawn as they are at the time.
        by: one of ``STYLES``.
    """

    def __init__(self, physics: Any, by: str) -> None:
        mujoco: Any = import_module("mujoco")
        wrapper: Any = import_module("dm_control.mujoco.wrapper")
        self._mujoco, self._physics, self._style = mujoco, physics, STYLES[by]
        self._scene = wrapper.MjvScene(physics.model)
        for flag in self._style.without:
            self._scene.flags[getattr(mujoco.mjtRndFlag, flag)] = 0
        self._option, self._perturb = mujoco.MjvOption(), mujoco.MjvPerturb()
        self._picture = np.empty((0, 0, 3), np.uint8)
        self._gl: Any = None
        self._context: Any = None
        self._terrain = np.empty(0)

    def __call__(self, height: int, width: int, camera: int | str) -> np.ndarray:
        """A picture of the present state, (height, width, 3) uint8.

        Args:
            height: in pixels.
            width: in pixels.
            camera: one of the model's, or -1 for the free one.
        """
        if self._picture.shape[:2] != (height, width):
            self._make_context(height, width)
        physics, mujoco = self._physics, self._mujoco
        everything = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(
            *(physics.model.ptr, physics.data.ptr, self._option, self._perturb),
            *(self._lens(camera), everything, self._scene),
        )
        with self._gl.make_current() as thread:
            thread.call(self._draw)
        return self._picture[::-1].copy()  # OpenGL's first row is the lowest

    def behind(self, height: int, width: int, camera: int | str) -> np.ndarray:
        """What is behind the body in a picture, (height, width) bool: sky, floors and walls."""
        flags, segment = self._scene.flags, self._mujoco.mjtRndFlag.mjRND_SEGMENT
        colour = self._mujoco.mjtRndFlag.mjRND_IDCOLOR
        flags[segment] = flags[colour] = 1
        try:
            drawn = self(height, width, camera).astype(np.uint32)
        finally:
            flags[segment] = flags[colour] = 0
        number = drawn[..., 0] | drawn[..., 1] << 8 | drawn[..., 2] << 16
        model, kinds = self._physics.model.ptr, self._mujoco.mjtGeom
        flat = np.isin(model.geom_type, (int(kinds.mjGEOM_PLANE), int(kinds.mjGEOM_HFIELD)))
        still = flat & (model.geom_bodyid == 0)
        kind = int(self._mujoco.mjtObj.mjOBJ_GEOM)
        seen = np.zeros(max(int(number.max()), self._scene.ngeom) + 1, bool)
        seen[0] = True  # nothing at all
        for geom in self._scene.geoms[: self._scene.ngeom]:
            if geom.segid >= 0 and int(geom.objtype) == kind:
                seen[geom.segid + 1] = still[geom.objid]
        return seen[number]

    def _draw(self) -> None:
        mujoco, model, context = self._mujoco, self._physics.model.ptr, self._context.ptr
        if not np.array_equal(self._terrain, model.hfield_data):  # a reset may change it
            self._terrain = model.hfield_data.copy()
            for number in range(model.nhfield):
                mujoco.mjr_uploadHField(model, context, number)
        area = mujoco.MjrRect(0, 0, self._picture.shape[1], self._picture.shape[0])
        mujoco.mjr_render(area, self._scene, context)
        mujoco.mjr_readPixels(self._picture, None, area, context)

    def _lens(self, camera: int | str) -> Any:
        mujoco, model = self._mujoco, self._physics.model
        lens = mujoco.MjvCamera()
        number = model.name2id(camera, "camera") if isinstance(camera, str) else camera
        if number == -1:
            mujoco.mjv_defaultFreeCamera(model.ptr, lens)
        else:
            lens.type, lens.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, number
        return lens

    def _make_context(self, height: int, width: int) -> None:
        render: Any = import_module("dm_control._render")
        wrapper: Any = import_module("dm_control.mujoco.wrapper")
        model = self._physics.model
        if self._context is not None:
            self._context.free()
        with (
            _set(model.vis.global_, {"offheight": height, "offwidth": width}),
            _set(model.vis.quality, self._style.quality),
        ):
            self._gl = render.Renderer(max_width=width, max_height=height)
            self._context = wrapper.MjrContext(model, self._gl)
        self._picture = np.empty((height, width, 3), np.uint8)
        self._terrain = model.ptr.hfield_data.copy()


@contextmanager
def _set(part: Any, values: Mapping[str, int]) -> Iterator[None]:
    """Other values of a part of a model, for a while."""
    before = {name: getattr(part, name) for name in values}
    try:
        for name, value in values.items():
            setattr(part, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(part, name, value)
