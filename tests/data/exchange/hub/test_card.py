from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hub_server import Hub

from lawm_data import Corpus, make_mask
from lawm_data.curation.choose import mask_by_ids, mask_where
from lawm_data.exchange.hub import push
from lawm_data.exchange.hub.card import make_card

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def test_card_speaks_to_people_and_to_the_hub(hub: Hub, rich: Corpus) -> None:
    pushed = push(rich.with_mask("quarter"), "user/quarter", licence="CC-BY-4.0")
    text = hub.repos["user/quarter"].files["README.md"].data.decode()
    header = yaml.safe_load(text.split("---")[1])
    assert header["license"] == "cc-by-4.0"
    assert {"lawm", "robotics", "trajectories"} <= set(header["tags"])
    assert [config["config_name"] for config in header["configs"]] == ["steps", "trajectories"]
    assert "**2 of 8 trajectories (25%) have all their actions.**" in text
    assert "mask `quarter`" in text
    assert pushed.tag in text
    assert pushed.fingerprint in text
    assert hub.repos["user/quarter"].files["returns.png"].data.startswith(b"\x89PNG")


def test_card_says_how_a_mask_was_chosen(random_corpus: Callable, tmp_path: Path) -> None:
    corpus = random_corpus()
    (tmp_path / "ids.txt").write_text(corpus.table.id[0])
    for mask, said in (
        (mask_where(corpus, "length >  9", "m"), "shows those with `length > 9` (3 of 8). "),
        (mask_by_ids(corpus, tmp_path / "ids.txt", "m"), "shows those on a list of ids (1 of 8). "),
        (make_mask(corpus, 0.5, 3, "m"), "shows 0.5 of the trajectories, seed 3. "),
        (mask_where(corpus, "id != '`'", "m"), "shows those with `id != '''` (8 of 8). "),
    ):
        view = corpus.with_mask(mask)
        about = {"tag": "t", "licence": None, "kept": False, "masks": []}
        assert f"The mask `m` {said}" in make_card(view, corpus, "user/name", **about)
