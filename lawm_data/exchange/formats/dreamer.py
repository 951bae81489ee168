"""Dreamer and V-D4RL: a folder of npz files, one a trajectory; ``action`` led to its row.

What DreamerV1 and V2, their ports to PyTorch and V-D4RL write: ``image`` or other observations,
``action``, ``reward``, and of ``discount``, ``is_first``, ``is_last`` and ``is_terminal`` what they
know. Row 0 is the reset, whose action is zero.

DreamerV3's replay is of another kind: pieces of a stream that know no trajectory, in which an
action leaves the observation beside it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from lawm_schemas import ArraySpec, CorpusError, LabelState

from lawm_data.exchange.formats._episode_files import (
    Convention,
    Source,
    ended_at_last,
    incoming,
    npz_files,
)
from lawm_data.exchange.formats._protocol import About, Incoming
from lawm_data.exchange.formats._settings import DECLARED, UNRECORDED, WITHOUT
from lawm_data.exchange.untrusted.arrays import column, flags, observation_spec
from lawm_data.exchange.untrusted.npz import NpzFile

ABOUT = About(
    title="Dreamer and V-D4RL, one npz a trajectory",
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
    pixels="lossless",
    metadata=False,
    streaming=True,
    settings={
        "fields": "observations to take, in this order; all if not given, e.g. image",
        **DECLARED,
        **UNRECORDED,
        **WITHOUT,
    },
)
_NOT_OBSERVED = re.compile(r"log_.*|logprob|reset|is_success|success|.*_reward")
"""Arrays that agents write beside what they observed."""


def read(place: str, settings: Mapping[str, Any]) -> Incoming:
    """Open a folder of npz files; see ``FormatModule.read``."""
    folder = Path(place)
    paths = npz_files(folder, "such as train_eps")  # they begin with the time
    sources = [Source(path.name, path, partial(NpzFile, path)) for path in paths]
    return incoming(sources, _Convention(), folder, settings)


class _Convention(Convention):
    """See ``_episode_files.Convention``."""

    format = "dreamer"
    action = "action"
    flags = ("discount", "is_first", "is_last", "is_terminal")

    def spec(
        self, name: str, shape: tuple[int, ...], dtype: np.dtype, where: str
    ) -> ArraySpec | None:
        return (
            None if _NOT_OBSERVED.fullmatch(name) else observation_spec(name, shape, dtype, where)
        )

    def ends(self, arrays: Mapping[str, np.ndarray], where: Mapping[str, str]) -> tuple[bool, bool]:
        """A terminal state is one of ``is_terminal``, or of discount 0; other ends are limits."""
        hint = "a file holds one trajectory, from its reset to its end"
        if "is_first" in arrays:
            first = flags(arrays["is_first"], where["is_first"])
            if not first[0] or first[1:].any():
                raise CorpusError("is not true in row 0 alone", where["is_first"], hint)
        terminated, known = False, False
        if "discount" in arrays:
            discount = column(arrays["discount"], where["discount"])
            known, terminated = True, bool(discount[-1] == 0)
            if (discount[1:-1] == 0).any():
                row = 1 + int(np.argmax(discount[1:-1] == 0))
                raise CorpusError(f"is 0 in row {row}", where["discount"], hint)
        if "is_terminal" in arrays:
            terminated |= ended_at_last(arrays["is_terminal"], where["is_terminal"])
            known = True
        if "is_last" in arrays:
            last = ended_at_last(arrays["is_last"], where["is_last"])
            return terminated, last and not terminated
        if not known:
            hint = "without one of discount, is_last, is_terminal ends cannot be told apart"
            raise CorpusError("is missing", where["discount"], hint)
        return terminated, not terminated
