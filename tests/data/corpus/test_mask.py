from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lawm_schemas import ArraySpec, MaskError, Provenance, Role

from lawm_data import (
    Corpus,
    CorpusWriter,
    make_mask,
    open_corpus,
    save_mask,
    summarize,
)
from lawm_data.corpus.mask import choice_fault, choose, read_mask
from lawm_data.corpus.table import MetadataColumn

COUNT = 60
OBSERVATIONS = (ArraySpec(name="position", shape=(1,)),)
ACTION = ArraySpec(name="action", shape=(1,), role=Role.action)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: Any) -> Corpus:
    """60 trajectories of 1 to 30 steps from two sources, 1:2; every tenth has no actions."""
    path, rng = tmp_path_factory.mktemp("mask") / "corpus", np.random.default_rng(0)
    with CorpusWriter.create(path, observations=OBSERVATIONS, action=ACTION) as writer:
        for i in range(COUNT):
            steps = int(rng.integers(1, 31))
            writer.add(
                {"position": rng.standard_normal((steps + 1, 1))},
                rng.random(steps),
                None if i % 10 == 9 else rng.standard_normal((steps, 1)),
                provenance=Provenance(source="a" if i % 3 == 0 else "b"),
            )
    return open_corpus(path)


fractions = st.floats(0.01, 0.85)
seeds = st.integers(-(1 << 40), 1 << 40)
units = st.sampled_from(["trajectories", "steps"])
strata = st.sampled_from([None, "return", "source"])
shared = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@shared
@given(pair=st.tuples(fractions, fractions), seed=seeds, by=units, stratify=strata)
def test_smaller_masks_are_inside_larger_ones(
    corpus: Corpus, pair: tuple[float, float], seed: int, by: Any, stratify: Any
) -> None:
    few, many = (
        set(make_mask(corpus, f, seed, "m", by=by, stratify=stratify).labeled) for f in sorted(pair)
    )
    assert few <= many


@shared
@given(fraction=fractions, seed=seeds)
def test_the_fraction_counts_all_trajectories(corpus: Corpus, fraction: float, seed: int) -> None:
    mask = make_mask(corpus, fraction, seed, "m")
    assert len(mask.labeled) == max(1, int(fraction * COUNT + 0.5))
    places = [corpus.table.id.tolist().index(name) for name in mask.labeled]
    assert places == sorted(set(places))
    assert not {place for place in places if place % 10 == 9}


@shared
@given(fraction=fractions, seed=seeds, stratify=strata)
def test_the_fraction_may_count_steps(
    corpus: Corpus, fraction: float, seed: int, stratify: Any
) -> None:
    mask = make_mask(corpus, fraction, seed, "m", by="steps", stratify=stratify)
    view = corpus.with_mask(mask)
    labeled = int(view.table.num_observed.sum())
    wanted = fraction * corpus.table.length.sum()
    # It comes as close as whole trajectories allow; one is always labeled.
    longest = int(corpus.table.length.max())
    assert abs(labeled - wanted) <= longest / 2 or len(mask.labeled) == 1


@shared
@given(fraction=fractions, seed=seeds)
def test_every_source_gets_its_share(corpus: Corpus, fraction: float, seed: int) -> None:
    mask = make_mask(corpus, fraction, seed, "m", stratify="source")
    view = corpus.with_mask(mask).filter(lambda info: info.num_observed > 0)
    eligible = corpus.filter(lambda info: info.num_observed > 0)
    for source in ("a", "b"):
        size = (eligible.table.source == source).sum()
        share = len(mask.labeled) * size / len(eligible)
        assert abs((view.table.source == source).sum() - share) < 1


@shared
@given(seed=seeds)
def test_returns_are_represented_from_low_to_high(corpus: Corpus, seed: int) -> None:
    mask = make_mask(corpus, 0.5, seed, "m", stratify="return")
    returns = corpus.table.episode_return
    order = np.argsort(returns)
    labeled = np.isin(corpus.table.id, mask.labeled)[order]
    eligible = (corpus.table.num_observed > 0)[order]
    for decile in range(10):
        here = slice(6 * decile, 6 * decile + 6)
        share = len(mask.labeled) * eligible[here].sum() / eligible.sum()
        assert abs(labeled[here].sum() - share) <= 1


def test_a_mask_is_a_function_of_content_and_seed(corpus: Corpus) -> None:
    def ids(seed: int) -> tuple[str, ...]:
        return make_mask(corpus, 0.2, seed, "m").labeled

    assert ids(0) == ids(0)
    assert len({ids(seed) for seed in range(20)}) == 20


