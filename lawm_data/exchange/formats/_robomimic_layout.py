"""Names in robomimic files."""

from __future__ import annotations

import re

from lawm_data.exchange.untrusted.hdf5 import ForeignFile

GROUP = "lawm"
"""Group of what our own files say of themselves."""
ENV_ARGS = "env_args"
"""Attribute with the environment as JSON, and the setting of the provenance that keeps it."""
_DEMO = re.compile(r"demo_(\d{1,9})")


def demonstrations(file: ForeignFile, group: str) -> list[str]:
    """Names of the demonstrations of a group, by their number.

    Raises:
        CorpusError: a group of another name stands there; robomimic could not read it either.
    """
    names = file.names(group, "group")
    odd = [name for name in names if not _DEMO.fullmatch(name)]
    if odd:
        raise file.refuse(f"{group}/{odd[0]}", "is not named like demo_0")
    return sorted(names, key=lambda name: int(name[5:]))
