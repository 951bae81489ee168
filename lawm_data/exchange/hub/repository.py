"""What a repository holds now, and whether a push may replace it."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from lawm_schemas import ConfigError, Publication, RemoteError
from lawm_schemas.plain_json import parse_json
from lawm_schemas.publication import PUBLICATION_VERSION

from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.fingerprint import fingerprint_of
from lawm_data.curation.derive import digests_of
from lawm_data.exchange.hub.remote import NOT_OURS, Head, NotThere, Remote, RemoteFile

PUBLICATION = "lawm.json"
NATIVE = "corpus"
"""Folder of the native corpus in a repository."""
PUBLICATION_LIMIT = 1 << 24
"""Bytes; a larger ``lawm.json`` is not read."""
IGNORED = (PUBLICATION, ".gitattributes")
"""Files that ``lawm.json`` does not list; the Hub makes the second one."""
SHORTEST = 8
"""Characters of a fingerprint that are enough to mean it."""


class RepositoryState(NamedTuple):
    """What a commit of a repository holds."""

    commit: str
    files: dict[str, RemoteFile]
    publication: Publication | None
    """Its ``lawm.json``; None in an empty repository."""
    text: bytes
    """The same, as it stands there."""
    deviation: str | None
    """The first thing in which the files are not what it says."""

    @property
    def known(self) -> dict[str, str]:
        """Checksums of the files that are there, as far as they are known."""
        known = {path: file.sha256 for path, file in self.files.items() if file.sha256}
        if self.publication is not None and self.deviation is None:
            known |= {file.path: file.sha256 for file in self.publication.files}
        return known


def state_of(remote: Remote, head: Head) -> RepositoryState:
    """Look at a commit.

    Raises:
        RemoteError: it holds files, but no corpus of ours.
    """
    files = remote.files(head.commit)
    if not set(files) - {".gitattributes"}:
        return RepositoryState(head.commit, files, None, b"", None)
    if PUBLICATION not in files:
        some = min(set(files) - {".gitattributes"})
        what = f"holds something else than a corpus ({some})"
        raise RemoteError(what, remote.repo, "publish under another name")
    publication, text = read_publication(remote, head.commit)
    return RepositoryState(
        head.commit, files, publication, text, deviation(remote, head.commit, publication, files)
    )


def read_publication(remote: Remote, commit: str) -> tuple[Publication, bytes]:
    """``lawm.json`` of a commit, and its bytes.

    Raises:
        RemoteError: there is none, it is damaged, or it is of a newer version.
    """
    where = f"{remote.repo}: {PUBLICATION}"
    try:
        text = remote.read(commit, PUBLICATION, PUBLICATION_LIMIT)
    except NotThere as error:
        raise _other_data(remote, commit) or error from None
    try:
        data = parse_json(text, where)
    except ConfigError as error:
        raise RemoteError(error.what, where, NOT_OURS) from None
    version = data.get("format_version") if isinstance(data, dict) else None
    if isinstance(version, int) and version > PUBLICATION_VERSION:
        raise RemoteError(f"has format version {version}", where, "upgrade lawm")
    try:
        return Publication.parse(data, where), text
    except ConfigError as error:
        raise RemoteError(error.what, error.where, NOT_OURS) from None


def _other_data(remote: Remote, commit: str) -> RemoteError | None:
    """What to do with a repository that holds a LeRobot set; None where it does not."""
    for folder in ("meta", "meta_data"):  # of today, and of before v2.0
        try:
            found = f"{folder}/info.json" in remote.files(commit, folder)
        except NotThere:
            found = False
        if found:
            name = remote.repo.rpartition("/")[2]
            hint = (
                f"hf download {remote.repo} --repo-type dataset --local-dir {name}, "
                f"then lawm-data import lerobot:{name} OUT"
            )
            return RemoteError("holds a LeRobot set, and no corpus of lawm", remote.repo, hint)
    return None


def deviation(
    remote: Remote, commit: str, publication: Publication, files: dict[str, RemoteFile]
) -> str | None:
    """The first thing in which a commit is not what its ``lawm.json`` says, for messages."""
    listed = {file.path: file for file in publication.files}
    strange = sorted(set(files) - set(listed) - set(IGNORED))
    if strange:
        return f"{strange[0]} was added"
    for path, file in listed.items():
        there = files.get(path)
        if there is None:
            return f"{path} is missing"
        checksum = there.sha256
        if there.size == file.bytes and checksum is None:
            checksum = hashlib.sha256(remote.read(commit, path, file.bytes)).hexdigest()
        if (there.size, checksum) != (file.bytes, file.sha256):
            return f"{path} was changed"
    return None


def require_replaceable(
    state: RepositoryState, native: Corpus, repo: str, revision_of: str | None
) -> None:
    """Refuse to replace anything but an earlier version of a corpus.

    It is one when the repository is as it was published, and its corpus is this one, or the
    beginning of this one, or what this one was derived from. What a mask has been put on since is
    not: earlier commits would go on showing what is hidden now.

    Args:
        state: what is there.
        native: what would come.
        repo: ``user/name``.
        revision_of: beginning of the fingerprint of a corpus that may be replaced all the same.

    Raises:
        RemoteError: it may not be replaced.
    """
    publication = state.publication
    if publication is None:
        return
    there = publication.fingerprint
    if revision_of is not None:
        if len(revision_of) < SHORTEST or not there.startswith(revision_of):
            what = f"holds corpus {there[:12]}, not {revision_of}"
            raise RemoteError(what, repo, "look at it again")
        return
    hint = f"publish under another name, or replace it with --revision-of {there[:12]}"
    if state.deviation is not None:
        what = f"was changed since it was published ({state.deviation})"
        raise RemoteError(what, repo, hint)
    if there == native.fingerprint or _begins_with(native, publication):
        return
    lineage = native.manifest.lineage
    since = next((i for i, step in enumerate(lineage) if there in step.parents), None)
    shown = "its earlier commits would go on showing actions that are hidden now"
    masked = any("mask" in step.settings for step in lineage[since or 0 :])
    if since is None:
        # what was published through a mask does not name what it was made from
        perhaps = f"; if this one was made from it, {shown}" if masked else ""
        raise RemoteError(f"holds another corpus ({there[:12]}){perhaps}", repo, hint)
    if masked:
        raise RemoteError(shown, repo, hint)


def _begins_with(native: Corpus, publication: Publication) -> bool:
    """Whether a corpus has grown out of the published one by appending."""
    count = publication.trajectories
    if not 0 < count <= len(native):
        return False
    ids, digests = native.table.ids[:count], digests_of(native)[:count]
    return fingerprint_of(native.manifest, ids, digests) == publication.fingerprint
