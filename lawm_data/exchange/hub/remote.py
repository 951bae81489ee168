"""A dataset repository of the Hub, used with distrust: sizes and checksums are compared here.

The endpoint is ``HF_ENDPOINT`` and the token ``HF_TOKEN`` or that of ``hf auth login``, as for
every other client of the Hub.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from lawm_schemas import ConfigError, RemoteError

from lawm_data.system.optional import optional

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

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


class NotThere(RemoteError):
    """There is no such repository, file or folder, or not for this token."""


class ChangedMeanwhile(RemoteError):
    """The repository is no longer at the commit that it was at."""


def http_error() -> type[Exception]:
    """What the client's HTTP library raises: that is httpx, and httpx2 since version 2."""
    from huggingface_hub.errors import HfHubHTTPError

    return HfHubHTTPError.__bases__[0]


def patiently(call: Callable[[], T]) -> T:
    """Make a call that may be made twice; when the server is busy or broke off, make it again."""
    for wait in WAITS:
        try:
            return call()
        except Exception as wrapped:  # the client wraps some of its refusals
            error = _cause(wrapped)
            status, asked = status_of(error), _retry_after(error)
            if not isinstance(error, http_error()) or status not in (None, *BUSY):
                raise
            if asked is not None and asked > LONGEST_WAIT:
                raise
            time.sleep(wait if asked is None else asked)
    return call()


@contextlib.contextmanager
def hub_errors(place: str, endpoint: str) -> Iterator[None]:
    """Turn whatever the client raises inside into an error of one line.

    Args:
        place: the repository, or a file in it.
        endpoint: the server.

    Raises:
        RemoteError: what was refused, and what to do about it.
    """
    from huggingface_hub import errors

    try:
        with _quiet():
            yield
    except errors.OfflineModeIsEnabled:
        what, hint = "the Hub is switched off by HF_HUB_OFFLINE", "unset it"
        raise RemoteError(what, place, hint) from None
    except (http_error(), *_MISUNDERSTOOD, OSError) as error:
        raise _refusal(_cause(error), place, endpoint) from None


def status_of(error: BaseException) -> int | None:
    """The status that the server answered with; None when it did not answer."""
    return getattr(getattr(error, "response", None), "status_code", None)


def _refusal(error: BaseException, place: str, endpoint: str) -> RemoteError:
    status = status_of(error)
    if status is None:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        if not isinstance(error, (http_error(), OSError)):
            what = f"{endpoint} does not answer as the Hub does ({reason})"
            return RemoteError(what, place, "check HF_ENDPOINT, and your version of the client")
        what = f"{endpoint} broke off or cannot be reached ({reason})"
        return RemoteError(what, place, f"check the connection, then {AGAIN}")
    if status == 401:
        hint = "log in with 'hf auth login', or set HF_TOKEN"
        return RemoteError("the Hub wants a token, or another one", place, hint)
    if status == 403:
        hint = "use a token that may write there"
        return RemoteError("the token has no right to do this", place, hint)
    if status == 404:
        return NotThere("is not there, or not for this token", place, "check the name")
    if status in (409, 412):
        what = "was changed by somebody else meanwhile; nothing was overwritten"
        return ChangedMeanwhile(what, place, "look at the change, then run it again")
    if status == 429:
        asked = _retry_after(error)
        when = "later" if asked is None else f"in {asked:.0f} seconds"
        return RemoteError("the Hub asks for fewer requests", place, f"{when}, {AGAIN}")
    message = " ".join(str(getattr(error, "server_message", None) or "").split())[:200]
    what = f"the Hub answers {status}" + (f" ({message})" if message else "")
    return RemoteError(what, place, AGAIN)


def _cause(error: BaseException) -> BaseException:
    """The refusal or the broken connection that the client has wrapped."""
    # what is behind that is of a library that no code here knows
    while error.__cause__ and status_of(error) is None and not isinstance(error, http_error()):
        error = error.__cause__
    return error


