"""Masks of trajectories that are chosen by what they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from lawm_schemas import ConfigError, CorpusError, LawmError, MaskError

from lawm_data import Corpus, filter_corpus, merge_corpora, open_corpus, save_mask
from lawm_data.corpus.integrity.validate import validate
from lawm_data.curation.choose import mask_by_ids, mask_where


def test_a_mask_shows_what_an_expression_is_true_of(
    random_corpus: Callable, tmp_path: Path
) -> None:
    corpus = random_corpus(partial=(2,), unlabeled=(4,))
    mask = mask_where(corpus, "length >= 6 and truncated", "long")
    shown = [t.info.id for t in corpus if len(t) >= 6 and t.info.truncated]
    assert list(mask.labeled) == shown
    assert (mask.fraction, mask.where) == (len(shown) / 8, "length >= 6 and truncated")
    save_mask(corpus, mask)
    assert validate(corpus.path) == []
    view = corpus.with_mask("long")
    assert view.label_counts() == {"observed": 2, "withheld": 5, "missing": 1, "inferred": 0}
    filtered = filter_corpus(corpus, "length < 25", tmp_path / "short")
    assert filtered.masks == ("long",)
    both = merge_corpora([open_corpus(filtered.path), corpus], tmp_path / "both")
    assert set(open_corpus(both.path).masks()["long"].labeled) == set(shown)


def test_what_has_not_all_its_actions_is_not_shown(random_corpus: Callable) -> None:
    corpus = random_corpus(partial=(2,), unlabeled=(4,))
    mask = mask_where(corpus, "length > 0", "all")
    assert len(mask.labeled) == 6
    with pytest.raises(MaskError, match="chooses 2 trajectories, of which none has all its"):
        mask_where(corpus, "num_observed < length", "none")
    with pytest.raises(ConfigError, match="no such name 'lenght'"):
        mask_where(corpus, "lenght > 0", "none")


def test_ids_stand_in_a_file(random_corpus: Callable, tmp_path: Path) -> None:
    corpus: Corpus = random_corpus(partial=(2,))
    names, file = corpus.table.id.tolist(), tmp_path / "ids.txt"
    file.write_text(f"# ours\n\n{names[5]}  # good\r\n{names[1]}\n{names[5]}\n")
    mask = mask_by_ids(corpus, file, "ours")
    assert (mask.labeled, mask.where) == ((names[1], names[5]), "ids")
    wrong: dict[str | bytes, tuple[type[LawmError], str]] = {
        "nobody": (CorpusError, "trajectory nobody: is not in this view"),
        names[2]: (MaskError, "does not have all its actions"),
        "# none": (ConfigError, "names no trajectory"),
        b"\xff\xfe": (ConfigError, "is no text"),
    }
    for content, (kind, words) in wrong.items():
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(kind, match=words):
            mask_by_ids(corpus, file, "ours")
    with pytest.raises(ConfigError, match="is not a file"):
        mask_by_ids(corpus, tmp_path, "ours")
