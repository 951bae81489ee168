"""What the Hub's client raises: tried again where that may help, and then told in one line."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from lawm_schemas import RemoteError

WAITS = (1.0, 3.0, 10.0)
"""Seconds before a call is made again, where the server does not say how many."""
LONGEST_WAIT = 60.0
"""Seconds; a server that asks for more is left alone."""
BUSY = (408, 429, 500, 502, 503, 504)
"""Answers that a later try may not get."""
_MISUNDERSTOOD = (RuntimeError, ValueError, LookupError, TypeError, AttributeError, AssertionError)
"""What the client raises on answers that are not those of the Hub, which it takes on trust."""
AGAIN = "run it again; what has been uploaded is not uploaded twice"
T = TypeVar("T")


class ChangedMeanwhile(RemoteError):
    """The repository is no longer at the commit that it was at."""


def patiently(call: Callable[[], T]) -> T:
    """Make a call that may be made twice; when the server is busy or broke off, make it again."""
    from httpx2 import HTTPError

    for wait in WAITS:
        try:
            return call()
        except HTTPError as error:
            status, asked = status_of(error), _retry_after(error)
            if status is not None and status not in BUSY:
                raise
            if asked is not None and asked > LONGEST_WAIT:
                raise
            time.sleep(wait if asked is None else asked)
    return call()


@contextlib.contextmanager
def told(place: str, endpoint: str) -> Iterator[None]:
    """Whatever the client raises inside becomes one line.

    Args:
        place: the repository, or a file in it.
        endpoint: the server.

    Raises:
        RemoteError: what was refused, and what to do about it.
    """
    from httpx2 import HTTPError
    from huggingface_hub import errors

    try:
        with _quiet():
            yield
    except errors.OfflineModeIsEnabled:
        what, mend = "the Hub is switched off by HF_HUB_OFFLINE", "unset it"
        raise RemoteError(what, place, mend) from None
    except (HTTPError, *_MISUNDERSTOOD, OSError) as error:
        raise _refusal(_cause(error), place, endpoint) from None


def status_of(error: BaseException) -> int | None:
    """The status that the server answered with; None when it did not answer."""
    return getattr(getattr(error, "response", None), "status_code", None)


def _refusal(error: BaseException, place: str, endpoint: str) -> RemoteError:
    from httpx2 import HTTPError

    status = status_of(error)
    if status is None:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        if not isinstance(error, HTTPError | OSError):
            what = f"{endpoint} does not answer as the Hub does ({reason})"
            return RemoteError(what, place, "check HF_ENDPOINT, and your version of the client")
        what = f"{endpoint} broke off or cannot be reached ({reason})"
        return RemoteError(what, place, f"check the connection, then {AGAIN}")
    if status == 401:
        mend = "log in with 'hf auth login', or set HF_TOKEN"
        return RemoteError("the Hub wants a token, or another one", place, mend)
    if status == 403:
        mend = "use a token that may write there"
        return RemoteError("the token has no right to do this", place, mend)
    if status == 404:
        return RemoteError("is not there, or not for this token", place, "check the name")
    if status in (409, 412):
        what = "was changed by somebody else meanwhile; nothing was overwritten"
        return ChangedMeanwhile(what, place, "look at the change, then run it again")
    if status == 429:
        asked = _retry_after(error)
        when = "later" if asked is None else f"in {asked:.0f} seconds"
        return RemoteError("the Hub asks for fewer requests", place, f"{when}, {AGAIN}")
    said = " ".join(str(getattr(error, "server_message", None) or "").split())[:200]
    what = f"the Hub answers {status}" + (f" ({said})" if said else "")
    return RemoteError(what, place, AGAIN)


def _cause(error: BaseException) -> BaseException:
    """The refusal or the broken connection that the client has wrapped."""
    from httpx2 import HTTPError

    # what is behind an HTTPError is of a library that no code here knows
    while error.__cause__ and status_of(error) is None and not isinstance(error, HTTPError):
        error = error.__cause__
    return error


def _retry_after(error: BaseException) -> float | None:
    response = getattr(error, "response", None)
    text = response.headers.get("Retry-After", "") if response is not None else ""
    return float(text) if text.isdigit() else None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Progress is told elsewhere, and what goes wrong is told once."""
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
        logging,
    )

    silent, level = are_progress_bars_disabled(), logging.get_verbosity()
    if not silent:
        disable_progress_bars()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if not silent:
            enable_progress_bars()
