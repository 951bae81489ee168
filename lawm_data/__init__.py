"""Trajectories between disk and batch: corpora, masks, windows, environments."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lawm_data.batch import Batch as Batch
    from lawm_data.corpus import Corpus as Corpus
    from lawm_data.corpus import open_corpus as open_corpus
    from lawm_data.curate import delete_trajectories as delete_trajectories
    from lawm_data.curate import filter_corpus as filter_corpus
    from lawm_data.curate import merge_corpora as merge_corpora
    from lawm_data.derive import Derived as Derived
    from lawm_data.exchange import export_corpus as export_corpus
    from lawm_data.exchange import import_corpus as import_corpus
    from lawm_data.expression import matching as matching
    from lawm_data.hub.stream import Stream as Stream
    from lawm_data.hub.stream import stream as stream
    from lawm_data.loader import Loader as Loader
    from lawm_data.mask import make_mask as make_mask
    from lawm_data.mask import mask_sha256 as mask_sha256
    from lawm_data.mask import save_mask as save_mask
    from lawm_data.overlay import read_overlay as read_overlay
    from lawm_data.overlay import write_overlay as write_overlay
    from lawm_data.recording import RecordTrajectories as RecordTrajectories
    from lawm_data.split import split_corpus as split_corpus
    from lawm_data.summary import summarize as summarize
    from lawm_data.table import Index as Index
    from lawm_data.table import Table as Table
    from lawm_data.tier import Tiered as Tiered
    from lawm_data.tier import write_tier as write_tier
    from lawm_data.trajectory import Observations as Observations
    from lawm_data.trajectory import Trajectory as Trajectory
    from lawm_data.validate import Finding as Finding
    from lawm_data.validate import validate as validate
    from lawm_data.withhold import withhold as withhold
    from lawm_data.writer import CorpusWriter as CorpusWriter

# Names are looked up when they are used, so that reading a corpus does not import torch.
_HOMES = {
    "Batch": "batch",
    "Corpus": "corpus",
    "CorpusWriter": "writer",
    "Derived": "derive",
    "Finding": "validate",
    "Index": "table",
    "Loader": "loader",
    "Observations": "trajectory",
    "RecordTrajectories": "recording",
    "Stream": "hub.stream",
    "Table": "table",
    "Tiered": "tier",
    "Trajectory": "trajectory",
    "delete_trajectories": "curate",
    "export_corpus": "exchange",
    "filter_corpus": "curate",
    "import_corpus": "exchange",
    "make_mask": "mask",
    "mask_sha256": "mask",
    "matching": "expression",
    "merge_corpora": "curate",
    "open_corpus": "corpus",
    "read_overlay": "overlay",
    "save_mask": "mask",
    "split_corpus": "split",
    "stream": "hub.stream",
    "summarize": "summary",
    "validate": "validate",
    "withhold": "withhold",
    "write_overlay": "overlay",
    "write_tier": "tier",
}


class _Package(ModuleType):
    """This package: a module of the same name as its function never hides the function here."""

    def __setattr__(self, name: str, value: Any) -> None:
        # Importing a submodule ends with setting it here; ``sys.modules`` has it all the same.
        if isinstance(value, ModuleType) and _HOMES.get(name) == name:
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
