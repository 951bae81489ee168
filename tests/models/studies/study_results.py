"""Results of studies, made up."""

from __future__ import annotations

from typing import Any

from lawm_schemas import CellResult, Evaluation, Results, Study

from lawm_models.studies import paper
from lawm_models.studies.table import ScoreTable, make_table

PAPER = paper.document()


def cell(corpus: str, algorithm: str, labels: Any, seed: int, score: float | None) -> CellResult:
    seen = None
    if score is not None:
        seen = Evaluation(
            return_mean=10 * score,
            return_std=0,
            normalized=score,
            episodes=1,
            returns=(10 * score,),
            seed=0,
            environment="dm_control:x",
        )
    return CellResult(
        corpus=corpus,
        algorithm=algorithm,
        labels=labels,
        seed=seed,
        state="open" if seen is None else "done",
        run="r",
        command="c",
        fingerprint="f",
        trajectories=100,
        labeled=20,
        evaluation=seen,
    )


def results(scores: dict[tuple[str, str, Any], list[float | None]], **study: Any) -> Results:
    """Made-up results: scores by corpus, algorithm and labels, one for each seed."""
    labels: dict[str, list[Any]] = {}
    for _, algorithm, budget in scores:
        own = labels.setdefault(algorithm, [])
        own += [] if budget in own else [budget]
    data = {
        "corpora": {corpus: "path" for corpus, *_ in scores},
        "algorithms": {name: {"labels": own} for name, own in labels.items()},
        "seeds": list(range(len(next(iter(scores.values()))))),
        **study,
    }
    cells = [
        cell(*where, seed, one) for where, each in scores.items() for seed, one in enumerate(each)
    ]
    return Results(name="s", command="lawm benchmark s", study=Study.parse(data, ""), cells=cells)


def unscaled(found: Results, *corpora: str) -> Results:
    """The same, without a largest return of these corpora."""
    cells = []
    for one in found.cells:
        seen = one.evaluation
        if seen is not None and one.corpus in corpora:
            seen = seen.model_copy(update={"normalized": None})
        cells.append(one.model_copy(update={"evaluation": seen}))
    return found.model_copy(update={"cells": tuple(cells)})


def papers_own() -> ScoreTable:
    """The paper's numbers as if they were ours: three seeds, with its mean and deviation."""
    scores: dict[tuple[str, str, Any], list[float | None]] = {
        (name.replace("/", "-"), *column): [
            found.mean - found.std,
            found.mean,
            found.mean + found.std,
        ]
        for (name, *column), found in paper.table1().items()
    }
    corpora = {name.replace("/", "-"): {"path": "path", "paper": name} for name in PAPER["rows"]}
    return make_table(results(scores, corpora=corpora))
