"""What a notebook shows of each kind of thing: little, and nothing of another's names as markup."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lawm_schemas import ArraySpec, Provenance, Role

from lawm_data import Corpus, CorpusWriter, Loader, TorchWindows, make_mask, open_corpus

HOSTILE = "<script>alert(1)</script>"
FIELDS = (
    ArraySpec(name="position", shape=(3,)),
    ArraySpec(name="camera", shape=(4, 4, 3), dtype="uint8", role=Role.pixels),
    ArraySpec(name="physics", shape=(2,), dtype="float64", role=Role.physics),
)
ACTION = ArraySpec(name="action", shape=(2,), role=Role.action, low=(-1.0,) * 2, high=(1.0,) * 2)


@pytest.fixture
def whole(tmp_path: Path) -> Corpus:
    """Twenty trajectories; number 1 has no actions, 2 some, and the odd ones no rewards."""
    folder = tmp_path / HOSTILE.replace("/", "")
    folder.mkdir()
    writer = CorpusWriter.create(folder / "<b>", observations=FIELDS, action=ACTION)
    rng = np.random.default_rng(0)
    for i in range(20):
        writer.add(
            {s.name: (rng.normal(size=(31, *s.shape)) * 9).astype(s.dtype) for s in FIELDS},
            np.full(30, 0.5 if i % 2 == 0 else 0),
            None if i == 1 else np.full((30, 2), 0.123456),
            action_observed=np.arange(30) < 9 if i == 2 else None,
            provenance=Provenance(source=HOSTILE),
            metadata={"note": HOSTILE * 50} | ({"rewards": "none"} if i % 2 else {}),
            seed=1_000_000,
        )
    writer.close()
    return open_corpus(folder / "<b>")


@pytest.fixture
def things(whole: Corpus) -> dict[str, Any]:
    view = whole.with_mask(make_mask(whole, 0.2, 0, "few"))
    loader = Loader(view, 4, 7, labeled_ratio=0.5)
    return {
        "corpus": whole,
        "view": view,
        "none": view[:0],
        "table": whole.table,
        "loader": loader,
        "batch": loader.next(),
        "observations": view[0].observations,
        **{f"trajectory {i}": whole[i] for i in range(3)},
        "windows": TorchWindows(view, 4, 7),
    }


def test_pages_are_short_and_escape_every_name(things: dict[str, Any]) -> None:
    for name, thing in things.items():
        if name != "windows":
            page = thing._repr_html_()
            assert "<script" not in page
            assert "<b>/" not in page
            assert len(page) < 20_000
            assert "0.123456" not in page


def test_words_are_short_and_hold_no_numbers_of_arrays(things: dict[str, Any]) -> None:
    for thing in things.values():
        words = repr(thing)
        assert len(words) < 600
        assert "\n" not in words
        assert "array(" not in words
        assert "object at 0x" not in words


def test_what_is_said(things: dict[str, Any]) -> None:
    assert "4 observed, 15 withheld, 1 missing, mask 'few'" in repr(things["view"])
    assert "4 windows of 7 steps, 2 labeled, on cpu: observation float32[4, 8, 3]" in repr(
        things["batch"]
    )
    assert "camera uint8[4, 8, 4, 4, 3]" in repr(things["batch"])
    assert "labeled_ratio=0.5, seed=0" in repr(things["loader"])
    assert "next batch 1, on cpu" in repr(things["loader"])
    assert "20 trajectories, 600 steps" in repr(things["table"])
    page = things["table"]._repr_html_()
    assert "1000000" in page
    assert all(f">{place}<" in page for place in (0, 4, 15, 19))
    assert ">7<" not in page


def test_returns_that_were_not_recorded_are_not_zero(things: dict[str, Any]) -> None:
    assert "return 15.0" in repr(things["trajectory 0"])
    for shown in (repr(things["trajectory 1"]), things["trajectory 1"]._repr_html_()):
        assert "no rewards" in shown
        assert "return 0.0" not in shown
        assert "reward</td>" not in shown
    assert ">-<" in things["table"]._repr_html_()


def test_hidden_actions_are_not_described(whole: Corpus) -> None:
    view = whole.with_mask(make_mask(whole, 0.2, 0, "few"))
    hidden = view[view.table.labels == 1][0]
    assert "0.1235" not in hidden._repr_html_()
    assert "0.1235" in view[view.table.labels == 0][0]._repr_html_()


def test_a_mask_is_told_without_its_ids(whole: Corpus) -> None:
    mask = make_mask(whole, 0.2, 0, "few")
    assert "fraction=0.2" in repr(mask)
    assert mask.labeled[0] not in repr(mask)
