from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from lawm_data import make_mask, open_corpus, save_mask
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
