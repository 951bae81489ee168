"""Fetching a published corpus: whole, checked to the last byte, or not at all."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import BinaryIO, NamedTuple

from lawm_schemas import MANIFEST, LawmError, Manifest, Publication, PublishedFile, RemoteError

from lawm_data.corpus.integrity.validate import validate
from lawm_data.corpus.latents import ABOUT, LATENTS
from lawm_data.corpus.latents import ARRAYS as LATENT_ARRAYS
from lawm_data.corpus.mask import MASKS
from lawm_data.corpus.overlay import ARRAYS, LABELS, OVERLAY
from lawm_data.corpus.store import MANIFEST_LIMIT, SHARDS, read_manifest
from lawm_data.exchange.hub.remote import NOT_OURS, Remote
from lawm_data.exchange.hub.repository import NATIVE, PUBLICATION, read_publication
from lawm_data.system.atomic import require_space, storage_errors
from lawm_data.system.output import new_output, require_free
from lawm_data.system.progress import Progress, silent

_NAME = r"[0-9A-Za-z][0-9A-Za-z_.-]{0,99}"
NATIVE_FILE = re.compile(
    rf"{NATIVE}/({re.escape(MANIFEST)}"
    rf"|{SHARDS}/[0-9A-Za-z_-]{{1,100}}\.h5"
    rf"|{MASKS}/{_NAME}\.json"
    rf"|{LABELS}/{_NAME}/({re.escape(OVERLAY)}|{re.escape(ARRAYS)})"
    rf"|{LATENTS}/{_NAME}/({re.escape(ABOUT)}|{re.escape(LATENT_ARRAYS)}))"
)
"""What may stand under ``corpus/``; nothing else is written to the disk."""


class Pulled(NamedTuple):
    """A corpus that was fetched, or with ``dry_run`` what is known of it beforehand."""

    repo: str
    path: Path
    revision: str
    """The commit that it is from."""
    fingerprint: str
    trajectories: int
    steps: int | None
    """None in a dry run."""
    masks: tuple[str, ...]
    overlays: tuple[str, ...]
    latents: tuple[str, ...]
    files: int
    bytes: int
    dry_run: bool


def pull(
    repo: str,
    out: str | Path,
    *,
    revision: str | None = None,
    token: str | None = None,
    progress: Progress = silent,
    dry_run: bool = False,
) -> Pulled:
    """Fetch a corpus with its masks, overlays and latent actions.

    Every file is compared with ``lawm.json``, every trajectory with its hash. Only then does the
    corpus get its name.

    Args:
        repo: ``user/name``.
        out: a folder that does not exist yet.
        revision: branch, tag or commit; None takes the newest.
        token: an access token; None takes the one that the user has set up.
        progress: called with how many bytes are done, and of how many.
        dry_run: fetch ``lawm.json`` alone, and report what it and the server promise.

    Raises:
        ConfigError: an argument makes no sense, or a package is missing.
        RemoteError: there is no corpus, or it is not what it says; nothing is left of it here.
        StorageError: something is already there, or the disk is too small.
    """
    out = Path(out)
    require_free(out)
    remote = Remote(repo, token)
    commit = require_commit(remote, revision)
    publication, _ = read_publication(remote, commit)
    files = native_files(remote, commit, publication)
    pulled = Pulled(
        repo=repo,
        path=out,
        revision=commit,
        fingerprint=publication.fingerprint,
        trajectories=publication.trajectories,
        steps=None,
        masks=_named(files, rf"{MASKS}/(.+)\.json"),
        overlays=_named(files, rf"{LABELS}/(.+)/{re.escape(OVERLAY)}"),
        latents=_named(files, rf"{LATENTS}/(.+)/{re.escape(ABOUT)}"),
        files=len(files),
        bytes=sum(file.bytes for file in files),
        dry_run=dry_run,
    )
    if dry_run:
        return pulled
    with new_output(out) as temporary:
        require_space(temporary.parent, pulled.bytes, "free some space, or stream it")
        _fetch(remote, commit, files, temporary, progress)
        require_sound(temporary, publication, repo)
        manifest = read_manifest(temporary)
        return pulled._replace(trajectories=manifest.trajectories, steps=manifest.steps)


def require_commit(remote: Remote, revision: str | None) -> str:
    """The commit that a revision names.

    Raises:
        RemoteError: no such repository or revision.
    """
    head = remote.head(revision)
    if head is None:
        hint = "check the name; a private one needs a token ('hf auth login' or HF_TOKEN)"
        raise RemoteError("no such dataset repository", remote.repo, hint)
    return head.commit


def native_files(remote: Remote, commit: str, publication: Publication) -> list[PublishedFile]:
    """The files of the native corpus, as ``lawm.json`` and the server agree on them.

    Raises:
        RemoteError: names the first in which they do not, or that has no place in a corpus.
    """
    files = [file for file in publication.files if file.path.startswith(f"{NATIVE}/")]
    there, where = remote.files(commit, NATIVE), f"{remote.repo}: {PUBLICATION}"
    for file in files:
        if not NATIVE_FILE.fullmatch(file.path):
            raise RemoteError(f"lists {file.path}, which is no part of a corpus", where, NOT_OURS)
        if file.path not in there:
            raise RemoteError(f"lists {file.path}, which is not there", where, NOT_OURS)
        size, sha256 = there[file.path]
        if size != file.bytes or sha256 not in (None, file.sha256):
            what = "is not the file that lawm.json lists"
            raise RemoteError(what, f"{remote.repo}: {file.path}", "it was changed; do not use it")
    strange = sorted(set(there) - {file.path for file in files})
    if strange:
        raise RemoteError(f"does not list {strange[0]}", where, "it was added; do not use it")
    if f"{NATIVE}/{MANIFEST}" not in there:
        raise RemoteError(f"lists no {NATIVE}/{MANIFEST}", where, NOT_OURS)
    if next(f for f in files if f.path == f"{NATIVE}/{MANIFEST}").bytes > MANIFEST_LIMIT:
        raise RemoteError(f"{MANIFEST} is too large", where, NOT_OURS)
    return files


def require_listed(manifest: Manifest, publication: Publication, repo: str) -> None:
    """Check that ``corpus.json`` and ``lawm.json`` speak of one corpus.

    Raises:
        RemoteError: they do not.
    """
    prefix = f"{NATIVE}/{SHARDS}/"
    listed = {
        (file.path.removeprefix(prefix), file.bytes, file.sha256)
        for file in publication.files
        if file.path.startswith(prefix)
    }
    named = {(shard.file, shard.bytes, shard.sha256) for shard in manifest.shards}
    if listed != named or manifest.fingerprint != publication.fingerprint:
        what = f"{MANIFEST} and {PUBLICATION} contradict each other"
        raise RemoteError(what, repo, "do not use this repository")


def require_sound(path: Path, publication: Publication, repo: str) -> None:
    """Check every byte of a corpus that has just come.

    Raises:
        RemoteError: names what is wrong.
    """
    hint = "do not use this repository"

    def published(text: str) -> str:
        """A message about the temporary folder as one about the repository."""
        return text.replace(str(path), f"{repo}: {NATIVE}")

    try:
        require_listed(read_manifest(path), publication, repo)
        wrong = [finding for finding in validate(path) if finding.severity == "error"]
    except RemoteError:
        raise
    except LawmError as error:
        raise RemoteError(published(error.what), published(error.where), hint) from None
    if wrong:
        raise RemoteError(published(wrong[0].what), published(wrong[0].where), hint)


def _fetch(
    remote: Remote, commit: str, files: list[PublishedFile], folder: Path, progress: Progress
) -> None:
    total, done = sum(file.bytes for file in files), 0

    def write(target: BinaryIO, part: bytes) -> None:
        nonlocal done
        with storage_errors(folder):
            target.write(part)
        done += len(part)
        progress(done, total)

    for file in sorted(files, key=lambda file: file.bytes):
        path = folder / file.path.removeprefix(f"{NATIVE}/")
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            target = path.open("xb")
        with target:
            remote.download(
                commit, file.path, file.bytes, file.sha256, lambda part, to=target: write(to, part)
            )
            with storage_errors(path):
                target.flush()
                os.fsync(target.fileno())


def _named(files: list[PublishedFile], pattern: str) -> tuple[str, ...]:
    """What stands for the group of a pattern in the paths below ``corpus/``, sorted."""
    found = (re.fullmatch(f"{NATIVE}/{pattern}", file.path) for file in files)
    return tuple(sorted(match[1] for match in found if match))
