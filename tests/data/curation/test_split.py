"""Laws of splitting: nothing is lost, nothing leaks, and smaller parts are in larger ones."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lawm_schemas import ArraySpec, ConfigError, CorpusError, Provenance, Role, StorageError

from lawm_data import Corpus, CorpusWriter, merge_corpora, open_corpus, split_corpus
from lawm_data.corpus.store import open_store
from lawm_data.curation.split import divide, groups, parse_shares

ACTION = ArraySpec(name="action", shape=(1,), role=Role.action)
SHARES = {"train": 0.8, "validation": 0.2}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Sixty trajectories of six runs by two agents; every fifth is like the one before.

    Half of these copies have no actions, so that only what is observed gives them away.
    """
    path, rng = tmp_path_factory.mktemp("split") / "corpus", np.random.default_rng(0)
    x = np.empty(0)
    with CorpusWriter.create(
        path, observations=[ArraySpec(name="x", shape=(2,))], action=ACTION
    ) as writer:
        for i in range(60):
            x = x if i % 5 == 4 else rng.standard_normal((4, 2))
            run = i // 10
            writer.add(
                {"x": x},
                np.zeros(3),
                None if i % 10 == 4 else np.full((3, 1), i),
                provenance=Provenance(source=f"run-{run}", agent="ab"[run % 2], seed=run // 2),
                trajectory_id=f"trajectory-{i}",
            )
    return open_corpus(path)


@given(
    shares=st.lists(st.floats(0.05, 1), min_size=1, max_size=4),
    seed=st.integers(0, 9),
    whole=st.booleans(),
)
def test_parts_are_disjoint_and_of_their_size(
    corpus: Corpus, shares: list[float], seed: int, whole: bool
) -> None:
    total = sum(shares) if whole else max(1, sum(shares))
    named = {f"part-{i}": share / total for i, share in enumerate(shares)}
    try:
        parts = divide(corpus, named, seed, "trajectory")
    except CorpusError:
        # a share of no more than one group of two may fall between the groups
        assert min(named.values()) * len(corpus) <= 2
        return
    assert list(parts) == list(named)
    counts = np.sum(list(parts.values()), 0)
    assert counts.max() == 1
    assert counts.all() or sum(named.values()) < 1 - 1e-9
    for name, inside in parts.items():
        # groups of two at most: each end of a part is off by one at most
        assert abs(inside.sum() - named[name] * len(corpus)) <= 2


@given(seed=st.integers(0, 9), shares=st.tuples(st.floats(0.05, 1), st.floats(0.05, 1)))
def test_smaller_parts_are_in_larger_ones(
    corpus: Corpus, seed: int, shares: tuple[float, float]
) -> None:
    small, large = (divide(corpus, {"a": s}, seed, "trajectory")["a"] for s in sorted(shares))
    assert not (small & ~large).any()


@pytest.mark.parametrize("by", ["trajectory", "source", "agent", "seed"])
@pytest.mark.parametrize("seed", range(4))
def test_nothing_of_one_part_is_in_another(corpus: Corpus, by, seed: int) -> None:
    shares = {"a": 0.5, "b": 0.5} if by == "agent" else {"a": 0.6, "b": 0.4}
    parts = divide(corpus, shares, seed, by)
    observed = [
        {t.observations["x"].tobytes() for t in corpus.filter(inside)} for inside in parts.values()
    ]
    assert not observed[0] & observed[1]
    if by != "trajectory":
        values = [getattr(entry, by) for entry in corpus.manifest.provenance]
        names = [{values[k] for k in corpus.table.provenance[inside]} for inside in parts.values()]
        assert not names[0] & names[1]
    again = divide(corpus, shares, seed, by)
    assert all((again[name] == inside).all() for name, inside in parts.items())


def test_sources_with_a_trajectory_in_common_stay_together(tmp_path: Path) -> None:
    with CorpusWriter.create(
        tmp_path / "c", observations=[ArraySpec(name="x", shape=())], action=ACTION
    ) as writer:
        for source, value in (("a", 1), ("b", 2), ("c", 3), ("b", 1), ("d", 4), ("c", 4)):
            writer.add({"x": np.full(2, value)}, np.zeros(1), provenance=Provenance(source=source))
    corpus = open_corpus(tmp_path / "c")
    assert groups(corpus, "source").tolist() == ["a", "a", "c", "a", "c", "c"]


def test_the_seed_and_not_the_company_makes_the_order(corpus: Corpus) -> None:
    half = {"a": 0.5}
    assert (
        divide(corpus, half, 0, "trajectory")["a"] != divide(corpus, half, 1, "trajectory")["a"]
    ).any()
    some = np.arange(len(corpus)) % 10 < 5
    of_some = divide(corpus.filter(some), {"a": 0.4}, 0, "trajectory")["a"]
    of_all = divide(corpus, {"a": 0.9}, 0, "trajectory")["a"][some]
    assert not (of_some & ~of_all).any()


def test_parts_are_written_and_merge_to_the_whole(corpus: Corpus, tmp_path: Path) -> None:
    planned = split_corpus(corpus, SHARES, tmp_path / "parts", seed=3, dry_run=True)
    assert not (tmp_path / "parts").exists()
    assert split_corpus(corpus, SHARES, tmp_path / "parts", seed=3) == planned
    views = [open_corpus(tmp_path / "parts" / name) for name in SHARES]
    assert [view.fingerprint for view in views] == [part.fingerprint for part in planned.values()]
    step = views[1].manifest.lineage[-1]
    assert (step.operation, step.parents) == ("split", (corpus.fingerprint,))
    assert step.settings == {"part": "validation", "parts": SHARES, "seed": 3, "by": "trajectory"}
    merged = merge_corpora(views, tmp_path / "merged")
    assert merged.duplicates == merged.renamed == 0
    whole, back = open_store(corpus.path), open_store(merged.path)
    old, new = np.argsort(whole.table.ids), np.argsort(back.table.ids)
    assert whole.table.id[old].tolist() == back.table.id[new].tolist()
    np.testing.assert_array_equal(whole.digest[old], back.digest[new])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train=0.9", "validation=0.2"], r"add up to 1\.1"),
        (["train"], "'train'.*is not NAME=SHARE"),
        (["train=much"], "is not NAME=SHARE"),
        (["train=0.5", "train=0.5"], "is there twice"),
        (["train=0"], r"share 0\.0 is not in"),
        (["train=nan"], "share nan is not in"),
        (["../train=0.5"], "cannot be the name of a part"),
        ([], "no part is named"),
    ],
)
def test_shares_that_make_no_sense_are_refused(
    corpus: Corpus, tmp_path: Path, words: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        split_corpus(corpus, parse_shares(words), tmp_path / "parts")
    assert not (tmp_path / "parts").exists()


def test_what_cannot_be_divided_says_so(random_corpus: Callable) -> None:
    corpus = random_corpus()
    for by, words in (
        ("source", "cannot be divided by source: all is of one.*or divide it by trajectory"),
        ("trajectory", r"nothing is left for part .* \(8 groups by trajectory\); name fewer parts"),
    ):
        shares = {f"part-{i}": 1 / 9 for i in range(9)}
        with pytest.raises(CorpusError, match=words):
            divide(corpus, shares, 0, by)
    same = corpus.filter(np.arange(8) < 1)
    with pytest.raises(CorpusError, match="cannot be divided: all its trajectories are equal"):
        divide(same, {"a": 0.5, "b": 0.5}, 0, "trajectory")


def test_all_parts_or_none(corpus: Corpus, tmp_path: Path, random_corpus: Callable) -> None:
    with pytest.raises(CorpusError, match=r"nothing is left for part 'b' \(2 groups by agent\)"):
        split_corpus(corpus, {"a": 0.9, "b": 0.1}, tmp_path / "parts", by="agent")
    (tmp_path / "parts" / "validation").mkdir(parents=True)
    with pytest.raises(StorageError, match="something is already there"):
        split_corpus(corpus, SHARES, tmp_path / "parts")
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["validation"]
    damaged = random_corpus(shards=2)
    shard = max((damaged.path / "shards").iterdir(), key=lambda path: path.stat().st_size)
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    with pytest.raises(CorpusError, match="was altered"):
        split_corpus(damaged, SHARES, tmp_path / "others")
    assert not (tmp_path / "others").exists()


def test_a_split_that_was_killed_between_its_parts_goes_on(corpus: Corpus, tmp_path: Path) -> None:
    out = tmp_path / "parts"
    parts = split_corpus(corpus, SHARES, out, seed=3)
    with pytest.raises(StorageError, match="something is already there"):
        split_corpus(corpus, SHARES, out, seed=3)  # nothing is left to do
    first, *others = SHARES
    for name in others:
        shutil.rmtree(out / name)
    kept = (out / first / "corpus.json").stat().st_ino
    for shares, seed in ((SHARES, 4), ({**SHARES, first: SHARES[first] / 2}, 3)):
        with pytest.raises(StorageError, match="something is already there"):
            split_corpus(corpus, shares, out, seed=seed)  # not the same split
    with pytest.raises(StorageError, match="something is already there"):
        split_corpus(corpus.filter(np.arange(len(corpus)) > 3), SHARES, out, seed=3)
    assert split_corpus(corpus, SHARES, out, seed=3, dry_run=True) == parts
    assert [path.name for path in out.iterdir()] == [first]
    assert split_corpus(corpus, SHARES, out, seed=3) == parts
    assert (out / first / "corpus.json").stat().st_ino == kept
    views = [open_corpus(out / name, verify=True) for name in SHARES]
    assert [view.fingerprint for view in views] == [part.fingerprint for part in parts.values()]