def _retry_after(error: BaseException) -> float | None:
    response = getattr(error, "response", None)
    text = response.headers.get("Retry-After", "") if response is not None else ""
    return float(text) if text.isdecimal() else None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the client: progress and errors are shown elsewhere."""
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


REPO = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]{0,95}/[0-9A-Za-z][0-9A-Za-z_.-]{0,95}")
COMMIT = re.compile(r"[0-9a-f]{40}")
KIND = "dataset"
MOST_FILES = 100_000
"""Files of a repository beyond which its listing is not followed any further."""
RESUMES = 5
"""How often a broken download goes on where it broke."""
NOT_OURS = "it is not a corpus of lawm"


class Head(NamedTuple):
    """A commit of a repository."""

    commit: str
    private: bool


class RemoteFile(NamedTuple):
    """A file as the server lists it."""

    size: int
    sha256: str | None
    """Of large files; small ones stand in git itself, which knows them by other hashes."""


class Remote:
    """One dataset repository.

    Args:
        repo: ``user/name``.
        token: an access token; None takes the one that the user has set up.

    Raises:
        ConfigError: not the name of a repository, or ``huggingface_hub`` is not installed.
    """

    def __init__(self, repo: str, token: str | None = None) -> None:
        if not REPO.fullmatch(repo):
            raise ConfigError("is not the name of a repository", repr(repo), "give user/name")
        self.repo = repo
        self._token = token
        self._api = _api(token)
        self._endpoint = str(self._api.endpoint)
        self.url = f"{self._endpoint}/datasets/{repo}"

    def head(self, revision: str | None = None) -> Head | None:
        """The commit that a revision names, or None when there is no such repository.

        Raises:
            RemoteError: no such revision, or the Hub cannot be asked.
        """
        from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

        with self._errors():
            try:
                info = patiently(
                    lambda: self._api.dataset_info(self.repo, revision=revision, timeout=30)
                )
            except RepositoryNotFoundError:
                return None
            except RevisionNotFoundError:
                hint = "give a branch, a tag or a commit"
                raise RemoteError(f"has no revision {revision!r}", self.repo, hint) from None
            return Head(_plain_commit(info.sha), bool(info.private))

    def files(self, commit: str, folder: str | None = None) -> dict[str, RemoteFile]:
        """Every file of a commit, or of a folder in it, by its path."""

        def listed() -> dict[str, RemoteFile]:
            found: dict[str, RemoteFile] = {}
            for entry in self._api.list_repo_tree(
                self.repo, folder, recursive=True, revision=commit, repo_type=KIND
            ):
                size, lfs = getattr(entry, "size", None), getattr(entry, "lfs", None)
                if size is not None:  # else it is a folder
                    found[entry.path] = RemoteFile(int(size), lfs.sha256 if lfs else None)
                if len(found) > MOST_FILES:
                    raise RemoteError(f"has more than {MOST_FILES} files", self.repo, NOT_OURS)
            return found

        with self._errors():
            return patiently(listed)

    def read(self, commit: str, path: str, limit: int) -> bytes:
        """A small file, whole.

        Raises:
            RemoteError: there is none, or it is larger than ``limit`` bytes.
        """
        parts, size = [], 0
        for part in self._body(commit, path):
            parts.append(part)
            size += len(part)
            if size > limit:
                raise RemoteError(f"is larger than {limit} bytes", self._place(path), NOT_OURS)
        return b"".join(parts)

    def download(
        self, commit: str, path: str, size: int, sha256: str, into: Callable[[bytes], Any]
    ) -> None:
        """Read a file piece by piece; never more than it should hold.

        Args:
            commit: of which version.
            path: path in the repository.
            size: bytes that it must have.
            sha256: checksum that it must have; known only after the last piece was handed on.
            into: takes the pieces.

        Raises:
            RemoteError: it has another size or checksum, or the connection broke for good.
        """
        seen, checksum = 0, hashlib.sha256()
        for part in self._body(commit, path):
            seen += len(part)
            if seen > size:
                break
            checksum.update(part)
            into(part)
        if seen != size or checksum.hexdigest() != sha256:
            what = "its checksum differs from the one in lawm.json"
            if seen != size:
                what = f"has {'more' if seen > size else 'less'} than the {size} bytes it should"
            hint = "try again; if it stays so, do not use this repository"
            raise RemoteError(what, self._place(path), hint)

    def create(self, private: bool) -> None:
        """Make the repository, empty, unless it is there."""
        with self._errors():
            patiently(
                lambda: self._api.create_repo(
                    self.repo, private=private, repo_type=KIND, exist_ok=True
                )
            )

    def upload(self, addition: CommitOperationAdd) -> None:
        """Send the bytes of a large file, unless the Hub has them; no commit shows them yet.

        Afterwards ``addition.path_or_fileobj`` is empty, unless the Hub wants the content with
        the commit, because it is small.
        """
        with self._errors(addition.path_in_repo):
            patiently(lambda: self._api.preupload_lfs_files(self.repo, [addition], repo_type=KIND))

    def commit(
        self,
        additions: Sequence[CommitOperationAdd],
        deletions: Iterable[str],
        message: str,
        parent: str,
    ) -> str:
        """Make everything visible at once; returns the commit.

        Raises:
            ChangedMeanwhile: the repository is no longer at ``parent``.
            RemoteError: the Hub refused.
        """
        from huggingface_hub import CommitOperationDelete

        removed = [CommitOperationDelete(path, is_folder=False) for path in deletions]
        with self._errors():
            done = patiently(
                lambda: self._api.create_commit(
                    self.repo,
                    [*additions, *removed],
                    commit_message=message,
                    repo_type=KIND,
                    parent_commit=parent,
                )
            )
            return _plain_commit(done.oid)

    def tag(self, name: str, commit: str) -> None:
        """Name a commit; a tag of this name that is there already stays where it is."""
        with self._errors():
            patiently(
                lambda: self._api.create_tag(
                    self.repo, tag=name, revision=commit, repo_type=KIND, exist_ok=True
                )
            )

    def _body(self, commit: str, path: str) -> Iterator[bytes]:
        """The bytes of a file; after a broken connection it goes on where it was."""
        seen, broken = 0, 0
        while True:
            with self._errors(path):
                try:
                    for part in self._rest(commit, path, seen):
                        seen += len(part)
                        yield part
                    return
                except http_error() as error:
                    broken += 1
                    if status_of(error) is not None or broken > RESUMES:
                        raise
            time.sleep(0.2 * broken)

    def _rest(self, commit: str, path: str, start: int) -> Iterator[bytes]:
        """The bytes of a file from one on."""
        from huggingface_hub import constants, hf_hub_url
        from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_stream_backoff

        # Compressed on the way, a range would count other bytes than ours.
        headers = build_hf_headers(token=self._token) | {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        url = hf_hub_url(self.repo, path, repo_type=KIND, revision=commit, endpoint=self._endpoint)
        with http_stream_backoff(
            "GET",
            url,
            headers=headers,
            timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT,
            retry_on_exceptions=(),
        ) as response:
            hf_raise_for_status(response)
            skip = 0 if response.status_code == 206 else start
            for part in response.iter_bytes():
                fresh = part[skip:]
                skip -= len(part) - len(fresh)
                if fresh:
                    yield fresh

    def _place(self, path: str) -> str:
        return f"{self.repo}: {path}" if path else self.repo

    def _errors(self, path: str = "") -> contextlib.AbstractContextManager[None]:
        return hub_errors(self._place(path), self._endpoint)


def addition(path: str, content: Path | bytes) -> CommitOperationAdd:
    """A file of the next commit."""
    from huggingface_hub import CommitOperationAdd

    return CommitOperationAdd(path, content if isinstance(content, bytes) else str(content))


def _api(token: str | None) -> HfApi:
    optional("huggingface_hub", "hub", "hub")  # first: its parts may be loaded without it
    hub = optional("huggingface_hub.hf_api", "hub", "hub")
    constants = optional("huggingface_hub.constants", "hub", "hub")

    # The client reads HF_ENDPOINT when it is imported; here it counts when it is used.
    endpoint = os.environ.get("HF_ENDPOINT") or constants.ENDPOINT
    return hub.HfApi(endpoint=endpoint.rstrip("/"), token=token)


def _plain_commit(commit: str | None) -> str:
    if commit is None or not COMMIT.fullmatch(commit):
        raise ValueError(f"{commit!r} is no commit")
    return commit
