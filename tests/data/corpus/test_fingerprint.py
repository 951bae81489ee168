from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from lawm_schemas import Provenance

from lawm_data import Corpus, CorpusWriter, open_corpus


def rewritten(corpus: Corpus, path: Path, order: Iterable[int], **options: Any) -> Corpus:
    """Some trajectories of a corpus, written again in the order given."""
    manifest = corpus.manifest
    writer = CorpusWriter.create(
        path, observations=manifest.observations, action=manifest.action, **options
    )
    with writer:
        for i in order:
            trajectory = corpus[i]
            writer.add(
                dict(trajectory.observations.items()),
                trajectory.rewards,
                trajectory.actions,
                terminated=trajectory.terminated,
                truncated=trajectory.truncated,
                provenance=Provenance(source="again"),
                metadata={"copied": True},
            )
    return open_corpus(path, verify=True)


def test_it_does_not_depend_on_path_shards_time_or_what_is_said(
    random_corpus: Callable, tmp_path: Path
) -> None:
    corpus, split = random_corpus("one"), random_corpus("two", shards=4)
    joined = random_corpus("three", shards=8)
    CorpusWriter.append(joined.path).close()
    joined = open_corpus(joined.path, verify=True)
    assert len(joined.shards) == 1
    again = rewritten(corpus, tmp_path / "again", range(8), licence="MIT")
    same = [corpus, split, joined, again, split.filter(lambda info: True)]
    assert len({each.fingerprint for each in same}) == 1


def test_it_depends_on_trajectories_and_their_order(
    random_corpus: Callable, tmp_path: Path
) -> None:
    corpus = random_corpus("corpus")
    shorter = rewritten(corpus, tmp_path / "shorter", range(7))
    others = [
        shorter,
        rewritten(corpus, tmp_path / "reversed", range(7, -1, -1)),
        rewritten(corpus, tmp_path / "none", []),
        random_corpus("seed", seed=1),
        random_corpus("unlabeled", unlabeled=(3,)),
        random_corpus("partial", partial=(0,)),
    ]
    assert len({corpus.fingerprint, *(each.fingerprint for each in others)}) == 7
    # A filtered view is what a corpus of its trajectories would be.
    assert corpus.filter(np.arange(8) < 7).fingerprint == shorter.fingerprint


def test_twins_get_ids_of_their_own(random_corpus: Callable, tmp_path: Path) -> None:
    corpus = random_corpus("corpus")
    twins = rewritten(corpus, tmp_path / "twins", [3, 1, 3, 1, 3])
    first, second = (corpus[i].info.id for i in (3, 1))
    assert twins.table.id.tolist() == [first, second, f"{first}-2", f"{second}-2", f"{first}-3"]
    np.testing.assert_array_equal(twins[0].rewards, twins[4].rewards)
