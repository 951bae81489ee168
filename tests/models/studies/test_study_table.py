"""Tables out of results; the paper's own numbers must give the paper's own table."""

import csv
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from lawm_schemas import CellResult, ConfigError, Evaluation, Results, Study
from matplotlib.image import imread

from lawm_models.algorithms import ALGORITHMS
from lawm_models.studies import paper
from lawm_models.studies.markdown import COLUMNS, body, comma_separated, markdown
from lawm_models.studies.packaged import STUDIES
from lawm_models.studies.pictures import looks, pictures
from lawm_models.studies.plan import read_study
from lawm_models.studies.table import Table, make_table
from lawm_models.studies.variant import variant
from lawm_models.studies.web_page import web_page

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


def papers_own() -> Table:
    """The paper's numbers as if they were ours: two seeds, one standard deviation off the mean."""
    scores: dict[tuple[str, str, Any], list[float | None]] = {
        (name.replace("/", "-"), *column): [found.mean - found.std, found.mean + found.std]
        for (name, *column), found in paper.table1().items()
    }
    corpora = {name.replace("/", "-"): {"path": "path", "paper": name} for name in PAPER["rows"]}
    return make_table(results(scores, corpora=corpora))


def test_the_papers_numbers_make_the_papers_table() -> None:
    table = papers_own()
    assert [c.heading for c in table.columns] == [
        "TD3+BC (oracle)",
        "C-LAP (oracle)",
        "TD3+BC (5%)",
        "C-LAP (5%)",
        "IDM-TD3+BC (5%)",
        "LAWM (5%)",
    ]
    assert table.averages == pytest.approx(PAPER["average"], abs=0.06)
    assert table.reported_averages == pytest.approx(table.averages)
    lines = list(body(table))
    for ours, theirs in zip(lines[0:24:2], lines[1:24:2], strict=True):
        assert [text.strip("*") for text in ours[1:]] == [text.strip("*") for text in theirs[1:]]
    # what the paper prints in bold
    bold = {
        row.corpus: [c.title for c, e in zip(table.columns, row.entries, strict=True) if e.best]
        for row in table.rows
    }
    assert [name for name, best in bold.items() if best == ["LAWM"]] == [
        "cheetah-run-medium-replay",
        "cheetah-run-plan2explore",
        "hopper-stand-medium",
        "hopper-stand-medium-replay",
        "hopper-stand-plan2explore",
        "walker-walk-expert",
        "walker-walk-medium",
        "walker-walk-medium-replay",
        "walker-walk-plan2explore",
    ]
    assert bold["cheetah-run-medium"] == ["IDM-TD3+BC"]


def test_variants_and_other_budgets_are_none_of_the_papers() -> None:
    scores = {("w", name, 0.05): [50.0] for name in ("lawm", "mine")} | {("w", "lawm", 0.1): [60.0]}
    study = {
        "corpora": {"w": {"path": "p", "paper": "walker-walk/medium"}},
        "algorithms": {
            "lawm": {"labels": [0.05, 0.1]},
            "mine": {"algorithm": "lawm", "title": "LAWM with a hat"},
        },
    }
    table = make_table(results(scores, **study))
    assert [c.heading for c in table.columns] == ["LAWM (5%)", "LAWM with a hat (5%)", "LAWM (10%)"]
    reported = [entry.reported for entry in table.rows[0].entries]
    assert reported == [(91.4, 1.1), None, None]


def test_what_is_missing_is_not_summed_up() -> None:
    table = make_table(
        results(
            {
                ("a", "bc", 0.05): [10, 30],
                ("b", "bc", 0.05): [20, None],
                ("a", "lawm", 0.05): [40, 40],
                ("b", "lawm", 0.05): [60, 60],
                ("a", "bc", "all"): [None, None],
                ("b", "bc", "all"): [90, 90],
            }
        )
    )
    assert table.averages == (None, None, 50)
    assert [bool(iqm) for iqm in table.iqms] == [False, False, True]
    text = markdown(table)
    assert "| a | – | 20.0 ± 10.0 | **40.0 ± 0.0** |" in text
    assert "| b | 90.0 ± 0.0 | 20.0 (1 of 2) | **60.0 ± 0.0** |" in text
    assert "| average | – | – | 50.0 |" in text


def test_equal_as_printed_is_equally_good_and_alone_is_nothing_special() -> None:
    table = make_table(
        results({("a", "bc", 0.1): [50.01], ("a", "lawm", 0.1): [50.0], ("a", "bc", 0.2): [70.0]})
    )
    assert [entry.best for entry in table.rows[0].entries] == [True, True, False]


def test_returns_without_a_scale_stay_returns() -> None:
    found = results({("a", "bc", 0.1): [50.0], ("b", "bc", 0.1): [70.0]})
    first, second = found.cells
    assert first.evaluation is not None
    raw = first.evaluation.model_copy(update={"normalized": None})
    cells = (first.model_copy(update={"evaluation": raw}), second)
    table = make_table(found.model_copy(update={"cells": cells}))
    assert "| a (return) | 500.0 |" in markdown(table)
    assert (table.averages, table.iqms) == ((None,), (None,))
    assert table.strata(0) == [(70.0,)]


def test_no_results_no_table() -> None:
    with pytest.raises(ConfigError, match="no run is finished; run the benchmark first"):
        make_table(results({("a", "bc", 0.1): [None]}))


