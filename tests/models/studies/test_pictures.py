from __future__ import annotations

import io

import pytest
from matplotlib.image import imread
from study_results import papers_own, results, unscaled

from lawm_data.system.figures import image
from lawm_models.algorithms import ALGORITHMS
from lawm_models.studies.pictures import looks, pictures
from lawm_models.studies.table import make_table


def test_pictures_are_drawn_when_there_is_something_to_draw() -> None:
    table = papers_own()
    drawn = pictures(table)
    assert sorted(drawn) == ["bars", "profiles"]
    three = {("a", "lawm", labels): [50.0, 60.0] for labels in (0.01, 0.1, "all")}
    drawn = pictures(make_table(results(three)))
    assert sorted(drawn) == ["bars", "labels", "profiles"]
    for _, figure in drawn.values():
        assert image(figure).startswith(b"\x89PNG")


def test_a_bar_has_a_dot_for_each_seed_and_a_band_is_of_three() -> None:
    for seeds in (2, 3):
        scores = {
            ("a", "lawm", labels): [50.0, 60.0, 90.0][:seeds] for labels in (0.01, 0.1, "all")
        }
        drawn = {
            name: figure for name, (_, figure) in pictures(make_table(results(scores))).items()
        }
        for axes in drawn["bars"].axes:
            (dots,) = axes.collections
            assert [y for _, y in dots.get_offsets()] == [50, 60, 90][:seeds]
        (axes,) = drawn["labels"].axes
        band, dots = axes.collections
        assert len(dots.get_offsets()) == 3 * seeds
        assert bool(band.get_paths()) == (seeds == 3)
        assert len(drawn["profiles"].axes[0].collections) == (seeds == 3)


def test_over_all_corpora_is_drawn_what_has_finished_on_all_of_them() -> None:
    """As in the table: an easy corpus alone is not compared with all."""
    fractions = (0.01, 0.1, 0.5)
    scores: dict = {
        (corpus, name, labels): [50.0, 60.0]
        for corpus in "ab"
        for name in ("lawm", "clap", "bc")
        for labels in fractions
    }
    scores |= {("b", "clap", labels): [None, None] for labels in fractions}
    scores |= {("b", "bc", labels): [70.0, None] for labels in fractions}
    table = make_table(results(scores))
    drawn = {name: figure for name, (_, figure) in pictures(table).items()}
    summed = [
        column.algorithm for column, iqm in zip(table.columns, table.iqms, strict=True) if iqm
    ]
    assert summed == ["lawm"] * 3

    def titles(axes) -> list[str]:
        return axes.get_legend_handles_labels()[1]

    panels = {axes.get_title("left"): titles(axes) for axes in drawn["labels"].axes[:3]}
    assert panels == {
        "all corpora": ["LAWM"],
        "a": ["LAWM", "C-LAP", "BC"],
        "b": ["LAWM", "BC"],
    }
    assert [titles(axes) for axes in drawn["profiles"].axes] == [["LAWM"]] * 3
    # one corpus is no sum
    alone = pictures(make_table(results({("a", "bc", 0.1): [50.0, None]})))
    assert titles(alone["profiles"][1].axes[0]) == ["BC"]
    # nothing has finished everywhere
    none: dict = {key: each for key, each in scores.items() if key[1] == "clap"}
    drawn = {name: figure for name, (_, figure) in pictures(make_table(results(none))).items()}
    assert sorted(drawn) == ["bars", "labels"]
    assert drawn["labels"].axes[0].get_title("left") == "a"


def test_scores_below_zero_are_shown() -> None:
    for sign in (1, -1):
        scores = {("a", "lawm", labels): [sign * 50.0] for labels in (0.01, 0.1, "all")}
        drawn = pictures(make_table(results(scores)))
        for name in ("bars", "labels"):
            low, high = drawn[name][1].axes[0].get_ylim()
            assert low == 0 if sign == 1 else low < -50
            assert high > (50 if sign == 1 else -50)


def test_without_any_scale_there_are_bars_of_returns() -> None:
    scores = {("a", "lawm", labels): [50.0] for labels in (0.01, 0.1, "all")}
    drawn = pictures(make_table(unscaled(results(scores), "a")))
    assert sorted(drawn) == ["bars"]
    assert drawn["bars"][1].axes[0].get_ylabel() == "return"


@pytest.mark.parametrize("length", [3, 20, 40])
def test_long_titles_are_not_cut_off(length: int) -> None:
    titles = {name: {"algorithm": "lawm", "title": name * length} for name in "abcdefgh"}
    scores = {("corpus", name, 0.1): [50.0] for name in titles}
    study = results(scores, algorithms=titles, labels=[0.1])
    _, figure = pictures(make_table(study))["bars"]
    pixels = imread(io.BytesIO(image(figure)))[..., :3]
    assert (pixels[:, [0, -1]] == 1).all()


def test_algorithms_look_the_same_in_every_study() -> None:
    def seen(*names: str) -> dict[str, tuple[str, str]]:
        return dict(looks(make_table(results({("a", name, 0.1): [50.0] for name in names}))))

    one, other = seen("lawm", "mine", "clap"), seen("td3_bc", "clap", "yours", "lawm_plus", "lawm")
    assert (one["lawm"], one["clap"]) == (other["lawm"], other["clap"])
    for found in (one, other):
        assert len(set(found.values())) == len(found)
    assert {one["mine"], other["yours"]}.isdisjoint(seen(*ALGORITHMS.ours()).values())
