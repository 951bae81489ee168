from pathlib import Path

import numpy as np
import pytest
from lawm_cli.picture import Actions, Curve, draw
from lawm_schemas import StorageError

CURVE = Curve(np.array([10, 20]), np.array([1.0, 3.0]), np.array([0.5, 0.2]))
EMPTY = Curve(*np.zeros((3, 0)))


@pytest.mark.parametrize("curve", [CURVE, EMPTY])
@pytest.mark.parametrize("dims", [1, 6])
def test_picture_is_drawn(tmp_path: Path, curve: Curve, dims: int) -> None:
    true = np.random.default_rng(0).uniform(-1, 1, (50, dims))
    path = tmp_path / "picture.png"
    draw(path, "title", curve, np.array([1.0, 2.0]), Actions(true, true / 2), 0.75)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [entry.name for entry in tmp_path.iterdir()] == ["picture.png"]


def test_picture_needs_its_folder(tmp_path: Path) -> None:
    true = np.zeros((3, 1))
    with pytest.raises(StorageError, match=r"gone.*picture\.png"):
        draw(tmp_path / "gone" / "picture.png", "", CURVE, np.ones(2), Actions(true, true), None)
