"""Names and rules: what everything is called and allowed to be."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lawm_schemas.arrays import ArraySpec as ArraySpec
    from lawm_schemas.arrays import Drawing as Drawing
    from lawm_schemas.arrays import Role as Role
    from lawm_schemas.base import ALTERED as ALTERED
    from lawm_schemas.base import CHECKSUM as CHECKSUM
    from lawm_schemas.base import Checksummed as Checksummed
    from lawm_schemas.base import Count as Count
    from lawm_schemas.base import Fault as Fault
    from lawm_schemas.base import Schema as Schema
    from lawm_schemas.base import Size as Size
    from lawm_schemas.base import checksum_of as checksum_of
    from lawm_schemas.errors import ConfigError as ConfigError
    from lawm_schemas.errors import CorpusError as CorpusError
    from lawm_schemas.errors import HiddenActionError as HiddenActionError
    from lawm_schemas.errors import LawmError as LawmError
    from lawm_schemas.errors import MaskError as MaskError
    from lawm_schemas.errors import RemoteError as RemoteError
    from lawm_schemas.errors import SeveralErrors as SeveralErrors
    from lawm_schemas.errors import StorageError as StorageError
    from lawm_schemas.experiment import AlgorithmChoice as AlgorithmChoice
    from lawm_schemas.experiment import CorpusSource as CorpusSource
    from lawm_schemas.experiment import ExperimentConfig as ExperimentConfig
    from lawm_schemas.experiment import StageBatches as StageBatches
    from lawm_schemas.features import FeatureSet as FeatureSet
    from lawm_schemas.latents import LatentSet as LatentSet
    from lawm_schemas.manifest import FORMAT_VERSION as FORMAT_VERSION
    from lawm_schemas.manifest import MANIFEST as MANIFEST
    from lawm_schemas.manifest import SHARD_NAME as SHARD_NAME
    from lawm_schemas.manifest import Manifest as Manifest
    from lawm_schemas.manifest import ShardInfo as ShardInfo
    from lawm_schemas.mask import Mask as Mask
    from lawm_schemas.overlay import Overlay as Overlay
    from lawm_schemas.plain_json import load_json as load_json
    from lawm_schemas.plain_yaml import load_yaml as load_yaml
    from lawm_schemas.plain_yaml import read_yaml as read_yaml
    from lawm_schemas.provenance import EnvironmentInfo as EnvironmentInfo
    from lawm_schemas.provenance import LineageStep as LineageStep
    from lawm_schemas.provenance import Provenance as Provenance
    from lawm_schemas.publication import Publication as Publication
    from lawm_schemas.publication import PublishedFile as PublishedFile
    from lawm_schemas.publication import PublishedShard as PublishedShard
    from lawm_schemas.recipe import Recipe as Recipe
    from lawm_schemas.recipe import Step as Step
    from lawm_schemas.recipe import StepRecord as StepRecord
    from lawm_schemas.results import AnchorResult as AnchorResult
    from lawm_schemas.results import CellResult as CellResult
    from lawm_schemas.results import Results as Results
    from lawm_schemas.run import CorpusRecord as CorpusRecord
    from lawm_schemas.run import Evaluation as Evaluation
    from lawm_schemas.run import RunRecord as RunRecord
    from lawm_schemas.run import TakenStages as TakenStages
    from lawm_schemas.study import Study as Study
    from lawm_schemas.study import StudyAlgorithm as StudyAlgorithm
    from lawm_schemas.study import StudyCorpus as StudyCorpus
    from lawm_schemas.trajectory import LabelState as LabelState
    from lawm_schemas.trajectory import TrajectoryInfo as TrajectoryInfo

# Names are looked up when they are used: building all schemas takes longer than most commands.
_HOMES = {
    "ALTERED": "base",
    "AlgorithmChoice": "experiment",
    "AnchorResult": "results",
    "ArraySpec": "arrays",
    "CHECKSUM": "base",
    "CellResult": "results",
    "Checksummed": "base",
    "ConfigError": "errors",
    "CorpusError": "errors",
    "CorpusRecord": "run",
    "CorpusSource": "experiment",
    "Count": "base",
    "Drawing": "arrays",
    "EnvironmentInfo": "provenance",
    "Evaluation": "run",
    "ExperimentConfig": "experiment",
    "FORMAT_VERSION": "manifest",
    "Fault": "base",
    "FeatureSet": "features",
    "HiddenActionError": "errors",
    "LabelState": "trajectory",
    "LatentSet": "latents",
    "LawmError": "errors",
    "LineageStep": "provenance",
    "MANIFEST": "manifest",
    "Manifest": "manifest",
    "Mask": "mask",
    "MaskError": "errors",
    "Overlay": "overlay",
    "Provenance": "provenance",
    "Publication": "publication",
    "PublishedFile": "publication",
    "PublishedShard": "publication",
    "Recipe": "recipe",
    "RemoteError": "errors",
    "Results": "results",
    "Role": "arrays",
    "RunRecord": "run",
    "SHARD_NAME": "manifest",
    "Schema": "base",
    "SeveralErrors": "errors",
    "ShardInfo": "manifest",
    "Size": "base",
    "StageBatches": "experiment",
    "Step": "recipe",
    "StepRecord": "recipe",
    "StorageError": "errors",
    "Study": "study",
    "StudyAlgorithm": "study",
    "StudyCorpus": "study",
    "TakenStages": "run",
    "TrajectoryInfo": "trajectory",
    "checksum_of": "base",
    "load_json": "plain_json",
    "load_yaml": "plain_yaml",
    "read_yaml": "plain_yaml",
}
__all__ = [*_HOMES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
