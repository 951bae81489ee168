"""Distractors depend on seed, trajectory and t alone, stay behind the body, and are recorded."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lawm_schemas import ConfigError, CorpusError, Drawing

from lawm_data.envs.distractors import AGENTS, Distractors, parse
from lawm_data.system.video import write_video

SIZE, STEPS = 32, 400


@pytest.fixture(scope="module")
def everything(film: Path) -> Distractors:
    texts = parse(["noise", f"video:{film}", "agents"])
    return Distractors(Drawing(distractors=texts, seed=3), SIZE)


def test_any_order_gives_the_same_pictures(everything: Distractors, film: Path) -> None:
    rng = np.random.default_rng(0)
    behind = rng.random((SIZE, SIZE)) < 0.7
    clean = rng.integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
    places = [(trajectory, t) for trajectory in (5, 2**32 - 1) for t in (0, 1, 57, 399)]

    def painted(distractors: Distractors, trajectory: int, t: int) -> bytes:
        picture = clean.copy()
        did = distractors.paint(picture, behind, trajectory, t)
        return picture.tobytes() + b"".join(row.tobytes() for row in did.values())

    first = {place: painted(everything, *place) for place in places}
    assert {place: painted(everything, *place) for place in reversed(places)} == first
    other = Drawing(distractors=(f"video:{film}", "agents", "noise"), seed=4)
    assert painted(Distractors(other, SIZE), 5, 57) != first[5, 57]
    assert len(set(first.values())) == len(places)


def test_discs_enter_move_by_themselves_and_leave() -> None:
    discs = Distractors(Drawing(distractors=("agents",)), SIZE)
    blank, everywhere = np.zeros((SIZE, SIZE, 3), np.uint8), np.ones((SIZE, SIZE), bool)
    did = np.stack([discs.paint(blank.copy(), everywhere, 7, t)["agents"] for t in range(STEPS)])
    assert did.shape == (STEPS, AGENTS, 3)
    for there, x, y in np.moveaxis(did, 0, 2):
        assert 0.1 < there.mean() < 0.95
        assert (x[there == 0] == 0).all()
        moved = np.hypot(np.diff(x), np.diff(y))
        stays = (there[1:] == 1) & (there[:-1] == 1)
        assert moved[stays].min() > 0
        assert moved[stays].max() < 0.12
        for t in np.flatnonzero(np.diff(there) == 1) + 1:  # it has just come in
            assert min(x[t], 1 - x[t], y[t], 1 - y[t]) < 0.05


def test_the_film_is_played_without_a_cut_and_from_another_place(film: Path) -> None:
    shown = Distractors(Drawing(distractors=(f"video:{film}",)), SIZE)
    everywhere, first = np.ones((SIZE, SIZE), bool), {}
    for trajectory in range(8):
        pictures, did = np.zeros((60, SIZE, SIZE, 3), np.uint8), []
        for t, picture in enumerate(pictures):
            did.append(shown.paint(picture, everywhere, trajectory, t)["video"])
        frame, top, left = np.stack(did).T
        assert (abs(np.diff(frame)) == 1).all()
        assert (frame.min(), frame.max()) == (0, 11)
        assert len({*top.tolist()}) == len({*left.tolist()}) == 1
        brightness = pictures.mean((1, 2, 3))
        assert np.corrcoef(frame, brightness)[0, 1] > 0.99
        first[trajectory] = did[0].tobytes()
    assert len(set(first.values())) > 5


def test_what_is_before_is_not_painted_over(film: Path) -> None:
    behind = np.zeros((SIZE, SIZE), bool)
    behind[:, SIZE // 2 :] = True
    clean = np.full((SIZE, SIZE, 3), 9, np.uint8)
    both = Distractors(Drawing(distractors=("agents", f"video:{film}")), SIZE)
    for t in range(50):
        picture = clean.copy()
        both.paint(picture, behind, 1, t)
        assert (picture[~behind] == 9).all()
        assert (picture[behind] != 9).any()


def test_noise_is_as_strong_as_it_says() -> None:
    noise = Distractors(Drawing(distractors=("noise",)), SIZE)
    said, found = [], []
    for t in range(0, 200, 10):
        picture = np.full((SIZE, SIZE, 3), 128, np.uint8)
        said.append(noise.paint(picture, np.zeros((SIZE, SIZE), bool), 2, t)["noise"].item())
        found.append(picture.std())
    assert np.allclose(said, found, rtol=0.1)
    assert max(said) > 1.5 * min(said)


def test_a_film_is_known_by_its_content(film: Path, tmp_path: Path) -> None:
    asked = Drawing(distractors=(f"video:{film}",))
    recorded = Distractors(asked, SIZE).drawing
    assert recorded is not None
    assert recorded.distractors == ("video:film.mp4",)
    other = tmp_path / "film.mp4"
    write_video(other, [np.zeros((40, 40, 3), np.uint8)] * 3, 25)
    for place, what in ((other, "is another film than was drawn"), (tmp_path / "x", "not there")):
        again = recorded.model_copy(update={"distractors": (f"video:{place}",)})
        with pytest.raises(ConfigError, match=what):
            Distractors(again, SIZE)
    Distractors(recorded.model_copy(update={"distractors": (f"video:{film}",)}), SIZE)


def test_what_is_no_distractor_is_refused(tmp_path: Path) -> None:
    for texts in (["fog"], ["video"], ["video:"], ["agents:3"], [""]):
        with pytest.raises(ConfigError, match="no such distractor"):
            parse(texts)
    with pytest.raises(ConfigError, match="noise: is given twice"):
        parse(["noise", "noise"])
    broken, text = tmp_path / "broken.mp4", tmp_path / "film.txt"
    broken.write_bytes(b"no film at all" * 100)
    text.write_text("words")
    for path, error, what in (
        (tmp_path / "gone.mp4", ConfigError, "no such file"),
        (text, ConfigError, "is no film; films end in"),
        (broken, CorpusError, "broken.mp4"),
    ):
        with pytest.raises(error, match=what):
            Distractors(Drawing(distractors=(f"video:{path}",)), SIZE)


def test_collected_and_drawn_again_they_are_the_same(
    run_where_it_draws: Callable[..., None],
) -> None:
    run_where_it_draws(Path(__file__).with_name("distracted.py"))
