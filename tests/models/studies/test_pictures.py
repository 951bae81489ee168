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
