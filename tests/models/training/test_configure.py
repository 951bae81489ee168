"""Words become a configuration, or one line about what is wrong with them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lawm_schemas import ConfigError, CorpusSource

from lawm_models.algorithms import ALGORITHMS
from lawm_models.training import presets
from lawm_models.training.configure import configure, corpus_source

NAMES = st.text("abcxyz/._-", min_size=1).filter(lambda name: not Path(name).exists())


@given(NAMES, st.none() | st.text("ab5pct", min_size=1), st.none() | st.floats(1e-6, 1e6))
def test_corpus_source_reads_what_was_written(
    path: str, mask: str | None, weight: float | None
) -> None:
    word = path + (f"@{mask}" if mask else "") + (f"*{weight!r}" if weight else "")
    assert corpus_source(word) == CorpusSource(path=path, mask=mask, weight=weight or 1.0)


def test_corpus_source_takes_a_folder_that_exists_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a@b*2").mkdir()
    monkeypatch.chdir(tmp_path)
    assert corpus_source("a@b*2") == CorpusSource(path="a@b*2")


@pytest.mark.parametrize("word", ["c*x", "c*0", "c*-1", "c*"])
def test_corpus_source_refuses_a_weight_that_is_none(word: str) -> None:
    with pytest.raises(ConfigError, match="weight"):
        corpus_source(word)


@pytest.mark.parametrize("preset", presets.PRESETS.names())
def test_every_preset_makes_configurations(preset: str) -> None:
    made = []
    for algorithm in ALGORITHMS.names():
        try:
            made.append(configure("c@5pct", algorithm=algorithm, preset=preset, seed=7))
        except ConfigError as error:
            assert error.what == f"says nothing about algorithm {algorithm!r}"  # noqa: PT017
    assert made
    assert {config.corpora for config in made} == {(CorpusSource(path="c", mask="5pct"),)}
    assert {config.seed for config in made} == {7}


def test_settings_are_changed_and_the_others_are_the_presets() -> None:
    base = configure("c")
    changed = configure("c", settings={"steps.agent": 1, "algorithm.settings.support": 1.5})
    assert changed.steps == {**base.steps, "agent": 1}
    assert changed.algorithm.settings == {**base.algorithm.settings, "support": 1.5}
    assert changed.model_copy(update={"steps": base.steps, "algorithm": base.algorithm}) == base


def test_several_corpora_in_any_form() -> None:
    one = CorpusSource(path="a", mask="m", weight=2.0)
    assert configure(["a@m*2", Path("b"), one]).corpora == (one, CorpusSource(path="b"), one)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"algorithm": "lavm"}, "lavm"),
        ({"preset": "smal"}, "no preset 'smal'; nearest: small; known ones: demo"),
        ({"settings": {"batchsize": 3}}, "batchsize: no such setting"),
        ({"settings": {"batch_size": 0}}, "configuration: batch_size: .* greater than or equal"),
        ({"corpora": []}, "configuration: corpora"),
    ],
)
def test_what_is_wrong_is_named(changes: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        configure(**{"corpora": "c", **changes})
