"""Names and rules: what everything is called and allowed to be."""

from lawm_schemas.arrays import ArraySpec as ArraySpec
from lawm_schemas.arrays import Role as Role
from lawm_schemas.base import Schema as Schema
from lawm_schemas.base import load_json as load_json
from lawm_schemas.errors import ConfigError as ConfigError
from lawm_schemas.errors import CorpusError as CorpusError
from lawm_schemas.errors import HiddenActionError as HiddenActionError
from lawm_schemas.errors import LawmError as LawmError
from lawm_schemas.errors import MaskError as MaskError
from lawm_schemas.errors import StorageError as StorageError
from lawm_schemas.experiment import AlgorithmChoice as AlgorithmChoice
from lawm_schemas.experiment import CorpusSource as CorpusSource
from lawm_schemas.experiment import ExperimentConfig as ExperimentConfig
from lawm_schemas.manifest import FORMAT_VERSION as FORMAT_VERSION
from lawm_schemas.manifest import Manifest as Manifest
from lawm_schemas.manifest import ShardInfo as ShardInfo
from lawm_schemas.mask import Mask as Mask
from lawm_schemas.overlay import Overlay as Overlay
from lawm_schemas.provenance import EnvironmentInfo as EnvironmentInfo
from lawm_schemas.provenance import LineageStep as LineageStep
from lawm_schemas.provenance import Provenance as Provenance
from lawm_schemas.run import CorpusRecord as CorpusRecord
from lawm_schemas.run import Evaluation as Evaluation
from lawm_schemas.run import RunRecord as RunRecord
from lawm_schemas.trajectory import LabelState as LabelState
from lawm_schemas.trajectory import TrajectoryInfo as TrajectoryInfo
