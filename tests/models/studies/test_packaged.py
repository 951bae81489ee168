"""The studies of the package."""

from __future__ import annotations

from pathlib import Path

import pytest
from lawm_schemas import ExperimentConfig, Results
from study_results import PAPER

from lawm_models.studies import paper
from lawm_models.studies.packaged import STUDIES
from lawm_models.studies.plan import read_study
from lawm_models.studies.variant import variant
from lawm_models.training.experiment import resolve

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.mark.parametrize("name", STUDIES.names())
def test_shipped_studies_are_sound(name: str) -> None:
    study = read_study(name)
    for algorithm in study.algorithms:
        assert variant(study, algorithm, None)[1] == []
    for corpus, entry in study.corpora.items():
        assert Path(entry.path).name == corpus
        assert entry.paper is None or entry.paper.replace("/", "-") == corpus
        assert entry.paper is None or entry.paper in paper.datasets()


PUBLISHED = {path.stem: path for path in (BENCHMARKS / "results").glob("*.json")}
MEASURED = {
    name: PUBLISHED[Path(name).stem]
    for name in (*STUDIES.names(), str(BENCHMARKS / "rivals.yaml"))
    if Path(name).stem in PUBLISHED
}
"""Results of studies as they are now, by name or file."""


@pytest.mark.parametrize("name", MEASURED, ids=lambda name: Path(name).stem)
def test_published_results_are_of_the_studies_as_they_are(name: str) -> None:
    """So that ``--known`` finds them, and what is run again are the same settings."""
    results, study = Results.read_json(MEASURED[name]), read_study(name)
    assert results.configs

    def decided(data: dict) -> dict:
        whole = ExperimentConfig.model_validate({**data, "corpora": [{"path": "."}], "seed": 0})
        config = resolve(whole).model_dump(mode="json", exclude={"preset"})
        # younger than some of them, and the same numbers up to rounding
        config["algorithm"]["settings"].get("model", {}).pop("scan", None)
        return config

    for algorithm, config in results.configs.items():
        assert decided(config) == decided(variant(study, algorithm, None)[0])


@pytest.mark.parametrize("name", ["claim", "labels", "two-cores", "paper"])
def test_shipped_studies_have_the_papers_algorithms(name: str) -> None:
    own = {"claim": {"lawm_plus"}, "labels": {"lawm_plus", "lawm_plus-free"}}.get(name, set())
    assert set(read_study(name).algorithms) == {"clap", "idm_td3_bc", "lawm", "td3_bc"} | own


@pytest.mark.parametrize("name", ["claim", "two-cores", "paper"])
def test_shipped_studies_have_the_papers_columns(name: str) -> None:
    study = read_study(name)
    columns = {(a, labels) for a in study.algorithms for labels in study.labels_of(a)}
    own = {("lawm_plus", 0.05)}
    assert columns - own == {tuple(column) for column in PAPER["columns"]}
    if name == "paper":
        assert sorted(entry.paper or "" for entry in study.corpora.values()) == paper.datasets()
