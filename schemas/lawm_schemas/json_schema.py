"""JSON Schemas of everything that is written to disk, generated from the Python schemas.

``python -m lawm_schemas.json_schema`` rewrites ``schemas/json`` in a checkout.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from lawm_schemas.arrays import ArraySpec
from lawm_schemas.base import Schema
from lawm_schemas.experiment import ExperimentConfig
from lawm_schemas.features import FeatureSet
from lawm_schemas.latents import LatentSet
from lawm_schemas.manifest import Manifest
from lawm_schemas.mask import Mask
from lawm_schemas.overlay import Overlay
from lawm_schemas.provenance import Provenance
from lawm_schemas.publication import Publication
from lawm_schemas.recipe import Recipe, StepRecord
from lawm_schemas.results import Results
from lawm_schemas.run import Evaluation, RunRecord
from lawm_schemas.study import Study
from lawm_schemas.trajectory import TrajectoryInfo

DOCUMENTS: dict[str, type[Schema]] = {
    "array_spec": ArraySpec,
    "evaluation": Evaluation,
    "experiment_config": ExperimentConfig,
    "feature_set": FeatureSet,
    "latent_set": LatentSet,
    "manifest": Manifest,
    "mask": Mask,
    "overlay": Overlay,
    "provenance": Provenance,
    "publication": Publication,
    "recipe": Recipe,
    "results": Results,
    "run_record": RunRecord,
    "step_record": StepRecord,
    "study": Study,
    "trajectory_info": TrajectoryInfo,
}
"""Name of the file (without ``.schema.json``) and the schema that it describes."""

FOLDER = Path(__file__).resolve().parents[1] / "json"
"""Where the generated files stand in a checkout; they are not part of the wheel."""


def document(name: str) -> str:
    """The JSON Schema (draft 2020-12) of one document as indented text with a final newline."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **DOCUMENTS[name].model_json_schema(),
    }
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


def write(folder: Path) -> list[Path]:
    """Write every document's schema into ``folder``, delete those that no longer exist."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.schema.json" for name in DOCUMENTS]
    for stale in set(folder.glob("*.schema.json")) - set(paths):
        stale.unlink()
    for name, path in zip(DOCUMENTS, paths, strict=True):
        path.write_text(document(name), encoding="utf-8")
    return paths


if __name__ == "__main__":
    for path in write(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER):
        print(path)
