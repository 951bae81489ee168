from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from lawm_schemas import CorpusError

from lawm_data import Corpus, make_mask, open_corpus, save_mask
from lawm_data.exchange import export_corpus, import_corpus


def test_the_lineage_keeps_what_was_exported_and_through_what(
    random_corpus: Callable[..., Corpus], tmp_path: Path
) -> None:
    corpus = random_corpus()
    save_mask(corpus, make_mask(corpus, 0.5, 0, "half"))
    done: list[tuple[int, int | None]] = []
    export = export_corpus(
        corpus.with_mask("half"),
        f"d4rl:{tmp_path / 'a.hdf5'}",
        progress=lambda *counts: done.append(counts),
    )
    assert done == [(i + 1, len(corpus)) for i in range(len(corpus))]
    assert export.masks == ()
    import_corpus(f"d4rl:{tmp_path / 'a.hdf5'}", tmp_path / "back")
    step = open_corpus(tmp_path / "back").manifest.lineage[-2]
    assert (step.operation, step.parents) == ("export", ())  # it covers what is hidden
    assert step.settings["mask"] == "half"
    export_corpus(corpus, f"d4rl:{tmp_path / 'whole.hdf5'}")
    import_corpus(f"d4rl:{tmp_path / 'whole.hdf5'}", tmp_path / "whole")
    step = open_corpus(tmp_path / "whole").manifest.lineage[-2]
    assert (step.operation, step.parents) == ("export", (corpus.root_fingerprint,))


def test_an_empty_view_is_refused(random_corpus: Callable[..., Corpus], tmp_path: Path) -> None:
    view = random_corpus().filter(lambda info: False)
    with pytest.raises(CorpusError, match="shows no trajectory; choose another view"):
        export_corpus(view, f"d4rl:{tmp_path / 'a.hdf5'}")
    assert not (tmp_path / "a.hdf5").exists()
