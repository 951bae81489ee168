"""A recipe that takes a corpus of the package, draws it and encodes it, done and done again."""

from __future__ import annotations

from pathlib import Path

import pytest
from drawn_recipe import recipe
from lawm_schemas import ConfigError
from PIL import Image

from lawm_data import open_corpus
from lawm_data.corpus.features import read_feature_set
from lawm_models.studies.recipes import jobs
from lawm_models.studies.recipes.build import JobState, Options, build, survey
from lawm_models.training.run_folder import RunFolder

OPTIONS = Options(replace=False, workers=1, backend="processes")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.gif"
    pictures = [Image.new("RGB", (20, 16), (40 * i, 0, 200)) for i in range(4)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:])
    return path


@pytest.fixture(scope="module")
def out(film: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("build") / "out"
    build(folder, jobs(recipe(str(film))), OPTIONS)
    return folder


def states(found: list[JobState]) -> list[str]:
    return [one.state for one in found]


def test_a_corpus_is_taken_drawn_and_encoded(out: Path) -> None:
    whole, drawn = open_corpus(out / "all"), open_corpus(out / "drawn")
    assert open_corpus(out / "states").table.id.tolist() == drawn.table.id.tolist()
    assert 0 < len(drawn) < len(whole)
    (pixels,) = (spec for spec in drawn.manifest.observations if spec.name == "pixels")
    assert pixels.drawing is not None
    assert (pixels.drawing.distractors, pixels.drawing.seed) == (("video:film.gif", "agents"), 3)
    info = read_feature_set(out / "drawn" / "features" / "ae")
    assert (info.width, info.trajectories) == (3, len(drawn))
    assert RunFolder.open(out / "drawn@ae.run").config.steps == {"encoder": 2}
    assert drawn.observing("features:ae").manifest.observations[0].name == "ae"


def test_what_is_done_is_not_done_again_and_what_has_changed_is_told(out: Path, film: Path) -> None:
    assert states(survey(out, jobs(recipe(str(film))))) == ["done"] * 4
    before = (out / "drawn@ae.run" / "config.yaml").stat().st_mtime_ns
    build(out, jobs(recipe(str(film))), OPTIONS)
    assert (out / "drawn@ae.run" / "config.yaml").stat().st_mtime_ns == before
    other = jobs(recipe(str(film), seed=1))
    assert states(survey(out, other)) == ["done"] * 3 + ["changed"]
    with pytest.raises(ConfigError, match="was made with seed 0, not 1"):
        build(out, other, OPTIONS)
    assert states(build(out, other, OPTIONS._replace(replace=True))) == ["done"] * 4
    assert RunFolder.open(out / "drawn@ae.run").config.seed == 1
