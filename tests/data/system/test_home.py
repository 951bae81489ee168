import os
from collections.abc import Callable
from pathlib import Path

import pytest
from lawm_schemas import ConfigError

from lawm_data.exchange.formats.minari.metadata import dataset_folder
from lawm_data.exchange.hub.cache import HubAddress, cached
from lawm_data.system.compiled import load_library
from lawm_data.system.home import home_folder


@pytest.mark.parametrize(
    ("call", "variable"),
    [
        (lambda: cached(HubAddress("user/name", "0" * 40)), "LAWM_CACHE"),
        (lambda: dataset_folder("user/name-v0"), "MINARI_DATASETS_PATH"),
        (lambda: load_library(Path(__file__), []), "XDG_CACHE_HOME"),
    ],
    ids=["hub", "minari", "compiled"],
)
def test_a_user_without_a_home_folder_is_told_what_to_set(
    monkeypatch, call: Callable[[], object], variable: str
) -> None:
    for name in ("HOME", variable):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 2)  # whom the system does not know
    with pytest.raises(ConfigError, match=f"^~: there is no home folder; set {variable}$"):
        call()


def test_home_is_where_the_system_says(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert home_folder("ANY") == tmp_path
