"""JSON of others: read without surprises."""

from __future__ import annotations

from typing import Any

from lawm_schemas import ConfigError, CorpusError
from lawm_schemas.plain_json import parse_json

from lawm_data.exchange.untrusted.archive import HINT


def strict_json(text: str | bytes, where: str, finite: bool = True) -> Any:
    """``parse_json`` of what stands in a file of somebody else.

    Raises:
        CorpusError: not JSON, or a key stands twice.
    """
    try:
        return parse_json(text, where, finite)
    except ConfigError as error:
        raise CorpusError(error.what, where, HINT) from None