def test_masks_do_not_change_from_version_to_version(tmp_path: Path) -> None:
    with CorpusWriter.create(tmp_path / "c", observations=OBSERVATIONS, action=ACTION) as writer:
        for i in range(20):
            position = {"position": np.full((2, 1), i)}
            writer.add(position, [0.0], [[1.0]], provenance=Provenance(source="test"))
    mask = make_mask(open_corpus(tmp_path / "c"), 0.2, 0, "m")
    expected = ("7c798d42b61d428b", "c2a9e8bfd1532350", "c9d76d30cbd13cff", "acf65624694514df")
    assert mask.labeled == expected


def test_seeds_choose_evenly(corpus: Corpus) -> None:
    counts = np.zeros(COUNT)
    for seed in range(300):
        counts += np.isin(corpus.table.id, make_mask(corpus, 0.2, seed, "m").labeled)
    eligible = counts[corpus.table.num_observed > 0]
    expected = 300 * 12 / len(eligible)
    assert counts.sum() == eligible.sum() == 300 * 12
    # Five standard deviations of a binomial around the mean.
    assert abs(eligible - expected).max() < 5 * np.sqrt(expected)


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.01, float("nan"), float("inf")])
def test_fractions_outside_0_to_1_are_refused(corpus: Corpus, fraction: float) -> None:
    with pytest.raises(MaskError, match=r"is not in \(0, 1\]"):
        make_mask(corpus, fraction, 0, "m")


@pytest.mark.parametrize("by", ["trajectories", "steps"])
def test_more_labels_than_there_are_actions_are_refused(corpus: Corpus, by: Any) -> None:
    with pytest.raises(MaskError, match=r"the 54 trajectories .*give at most 0\.\d+") as caught:
        make_mask(corpus, 1.0, 0, "m", by=by)
    most = float(caught.value.hint.split()[-1])
    assert len(make_mask(corpus, most, 0, "m", by=by).labeled) == 54


@pytest.mark.parametrize("name", ["", "a/b", "../x", ".hidden", "x" * 101])
def test_names_that_are_no_file_names_are_refused(corpus: Corpus, name: str) -> None:
    with pytest.raises(MaskError, match="name"):
        make_mask(corpus, 0.1, 0, name)
    with pytest.raises(MaskError, match="no such mask"):
        corpus.with_mask(name)


def test_all_labels_is_a_mask_too(random_corpus: Callable) -> None:
    corpus = random_corpus(partial=())
    view = corpus.with_mask(make_mask(corpus, 1.0, 0, "all"))
    assert view.label_counts() == corpus.label_counts()


def test_partially_labeled_trajectories_are_never_chosen(random_corpus: Callable) -> None:
    corpus = random_corpus(partial=(0, 1, 2, 4), unlabeled=(3,))
    mask = make_mask(corpus, 3 / 8, 0, "m")
    assert set(mask.labeled) == set(corpus.table.id[5:])
    counts = corpus.with_mask(mask).label_counts()
    assert counts == {"observed": 3, "withheld": 4, "missing": 1, "inferred": 0}
    with pytest.raises(MaskError, match="no trajectory has all its actions"):
        make_mask(corpus.filter(np.arange(8) < 5), 0.5, 0, "m")


def test_masks_are_saved_by_name(random_corpus: Callable) -> None:
    corpus = random_corpus()
    first, second = make_mask(corpus, 0.25, 0, "a"), make_mask(corpus, 0.5, 1, "b.2")
    path = save_mask(corpus, first)
    assert path == corpus.path / "masks/a.json"
    written = path.stat().st_mtime_ns
    assert save_mask(corpus, first) == path
    assert path.stat().st_mtime_ns == written
    save_mask(corpus, second)
    assert open_corpus(corpus.path).masks() == {"a": first, "b.2": second}
    assert corpus.with_mask("b.2").mask == second
    with pytest.raises(MaskError, match="another mask has this name"):
        save_mask(corpus, second.model_copy(update={"name": "a"}))
    renamed = second.model_copy(update={"name": "a"})
    save_mask(corpus, renamed, replace=True)
    assert corpus.with_mask("a").mask == renamed
    with pytest.raises(MaskError, match=r"no such mask; masks here: a, b\.2"):
        corpus.with_mask("c")


