"""JSON of others: read without surprises."""

from __future__ import annotations

import json
from typing import Any

from lawm_schemas import CorpusError

from lawm_data.exchange.untrusted.archive import HINT


def strict_json(text: str | bytes, where: str, finite: bool = True) -> Any:
    """JSON without duplicate keys, NaN or infinity.

    Args:
        text: what is read.
        where: for messages.
        finite: refuse NaN and infinity, which some write all the same.

    Raises:
        CorpusError: it is not that.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) != len(pairs):
            raise ValueError("a key stands twice")
        return dict(pairs)

    def refuse(token: str) -> float:
        raise ValueError(f"{token} is not JSON")

    try:
        constant = refuse if finite else None
        return json.loads(text, object_pairs_hook=unique, parse_constant=constant)
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"is not JSON ({error})"[:200], where, HINT) from None
