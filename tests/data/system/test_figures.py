from __future__ import annotations

from pathlib import Path

import pytest
from lawm_schemas import ConfigError, StorageError
from matplotlib.figure import Figure

from lawm_data.system.figures import KINDS, image, new_figure, require_kind, write_figure

BEGINS = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}


def figure() -> Figure:
    made = new_figure(3, 2)
    axes = made.subplots()
    axes.plot([1, 2], [3, 4], label="words")
    axes.legend()
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_equal_figures_are_equal_files_of_every_kind(tmp_path: Path, kind: str) -> None:
    assert image(figure(), kind) == image(figure(), kind)
    path = tmp_path / f"a{kind}"
    write_figure(path, figure())
    assert path.read_bytes().startswith(BEGINS[kind])
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_letters_of_a_pdf_are_outlines_that_journals_take(tmp_path: Path) -> None:
    figure().savefig(tmp_path / "a.pdf")
    written = (tmp_path / "a.pdf").read_bytes()
    assert b"/Type42" in written or b"/TrueType" in written or b"/CIDFontType2" in written
    assert b"/Type3" not in written


def test_a_notebook_shows_a_picture() -> None:
    assert figure()._repr_png_() == image(figure())  # pyright: ignore


def test_other_files_are_refused(tmp_path: Path) -> None:
    for name in ("a.jpg", "a", ".png", "png"):
        with pytest.raises(ConfigError, match=r"is no picture; end it in \.png, \.pdf, \.svg"):
            require_kind(Path(name), "--picture")
    require_kind(Path("a.pdf"), "--picture")
    with pytest.raises(StorageError, match=r"gone.*a\.png"):
        write_figure(tmp_path / "gone" / "a.png", figure())
