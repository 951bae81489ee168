from pathlib import Path

import numpy as np
import pytest
from lawm_cli.picture import Actions, Curve, draw, draw_label_errors
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


def judged(error: float, labeled: int | None) -> dict:
    """Figures of an overlay as ``compare_labels`` gives them."""
    rows = [{"share": 0.5, "expected": e, "observed": 2 * e} for e in (0.1, error)]
    groups = {name: {"r2": 1 - error * i} for i, name in enumerate(("low", "middle", "high"))}
    return {
        "algorithm": "lawm",
        "method": "inverse",
        "labeled": labeled,
        "r2": 1 - error,
        "reliability": rows,
        "by_return": groups,
        "by_source": {"dreamer": {"r2": 1 - error}},
    }


@pytest.mark.parametrize("labeled", [(4, 40), (4, 4), (None, None)])
def test_errors_of_labels_are_drawn(tmp_path: Path, labeled: tuple) -> None:
    overlays = {f"m{i}": judged(0.3 + i, n) for i, n in enumerate(labeled)}
    drawn = []
    for name in ("a.svg", "b.svg", "c.png"):
        draw_label_errors(tmp_path / name, overlays)
        drawn.append((tmp_path / name).read_bytes())
    assert drawn[0] == drawn[1]  # equal figures are equal files
    assert drawn[2].startswith(b"\x89PNG")


def test_where_no_action_varies_nothing_is_drawn(tmp_path: Path) -> None:
    for labeled in (4, 40), (None, None):
        overlays = {f"m{i}": judged(0.3, n) for i, n in enumerate(labeled)}
        overlays["m1"]["r2"] = overlays["m1"]["by_return"]["low"]["r2"] = None
        draw_label_errors(tmp_path / "a.svg", overlays)


def test_errors_by_source_stand_in_where_there_are_no_returns(tmp_path: Path) -> None:
    overlay = judged(0.3, None) | {"by_return": {}}
    draw_label_errors(tmp_path / "a.svg", {"m": overlay})
    draw_label_errors(tmp_path / "b.svg", {"m": overlay | {"by_source": {"a": {"r2": 0.1}}}})
    assert (tmp_path / "a.svg").read_bytes() != (tmp_path / "b.svg").read_bytes()