def test_many_columns_become_several_tables() -> None:
    scores = {("a", name, n / 10): [50.0] for n in (1, 2, 3) for name in ("bc", "lawm", "x")}
    text = markdown(make_table(results(scores)))
    heads = re.findall(r"^\| corpus \| (.*) \|$", text, re.M)
    assert heads == [f"BC ({p}%) | LAWM ({p}%) | x ({p}%)" for p in (10, 20, 30)]


def test_very_many_columns_become_rows() -> None:
    names = [f"v{n}" for n in range(12)]
    scores = {("a", name, 0.1): [float(n)] for n, name in enumerate(names)}
    lines = markdown(make_table(results(scores))).splitlines()
    assert lines[:2] == ["| algorithm | a | interquartile mean |", "| --- | --: | --: |"]
    found = re.findall(r"^\| (v\d+) \(10%\) \| \**([\d.]+)\** \| ", "\n".join(lines), re.M)
    assert found == [(name, f"{n}.0") for n, name in enumerate(names)]


def test_csv_holds_every_number() -> None:
    table = papers_own()
    lines = list(csv.DictReader(io.StringIO(comma_separated(table))))
    assert tuple(lines[0]) == COLUMNS
    assert len(lines) == 6 * (12 + 2)
    for line in lines:
        if line["corpus"].startswith("("):
            continue
        assert float(line["mean"]) == pytest.approx(float(line["paper_mean"]))
        assert float(line["std"]) == pytest.approx(float(line["paper_std"]))


class _Tags(HTMLParser):
    VOID = frozenset({"meta", "img", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open += [] if tag in self.VOID else [tag]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_page_is_whole_and_alone() -> None:
    table = papers_own()._replace(name="<script>", description="a & b")
    page = web_page(table, {"a picture": b"\x89PNG"})
    tags = _Tags()
    tags.feed(page)
    assert tags.open == []
    assert "<script>" not in page
    assert "a & b" in tags.text
    assert "91.4 ± 1.1" in tags.text
    assert not re.findall(r"(?:src|href)=\"(?!data:)", page)


def test_pictures_are_drawn_when_there_is_something_to_draw() -> None:
    table = papers_own()
    drawn = pictures(table)
    assert sorted(drawn) == ["bars.png", "profiles.png"]
    three = {("a", "lawm", labels): [50.0, 60.0] for labels in (0.01, 0.1, "all")}
    drawn = pictures(make_table(results(three)))
    assert sorted(drawn) == ["bars.png", "labels.png", "profiles.png"]
    for _, image in drawn.values():
        assert image.startswith(b"\x89PNG")


@pytest.mark.parametrize("length", [3, 20, 40])
def test_long_titles_are_not_cut_off(length: int) -> None:
    titles = {name: {"algorithm": "lawm", "title": name * length} for name in "abcdefgh"}
    scores = {("corpus", name, 0.1): [50.0] for name in titles}
    study = results(scores, algorithms=titles, labels=[0.1])
    _, image = pictures(make_table(study))["bars.png"]
    pixels = imread(io.BytesIO(image))[..., :3]
    assert (pixels[:, [0, -1]] == 1).all()


def test_algorithms_look_the_same_in_every_study() -> None:
    def seen(*names: str) -> dict[str, tuple[str, str]]:
        return dict(looks(make_table(results({("a", name, 0.1): [50.0] for name in names}))))

    one, other = seen("lawm", "mine", "clap"), seen("td3_bc", "clap", "yours", "lawm_plus", "lawm")
    assert (one["lawm"], one["clap"]) == (other["lawm"], other["clap"])
    for found in (one, other):
        assert len(set(found.values())) == len(found)
    assert {one["mine"], other["yours"]}.isdisjoint(seen(*ALGORITHMS.ours()).values())


def test_a_mask_by_name_has_the_share_that_it_shows() -> None:
    table = make_table(results({("a", "bc", "mine"): [50.0], ("a", "bc", "all"): [60.0]}))
    assert [(c.heading, c.fraction) for c in table.columns] == [
        ("BC (oracle)", 1.0),
        ("BC (mask mine)", 0.2),
    ]


@pytest.mark.parametrize("name", STUDIES.names())
def test_shipped_studies_are_sound(name: str) -> None:
    study = read_study(name)
    for algorithm in study.algorithms:
        assert variant(study, algorithm, None)[1] == []
    for corpus, entry in study.corpora.items():
        assert Path(entry.path).name == corpus
        assert entry.paper is None or entry.paper.replace("/", "-") == corpus
        assert entry.paper is None or entry.paper in paper.datasets()


@pytest.mark.parametrize("name", ["claim", "labels", "two-cores", "paper"])
def test_shipped_studies_have_the_papers_algorithms(name: str) -> None:
    own = {"claim": {"lawm_plus"}, "labels": {"lawm_plus", "lawm_plus-free"}}.get(name, set())
    assert set(read_study(name).algorithms) == {"clap", "idm_td3_bc", "lawm", "td3_bc"} | own


@pytest.mark.parametrize("name", ["claim", "two-cores", "paper"])
def test_shipped_studies_have_the_papers_columns(name: str) -> None:
    study = read_study(name)
    columns = {(a, labels) for a in study.algorithms for labels in study.labels_of(a)}
    own = {("lawm_plus", 0.05)}
    assert columns - own == {tuple(column) for column in PAPER["columns"]}
    if name == "paper":
        assert sorted(entry.paper or "" for entry in study.corpora.values()) == paper.datasets()
