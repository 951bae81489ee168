from __future__ import annotations

import pytest
import yaml
from hub_server import Hub

from lawm_data import Corpus
from lawm_data.exchange.hub import push

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
