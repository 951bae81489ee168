"""From a study to its runs."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from lawm_schemas import ConfigError, SeveralErrors, Study

from lawm_data import open_corpus
from lawm_models.studies.plan import Plan


def planned(corpus: Path, **data: object) -> Plan:
    given = {"corpora": {"cs": str(corpus)}, "algorithms": {"bc": {}}, "preset": "demo", **data}
    return Plan(Study.parse(given, ""), "study")


def test_cells_are_seed_by_seed_in_the_order_of_the_table(corpus: Path) -> None:
    plan = planned(corpus, algorithms={"td3_bc": {}, "bc": {}}, labels=[0.67, 0.34], seeds=[1, 0])
    found = [(cell.seed, cell.algorithm, cell.labels) for cell in plan.cells]
    expected = [(s, a, part) for s in (1, 0) for a in ("td3_bc", "bc") for part in (0.67, 0.34)]
    assert found == expected
    assert [cell.name for cell in plan.named(["*bc-34pct-seed1"])] == [
        "cs/td3_bc-34pct-seed1",
        "cs/bc-34pct-seed1",
    ]
    with pytest.raises(ConfigError, match=r"x\*: no run .*; the first is called cs/td3_bc-67pct"):
        plan.named(["*", "x*"])


def test_an_algorithm_runs_on_its_own_corpora(corpus: Path) -> None:
    corpora = {"one": str(corpus), "two": str(corpus)}
    plan = planned(corpus, corpora=corpora, algorithms={"bc": {}, "td3_bc": {"corpora": ["two"]}})
    found = [(cell.corpus, cell.algorithm) for cell in plan.cells]
    assert found == [("one", "bc"), ("two", "bc"), ("two", "td3_bc")]


def test_budgets_of_one_seed_are_nested_and_other_seeds_choose_others(corpus: Path) -> None:
    plan = planned(corpus, labels=[0.34, 0.5, 0.67, "all"], seeds=[0, 1, 2])
    chosen = {
        (c.seed, c.labels): {*(c.mask.labeled if c.mask else open_corpus(corpus).table.id)}
        for c in plan.cells
    }
    for seed in (0, 1, 2):
        for smaller, larger in pairwise((0.34, 0.5, 0.67, "all")):
            assert chosen[seed, smaller] < chosen[seed, larger]
    assert len({frozenset(chosen[seed, 0.5]) for seed in (0, 1, 2)}) > 1


def test_masks_are_written_once(corpus: Path) -> None:
    plan = planned(corpus, labels=[0.34, "all"])
    before = set(open_corpus(corpus).masks())
    plan.write_masks(plan.cells)
    plan.write_masks(plan.cells)
    written = open_corpus(corpus).masks()
    mask = plan.cells[0].mask
    assert mask is not None
    assert written.keys() - before == {mask.name}
    assert written[mask.name].labeled == mask.labeled


def test_everything_that_is_wrong_is_found_at_once(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(SeveralErrors) as caught:
        planned(
            corpus,
            corpora={"cs": {"path": str(corpus), "paper": "nobody"}, "gone": str(tmp_path / "no")},
            algorithms={"bc": {"settings": {"learning": 1}}},
            labels=["unknown_mask"],
        )
    lines = "\n".join(map(str, caught.value.errors))
    for words in ("nobody", "corpora.gone", "learning", "unknown_mask"):
        assert words in lines
