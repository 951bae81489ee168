"""What other libraries say of errors."""

from __future__ import annotations

LONGEST = 200
"""Characters; some libraries put bytes of the file into what they say."""


def reason(error: BaseException) -> str:
    """The first line of what an error says, shortened; its kind where it says nothing."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:LONGEST]
