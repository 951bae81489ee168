from __future__ import annotations

from collections.abc import Callable

import pytest
from hub_server import Hub

from lawm_data.exchange.hub import push
from lawm_data.exchange.hub.cache import HubAddress, cached, fetch, parse_hub_address, pin


def test_an_address_is_fetched_once(hub: Hub, random_corpus: Callable) -> None:
    push(random_corpus(), "user/cs")
    address = pin(parse_hub_address("hf://user/cs"))
    assert address.revision == hub.repos["user/cs"].head
    path = fetch(address)
    hub.log.clear()
    assert fetch(pin(parse_hub_address(str(address)))) == path == cached(address)
    assert not hub.log


@pytest.mark.parametrize("text", ["hf://a", "hf://a/b@", "hf://a/b/c", "a/b", "hf://a/../b"])
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(Exception, match="is not an address on the Hub"):
        parse_hub_address(text)


def test_addresses_that_are_some() -> None:
    assert parse_hub_address("hf://a/b") == HubAddress("a/b", None)
    assert parse_hub_address("hf://a/b@v1") == HubAddress("a/b", "v1")
    assert str(parse_hub_address("hf://a/b@v1")) == "hf://a/b@v1"
