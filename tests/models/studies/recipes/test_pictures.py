"""Recipes that take a corpus of the package, draw it and encode it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from drawn_recipe import recipe
from lawm_schemas import ConfigError

from lawm_data import open_corpus
from lawm_data.curation.shipped import shipped_corpora, unpack_corpus
from lawm_models.studies.recipes import jobs, read_jobs


@pytest.mark.slow
def test_recipes_draw(run_where_it_draws: Callable[[Path], None]) -> None:
    run_where_it_draws(Path(__file__).with_name("pictures_drawn.py"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shipped": {"corpus": "cartpole"}}, "no corpus 'cartpole' in the package"),
        ({"rerender": {"corpus": "all", "size": 16, "distractors": ["rain"]}}, "no such distrac"),
        ({"rerender": {"corpus": "none", "size": 16}}, "'none' is not made by an earlier step"),
        ({"collect": {"env": "cartpole-swingup", "trajectories": 2, "distractors": ["noise"]}},
         "collect.distractors: goes with pixels"),
    ],
)  # fmt: skip
def test_steps_that_make_no_sense_are_refused(change: dict, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        jobs({"steps": [recipe("f.mp4")["steps"][0], {"make": "other", **change}]})
    assert words in caught.value.lines[0]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"algorithm": "autoencodr"}, "autoencodr"),
        ({"settings": {"steps.encodr": 3}}, "no such stage"),
        ({"settings": {"algorithm.settings.latnt": 3}}, "no such setting"),
    ],
)
def test_encoders_that_cannot_be_trained_are_refused(settings: dict, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        jobs(recipe("f.mp4", **settings))
    assert words in caught.value.lines[0]
    assert "step 4 (drawn@ae)" in caught.value.lines[0]


def test_a_corpus_without_states_cannot_be_drawn() -> None:
    collect = {"env": "cartpole-swingup", "trajectories": 2, "physics": False}
    drawn = {"make": "d", "rerender": {"corpus": "c", "size": 16}}
    with pytest.raises(ConfigError, match="'c' has no states of the simulator"):
        jobs({"steps": [{"make": "c", "collect": collect}, drawn]})


def test_the_package_has_the_corpora_that_it_names(tmp_path: Path) -> None:
    for name in shipped_corpora():
        path = unpack_corpus(tmp_path / name, name)
        assert open_corpus(path, verify=True).manifest.environment
        assert unpack_corpus(path, name) == path
    with pytest.raises(ConfigError, match="no corpus 'x' in the package"):
        unpack_corpus(tmp_path / "x", "x")


def test_the_recipe_pixels_encodes_every_corpus_of_its_study() -> None:
    from lawm_models.studies.plan import read_study

    made = {job.name for job in read_jobs("pixels")}
    for entry in read_study("pixels").corpora.values():
        name = Path(entry.path).name
        assert {name, f"{name}@ae64"} <= made
