"""ExORL and URLB: a folder of npz files, one a trajectory; actions stand beside what they led to.

Keys of a file of T + 1 rows: ``observation``, ``action``, ``reward``, ``discount`` and, in ExORL,
``physics``, the simulator's state. The name of a file ends in its number and its length, as in
``20210823T150000_7_1000.npz``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from lawm_schemas import ArraySpec, CorpusError, LabelState, Role

from lawm_data.exchange.formats._episode_files import Convention, Source, incoming, npz_files
from lawm_data.exchange.formats._protocol import About, Incoming
from lawm_data.exchange.formats._settings import DECLARED, UNRECORDED, WITHOUT
from lawm_data.exchange.untrusted.arrays import checked_spec, column, observation_spec
from lawm_data.exchange.untrusted.npz import NpzFile

ABOUT = About(
    title="ExORL and URLB, one npz a trajectory",
    place="FOLDER",
    extra=None,
    reads=True,
    writes=False,
    label_states=(LabelState.observed, LabelState.missing),
    partial=False,
    arrays="all",
    alignment="a_t enters o_t",
    final_observation=True,
    ends="both",
    pixels="none",
    metadata=False,
    streaming=True,
    settings={**DECLARED, **UNRECORDED, **WITHOUT},
)
_LENGTH = re.compile(r".*_(\d+)_(\d+)\.npz")


def read(place: str, settings: Mapping[str, Any]) -> Incoming:
    """Open a folder of npz files; see ``FormatModule.read``."""
    folder = Path(place)
    paths = npz_files(folder, "which ends in buffer/")
    sources = [Source(path.name, path, partial(_open_file, path)) for path in paths]
    return incoming(sources, _Convention(), folder, settings)


def _open_file(path: Path) -> NpzFile:
    """A file whose length is the one in its name."""
    file = NpzFile(path)
    named = _LENGTH.fullmatch(path.name)
    if named and "observation" in file.names():
        shape, _ = file.header("observation")
        if not shape or shape[0] != int(named[2]) + 1:
            file.close()
            what = f"holds {shape[0] if shape else 0} rows where its name says {named[2]} steps"
            raise CorpusError(what, str(path), "get the file again")
    return file


class _Convention(Convention):
    """See ``_episode_files.Convention``."""

    format = "exorl"
    action = "action"
    flags = ("discount",)

    def spec(
        self, name: str, shape: tuple[int, ...], dtype: np.dtype, where: str
    ) -> ArraySpec | None:
        if name == "observation":
            return observation_spec(name, shape, dtype, where)
        if name == "physics":
            return checked_spec(name, shape, dtype, Role.physics, where)
        return None

    def ends(self, arrays: Mapping[str, np.ndarray], where: Mapping[str, str]) -> tuple[bool, bool]:
        """Discount 0 is a terminal state; every other end is a limit."""
        place = where["discount"]
        if "discount" not in arrays:
            raise CorpusError("is missing", place, "without it ends cannot be told apart")
        discount = column(arrays["discount"], place)
        if (discount[1:-1] == 0).any():
            row = 1 + int(np.argmax(discount[1:-1] == 0))
            raise CorpusError(f"is 0 in row {row}", place, "cut the trajectory there")
        terminated = bool(discount[-1] == 0)
        return terminated, not terminated
