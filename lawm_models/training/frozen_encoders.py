"""The frozen encoders of a run that learns from features: without them its policy could not act."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Self, cast

from lawm_schemas import ArraySpec, ConfigError, FeatureSet, RunRecord

from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.features import ABOUT, ENCODER, FEATURES, read_feature_set
from lawm_data.envs.policy import VectorPolicy
from lawm_data.system.atomic import own_folder, read_file, storage_errors, write_folder
from lawm_models.networks.frozen_encoder import FrozenEncoder, read
from lawm_models.networks.planning_model import EncodedPlanningModel, PlanningModel
from lawm_models.networks.policies import EncodedPolicy, FeatureEncoders, StepPolicy


class RunEncoders(NamedTuple):
    """Features that a run observes, and the weights of what made them, by name."""

    infos: Mapping[str, FeatureSet]
    """What the features say of themselves."""
    weights: Mapping[str, bytes]
    """Safetensors files."""
    place: Path
    """Where they are from, for messages."""

    @classmethod
    def of(cls, view: Corpus) -> Self:
        """Those of the features that a view shows."""
        folder = view.path / FEATURES
        weights = {info.name: read_file(folder / info.name / ENCODER) for info in view.features}
        found = cls({info.name: info for info in view.features}, weights, folder)
        found.frozen()  # what does not fit is said before a run begins
        return found

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Those in the folder of a run."""
        with storage_errors(folder):
            names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
        infos = {name: read_feature_set(folder / name) for name in names if name[0] != "."}
        return cls(infos, {name: read_file(folder / name / ENCODER) for name in infos}, folder)

    def write(self, folder: Path) -> None:
        """Keep them in the folder of a run."""
        if self.infos:
            own_folder(folder)
        for name, info in self.infos.items():
            files = {ENCODER: self.weights[name], ABOUT: info.to_json().encode()}
            write_folder(folder / name, files)

    def frozen(self) -> dict[str, FrozenEncoder]:
        """The encoders.

        Raises:
            ConfigError: weights that do not fit.
        """
        return {
            name: read(info, self.weights[name], str(self.place / name / ENCODER))
            for name, info in self.infos.items()
        }

    def require_same(self, view: Corpus) -> None:
        """Refuse features of these names that another encoder has made.

        Raises:
            ConfigError: names them.
        """
        for info in view.features:
            if self.infos[info.name].encoder_sha256 != info.encoder_sha256:
                what = f"its features {info.name} are of another encoder than the run's"
                hint = (
                    f"make them with its encoder: lawm-data features {view.path} "
                    f"--like {self.place.parent} --name {info.name} --replace"
                )
                raise ConfigError(what, str(view.path), hint)

    def reads(self, record: RunRecord) -> tuple[ArraySpec, ...]:
        """What was recorded of what a run observes, each once: features stand for what made them.

        Args:
            record: of the run.
        """
        specs: dict[str, ArraySpec] = {}
        for spec in record.observations:
            info = self.infos.get(spec.name)
            for one in (spec,) if info is None else info.observations:
                specs.setdefault(one.name, one)
        return tuple(specs.values())

    def before(self, policy: VectorPolicy, record: RunRecord) -> VectorPolicy:
        """A policy on features as one on what was recorded; any other as it is."""
        if not self.infos:
            return policy
        inner = cast(StepPolicy, policy)
        return EncodedPolicy(inner, self.frozen(), self.reads(record), record.observations)

    def before_model(self, model: PlanningModel, record: RunRecord) -> PlanningModel:
        """The same for a model to plan in."""
        if not self.infos:
            return model
        wanted, device = record.observations, model.like.device
        return EncodedPlanningModel(
            model, FeatureEncoders(self.frozen(), self.reads(record), wanted, device)
        )
