from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from lawm_data import make_mask, open_corpus, save_mask
from lawm_data.curation.choose import mask_by_ids, mask_where
from lawm_data.curation.derive import filter_corpus
from lawm_data.inspection.report.lineage import groups, stages
from lawm_data.inspection.summary import summarize


def test_groups_divide_the_view(random_corpus: Callable) -> None:
    view = random_corpus().filter(lambda info: info.length > 5)
    places = np.concatenate(list(groups(view).values()))
    assert sorted(places.tolist()) == list(range(len(view)))
    sizes = [len(rows) for rows in groups(view).values()]
    assert sizes == sorted(sizes, reverse=True)


def test_every_box_hangs_on_boxes_above_it(random_corpus: Callable, tmp_path: Path) -> None:
    corpus = random_corpus()
    derived = open_corpus(filter_corpus(corpus, "length > 5", tmp_path / "part").path)
    save_mask(derived, make_mask(derived, 0.5, 0, "half"))
    rows = stages(derived, summarize(derived))
    kinds = [{node.kind for node in row} for row in rows]
    assert kinds == [{"source"}, {"operation"}, {"corpus"}, {"mask"}]
    above: set[str] = set()
    for row in rows:
        assert all(set(node.parents) <= above for node in row)
        above |= {node.name for node in row}


def test_a_mask_that_was_chosen_is_no_draw(random_corpus: Callable, tmp_path: Path) -> None:
    corpus, long = random_corpus(), " and length > 1" * 9
    (tmp_path / "ids.txt").write_text(corpus.table.id[0])
    save_mask(corpus, mask_where(corpus, "length > 9", "long"))
    save_mask(corpus, mask_where(corpus, "length > 9" + long, "longer"))
    save_mask(corpus, mask_by_ids(corpus, tmp_path / "ids.txt", "listed"))
    save_mask(corpus, make_mask(corpus, 0.5, 3, "drawn"))
    facts = {node.title: node.facts for node in stages(corpus, summarize(corpus))[-1]}
    assert facts["long"] == ("keeps 3 labeled", "chosen by length > 9")
    assert facts["listed"] == ("keeps 1 labeled", "chosen by a list of ids")
    assert facts["drawn"] == ("keeps 4 labeled", "0.5 of the trajectories, seed 3")
    assert len(facts["longer"][1]) < 80
    part = tmp_path / "part"
    filter_corpus(corpus.with_mask("long"), "length > 5", part)
    derived = open_corpus(part)
    (node,) = [n for row in stages(derived, summarize(derived)) for n in row if n.name == "step0"]
    assert "where_of_mask length > 9" in node.facts
    assert not [fact for fact in node.facts if fact.split()[0] in ("fraction", "seed", "by")]
