from __future__ import annotations

import io

import pytest
from matplotlib.image import imread
from study_results import papers_own, results

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
