"""What holds for the documents of every schema."""

from typing import Any

import pytest
from lawm_schemas import ConfigError, Schema


def require_round_trip(schema: type[Schema], data: dict[str, Any]) -> Any:
    """A document is taken, and comes back from its own JSON."""
    document = schema.parse(data, "here")
    assert schema.parse(document.model_dump(mode="json"), "here") == document
    return document


def require_refused(
    schema: type[Schema], data: dict[str, Any], change: dict[str, Any], words: str
) -> None:
    """A document that is taken is not with this change, in one line that says so."""
    require_round_trip(schema, data)
    with pytest.raises(ConfigError, match=words) as caught:
        schema.parse({**data, **change}, "here")
    assert "\n" not in str(caught.value)