def test_a_mask_belongs_to_one_corpus(random_corpus: Callable, tmp_path: Path) -> None:
    corpus, other = random_corpus("one"), random_corpus("two", seed=1)
    mask = make_mask(corpus, 0.5, 0, "m")
    with pytest.raises(MaskError, match="mask m: belongs to corpus"):
        other.with_mask(mask)
    with pytest.raises(MaskError, match="mask m: belongs to corpus"):
        save_mask(other, mask)
    assert not (other.path / "masks").exists()
    save_mask(corpus, mask)
    with CorpusWriter.append(corpus.path) as writer:
        writer.add(
            {"position": np.zeros((2, 2)), "height": np.zeros(2)},
            np.zeros(1),
            np.zeros((1, 3)),
            provenance=Provenance(source="more"),
        )
    with pytest.raises(MaskError, match="belongs to corpus"):
        open_corpus(corpus.path).with_mask("m")


def test_masks_that_name_what_they_cannot_show_are_refused(random_corpus: Callable) -> None:
    corpus = random_corpus(unlabeled=(0,), partial=(1,))
    mask = make_mask(corpus, 0.25, 0, "m")
    ids = corpus.table.id.tolist()
    for labeled, message in (
        (("f" * 16,), "not there"),
        (("ü",), "not there"),
        ((ids[2], ids[2]), "not there"),
        ((ids[0],), "without all actions"),
        ((ids[1],), "without all actions"),
    ):
        with pytest.raises(MaskError, match=message):
            corpus.with_mask(mask.model_copy(update={"labeled": labeled}))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"name": "m"}', "[" * 100_000, '{"name": 1, "name": 2}']
)
def test_damaged_mask_files_are_refused(random_corpus: Callable, text: str) -> None:
    corpus = random_corpus()
    path = save_mask(corpus, make_mask(corpus, 0.5, 0, "m"))
    path.write_text(text)
    with pytest.raises(MaskError, match=r"m\.json: .*make it again"):
        corpus.with_mask("m")
    with pytest.raises(MaskError, match=r"m\.json"):
        corpus.masks()


@pytest.mark.parametrize("endless", ["device", "pipe"])
def test_a_mask_without_an_end_is_refused(random_corpus: Callable, endless: str) -> None:
    corpus = random_corpus()
    file = corpus.path / "masks" / "a.json"
    file.parent.mkdir()
    file.symlink_to("/dev/zero") if endless == "device" else os.mkfifo(file)
    with pytest.raises(MaskError, match="is no regular file"):
        read_mask(file)
    (damaged,) = summarize(corpus)["damaged"]
    assert damaged["what"] == "is no regular file"


def test_trajectories_without_rewards_are_a_stratum_of_their_own(random_corpus: Callable) -> None:
    lengths, unrewarded = [3] * 60, range(0, 60, 3)
    corpus = random_corpus(lengths=lengths, unrewarded=unrewarded)
    alone = random_corpus("alone", lengths=lengths)
    for seed in range(10):
        labeled = make_mask(corpus, 0.5, seed, "m", stratify="return").labeled
        shown = np.isin(corpus.table.id, labeled)
        assert (shown & ~corpus.table.rewarded).sum() == 10
        # of the others each tenth of their returns has its share, wherever 0 lies among them
        order = np.argsort(corpus.table.episode_return[corpus.table.rewarded])
        tenths = shown[corpus.table.rewarded][order].reshape(10, 4).sum(1)
        assert (tenths == 2).all()
    rewarded = corpus.filter(corpus.table.rewarded)
    assert make_mask(rewarded, 0.5, 0, "m", stratify="return").labeled
    with pytest.raises(MaskError, match="no rewards were recorded, so there are no returns"):
        make_mask(corpus.filter(~corpus.table.rewarded), 0.5, 0, "m", stratify="return")
    assert len(make_mask(alone, 0.5, 0, "m", stratify="return").labeled) == 30


def test_masks_that_took_missing_rewards_for_zeros_stay_valid(random_corpus: Callable) -> None:
    """As they were drawn before such trajectories had a stratum of their own."""
    corpus = random_corpus(lengths=[3] * 40, unrewarded=range(0, 40, 3))
    table = corpus.table
    older = replace(table, metadata=MetadataColumn.empty(len(table)))
    mask = make_mask(corpus, 0.3, 0, "m", stratify="return")
    labeled = tuple(table.id[choose(older, 0.3, 0, stratify="return")].tolist())
    assert labeled != mask.labeled
    for names, fault in ((mask.labeled, False), (labeled, False), (labeled[1:], True)):
        made = mask.model_copy(update={"labeled": names})
        assert bool(choice_fault(made, table, corpus.manifest)) == fault
