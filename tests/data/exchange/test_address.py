from __future__ import annotations

from pathlib import Path

import pytest
from lawm_schemas import ConfigError

from lawm_data.exchange import Address, parse_address
from lawm_data.exchange.address import module_of


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("corpora/a", "is not an address"),
        ("d5rl:a.hdf5", "no format 'd5rl'; nearest: d4rl"),
        ("qqq:a", "known ones: aime"),
        ("d4rl:", "names no place.*write d4rl:FILE.hdf5"),
        ("d4rl: ", "names no place"),
        ("d4rl:a\0b", "names no place"),
    ],
)
def test_what_is_no_address_is_refused(text: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        parse_address(text)


def test_an_address_is_a_format_and_a_place() -> None:
    address = parse_address("d4rl:~/a:b.hdf5")
    assert address == Address("d4rl", str(Path.home() / "a:b.hdf5"))
    assert parse_address(str(address)) == address


def test_a_format_is_asked_only_for_what_it_does_and_knows() -> None:
    with pytest.raises(ConfigError, match="cannot be exported; formats that can: d4rl"):
        module_of(Address("aime", "a"), "writes", {})
    with pytest.raises(ConfigError, match=r"no setting .horizont.; settings: .*horizon"):
        module_of(Address("d4rl", "a"), "reads", {"horizont": 1})
