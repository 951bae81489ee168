from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from lawm_schemas import CorpusError

from lawm_data import Corpus, filter_corpus, make_mask, merge_corpora, open_corpus, save_mask
from lawm_data.corpus.rate import step_seconds
from lawm_data.exchange import export_corpus, import_corpus
from lawm_data.exchange.formats import FORMATS


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


def test_what_was_never_recorded_is_said(
    random_corpus: Callable[..., Corpus], tmp_path: Path
) -> None:
    corpus = random_corpus()
    assert export_corpus(corpus, f"d4rl:{tmp_path / 'a.hdf5'}").notes == ()
    recorded = tmp_path / "recorded"
    export_corpus(corpus, f"lerobot:{recorded}", {"fps": 20})
    shutil.rmtree(recorded / "meta/lawm")
    import_corpus(f"lerobot:{recorded}", tmp_path / "b", without=["next.reward"])
    made = export_corpus(open_corpus(tmp_path / "b"), f"d4rl:{tmp_path / 'b.hdf5'}")
    count = len(open_corpus(tmp_path / "b"))
    assert f"no rewards were recorded in {count} trajectories: zeros stand there" in made.notes


WRITTEN = [name for name, module in FORMATS.load_all()[0].items() if module.ABOUT.writes]


@pytest.mark.parametrize("format", WRITTEN)
def test_the_rate_of_a_recording_survives_every_format(
    random_corpus: Callable[..., Corpus],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    format: str,
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    recorded = tmp_path / "recorded"
    export_corpus(random_corpus(), f"lerobot:{recorded}", {"fps": 20})
    shutil.rmtree(recorded / "meta/lawm")
    import_corpus(f"lerobot:{recorded}", tmp_path / "a")
    filter_corpus(open_corpus(tmp_path / "a"), "length > 0", tmp_path / "b")
    merge_corpora([open_corpus(tmp_path / "b")], tmp_path / "merged")
    place = "lab/set-v0" if format == "minari" else str(tmp_path / "set.hdf5")
    export_corpus(open_corpus(tmp_path / "merged"), f"{format}:{place}")
    import_corpus(f"{format}:{place}", tmp_path / "back")
    back = open_corpus(tmp_path / "back")
    assert step_seconds(back.manifest) == 0.05
    export_corpus(back, f"lerobot:{tmp_path / 'again'}")
    assert json.loads((tmp_path / "again/meta/info.json").read_text())["fps"] == 20
