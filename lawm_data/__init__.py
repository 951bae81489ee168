"""Trajectories between disk and batch: corpora, masks, windows, environments."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lawm_data.batches.batch import Batch as Batch
    from lawm_data.batches.loader import Loader as Loader
    from lawm_data.batches.torch_dataset import TorchWindows as TorchWindows
    from lawm_data.corpus.corpus import Corpus as Corpus
    from lawm_data.corpus.corpus import open_corpus as open_corpus
    from lawm_data.corpus.integrity.validate import Finding as Finding
    from lawm_data.corpus.integrity.validate import validate as validate
    from lawm_data.corpus.mask import make_mask as make_mask
    from lawm_data.corpus.mask import mask_sha256 as mask_sha256
    from lawm_data.corpus.mask import save_mask as save_mask
    from lawm_data.corpus.overlay import read_overlay as read_overlay
    from lawm_data.corpus.overlay import write_overlay as write_overlay
    from lawm_data.corpus.table import Index as Index
    from lawm_data.corpus.table import Table as Table
    from lawm_data.corpus.trajectory import Observations as Observations
    from lawm_data.corpus.trajectory import Trajectory as Trajectory
    from lawm_data.corpus.writing.writer import CorpusWriter as CorpusWriter
    from lawm_data.curation.derive import Derived as Derived
    from lawm_data.curation.derive import delete_trajectories as delete_trajectories
    from lawm_data.curation.derive import filter_corpus as filter_corpus
    from lawm_data.curation.derive import merge_corpora as merge_corpora
    from lawm_data.curation.derive import withhold as withhold
    from lawm_data.curation.edit import edit_corpus as edit_corpus
    from lawm_data.curation.expression import matching as matching
    from lawm_data.curation.rerender import rerender_corpus as rerender_corpus
    from lawm_data.curation.split import split_corpus as split_corpus
    from lawm_data.curation.tier import Tiered as Tiered
    from lawm_data.curation.tier import write_tier as write_tier
    from lawm_data.exchange.exporting import export_corpus as export_corpus
    from lawm_data.exchange.hub.stream import Stream as Stream
    from lawm_data.exchange.hub.stream import stream as stream
    from lawm_data.exchange.importing import import_corpus as import_corpus
    from lawm_data.inspection.summary import summarize as summarize
    from lawm_data.recording.recorder import RecordTrajectories as RecordTrajectories

    __version__: str

# Names are looked up when they are used, so that reading a corpus does not import torch.
_HOMES = {
    "Batch": "batches.batch",
    "Corpus": "corpus.corpus",
    "CorpusWriter": "corpus.writing.writer",
    "Derived": "curation.derive",
    "Finding": "corpus.integrity.validate",
    "Index": "corpus.table",
    "Loader": "batches.loader",
    "Observations": "corpus.trajectory",
    "RecordTrajectories": "recording.recorder",
    "Stream": "exchange.hub.stream",
    "Table": "corpus.table",
    "Tiered": "curation.tier",
    "TorchWindows": "batches.torch_dataset",
    "Trajectory": "corpus.trajectory",
    "delete_trajectories": "curation.derive",
    "edit_corpus": "curation.edit",
    "export_corpus": "exchange.exporting",
    "filter_corpus": "curation.derive",
    "import_corpus": "exchange.importing",
    "make_mask": "corpus.mask",
    "mask_sha256": "corpus.mask",
    "matching": "curation.expression",
    "merge_corpora": "curation.derive",
    "open_corpus": "corpus.corpus",
    "read_overlay": "corpus.overlay",
    "rerender_corpus": "curation.rerender",
    "save_mask": "corpus.mask",
    "split_corpus": "curation.split",
    "stream": "exchange.hub.stream",
    "summarize": "inspection.summary",
    "validate": "corpus.integrity.validate",
    "withhold": "curation.derive",
    "write_overlay": "corpus.overlay",
    "write_tier": "curation.tier",
}
__all__ = [*_HOMES, "__version__"]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("lawm")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
