"""Words become a configuration, or one line about what is wrong with them."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lawm_schemas import ArraySpec, ConfigError, CorpusSource, Provenance, Role

from lawm_data import CorpusWriter, make_mask, open_corpus
from lawm_models.algorithms import ALGORITHMS
from lawm_models.runs.relabel import relabel
from lawm_models.training import presets
from lawm_models.training.configure import configure, corpus_source
from lawm_models.training.trainer import train

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


def test_an_opened_corpus_is_its_address(corpus_path: Path) -> None:
    whole = open_corpus(corpus_path)
    masked, where = whole.with_mask("half"), str(corpus_path)
    for opened, mask in ((whole, None), (masked, "half")):
        source = CorpusSource(path=where, mask=mask)
        assert configure(opened).corpora == (source,)
        assert configure([opened, f"{where}@half"]).corpora == (
            source,
            CorpusSource(path=where, mask="half"),
        )


def test_inferred_actions_go_with_an_opened_corpus(experiment, make_corpus, tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "corpus")
    run = train(experiment("bc", corpora=[{"path": str(corpus), "mask": "half"}]), tmp_path / "run")
    relabel(run, corpus, "bc")
    view = open_corpus(corpus).with_mask("half").with_labels("bc")
    expected = CorpusSource(path=str(corpus), mask="half", labels="bc")
    assert configure(view).corpora == (expected,)


def test_a_view_that_no_address_leads_to_is_refused(corpus_path: Path) -> None:
    whole = open_corpus(corpus_path)
    unsaved = make_mask(whole, 0.2, 7, "mine")
    other = make_mask(whole, 0.2, 7, "half")  # there is another one of that name
    for view, words in (
        (whole[:2], "is a part of a corpus; write it first"),
        (whole.with_mask("half")[[0]], "is a part of a corpus; write it first"),
        (whole.with_mask(unsaved), "is seen through a mask mine that is not there; save it"),
        (whole.with_mask(other), "is seen through a mask half that is not there; save it"),
        (whole[0], "corpora: is a Trajectory, not a corpus; give its address, 'PATH@MASK'"),
        (7, "corpora: is a int, not a corpus; give its address, 'PATH@MASK'"),
        (None, "corpora: is a NoneType, not a corpus"),
    ):
        for asked in (view, [view], [corpus_path, view]):
            with pytest.raises(ConfigError, match=words):
                configure(asked)
    with pytest.raises(ConfigError, match="is an opened corpus; give its address"):
        open_corpus(whole)


def test_what_is_observed_is_a_setting(tmp_path: Path) -> None:
    camera = ArraySpec(name="camera", shape=(4, 4, 3), dtype="uint8", role=Role.pixels)
    position = ArraySpec(name="position", shape=(1,))
    action = ArraySpec(name="action", shape=(1,), role=Role.action)
    path = tmp_path / "filmed"
    with CorpusWriter.create(path, observations=(position, camera), action=action) as writer:
        seen = {"position": np.zeros((3, 1)), "camera": np.zeros((3, 4, 4, 3), np.uint8)}
        writer.add(seen, np.zeros(2), np.zeros((2, 1)), provenance=Provenance(source="s"))
    whole = open_corpus(path)
    assert configure(whole).corpora == (CorpusSource(path=str(path)),)
    with pytest.raises(ConfigError, match=r"part of the observations; .* settings={'observe': 'p"):
        configure(whole.observing("pixels"))
