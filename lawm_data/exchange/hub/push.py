"""Publishing a corpus: everything is uploaded, one commit shows it, and then it is verified."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from lawm_schemas import ConfigError, CorpusError, RemoteError

from lawm_data.corpus.corpus import Corpus, open_corpus
from lawm_data.corpus.latents import latent_names
from lawm_data.curation.action_clues import without_clues
from lawm_data.curation.derive import withhold
from lawm_data.exchange.hub.published_files import Upload, companions, prepare
from lawm_data.exchange.hub.remote import ChangedMeanwhile, Head, Remote
from lawm_data.exchange.hub.repository import (
    IGNORED,
    PUBLICATION,
    RepositoryState,
    deviation,
    read_publication,
    require_replaceable,
    state_of,
)
from lawm_data.exchange.hub.rows import require_packages
from lawm_data.system.output import scratch_folder
from lawm_data.system.progress import Progress, silent


class Pushed(NamedTuple):
    """A published corpus, or with ``dry_run`` what it would be."""

    repo: str
    url: str
    commit: str | None
    """The commit that shows it; None in a dry run that would change something."""
    tag: str
    """Names this content."""
    fingerprint: str
    trajectories: int
    steps: int
    mask: str | None
    withheld: int
    """Trajectories whose recorded actions the mask hides."""
    kept: bool
    """Whether these actions are published all the same."""
    masks: tuple[str, ...]
    overlays: tuple[str, ...]
    latents: str | None
    """Latent actions that are published with it."""
    left: tuple[str, ...]
    """What stays behind, and why."""
    licence: str | None
    files: int
    bytes: int
    new: int
    """Files that the repository did not hold."""
    dry_run: bool


def push(
    view: Corpus,
    repo: str,
    *,
    private: bool = False,
    keep_withheld: bool = False,
    licence: str | None = None,
    token: str | None = None,
    progress: Progress = silent,
    dry_run: bool = False,
    revision_of: str | None = None,
    keep: Collection[str] = (),
) -> Pushed:
    """Publish a view as a dataset repository; what a mask hides, or gives it away, is not in it.

    Nothing is visible before the last step, one commit on top of the one that was found at the
    start. Running it again after a failure uploads what is missing.

    Args:
        view: usually ``open_corpus(...)``, or ``.with_mask(...)`` of it; the latent actions of
            ``.with_latents(...)`` become a column.
        repo: ``user/name``.
        private: make a new repository private.
        keep_withheld: publish the hidden actions too, under ``corpus/``, with the mask beside.
        licence: SPDX id; by default that of the corpus.
        token: an access token; None takes the one that the user has set up.
        progress: called with how many files are done, and of how many.
        dry_run: only report what would be published; nothing is written there.
        revision_of: beginning of the fingerprint of another corpus in the repository that this
            one may replace.
        keep: clues to hidden actions that are published, see ``without_clues``.

    Raises:
        ConfigError: an argument makes no sense, or a package is missing.
        CorpusError: the corpus was altered.
        RemoteError: the repository holds something else or the Hub refused; it is as it was.
    """
    _require_publishable(view, keep_withheld)
    require_packages(view.manifest)
    remote = Remote(repo, token)
    head = remote.head()
    if private and head is not None and not head.private:
        hint = "make it private there first, or leave --private out"
        raise ConfigError("is public", repo, hint)
    state = None if head is None else state_of(remote, head)
    with scratch_folder("push") as folder:
        shown, native, clues_left = _native(view, folder, keep_withheld, keep)
        found = companions(native)
        left = found.left
        if native.path != view.path:
            how = "in part" if view.mask is None else "through a mask"
            masks, overlays, _ = companions(view)
            names = [f"mask {mask.name}" for mask in masks]
            names += [f"overlay {name}" for name in overlays]
            why = f"belongs to the whole corpus, which is published {how}"
            left += tuple(f"{name}: {why}" for name in names) + clues_left
        if view.latents is None:
            names = latent_names(view.path)
            left += tuple(f"latent actions {n}: go along with --latents {n}" for n in names)
        if keep_withheld and view.mask not in found.masks:
            hint = "save it beside the corpus first (save_mask)"
            raise ConfigError("is not a mask beside the corpus", f"mask {view.mask}", hint)
        if state is not None:
            require_replaceable(state, native, repo, revision_of)
        elif not dry_run:
            remote.create(private)
            state = state_of(remote, _required(remote))
            require_replaceable(state, native, repo, revision_of)
        there = {} if state is None else state.known
        upload = Upload(None if dry_run else remote, there, folder)
        prepare(upload, shown, native, found, repo, keep_withheld, licence, progress)
        text = upload.publication()
        new = upload.new + (state is None or state.text != text)
        commit = None if state is None or new else state.commit
        if state is not None and not dry_run:
            commit = _publish(remote, state, upload, text)
    return Pushed(
        repo=repo,
        url=remote.url,
        commit=commit,
        tag=upload.tag,
        fingerprint=native.fingerprint,
        trajectories=len(native),
        steps=int(native.table.length.sum()),
        mask=None if view.mask is None else view.mask.name,
        withheld=view.label_counts()["withheld"],
        kept=keep_withheld,
        masks=tuple(mask.name for mask in found.masks),
        overlays=found.overlays,
        latents=None if view.latents is None else view.latents.name,
        left=left,
        licence=licence or native.manifest.licence,
        files=len(upload.files) + 1,
        bytes=sum(file.bytes for file in upload.files),
        new=new,
        dry_run=dry_run,
    )


def _require_publishable(view: Corpus, keep_withheld: bool) -> None:
    if not len(view):
        raise CorpusError("holds no trajectories", str(view.path), "collect some")
    view.require_everything()
    if view.overlay is not None:
        hint = "push the view without with_labels; overlays come along by themselves"
        raise ConfigError("shows inferred actions", str(view.path), hint)
    if keep_withheld and view.mask is None:
        raise ConfigError("goes with a mask", "--keep-withheld", "add --mask")
    if keep_withheld and view.fingerprint != view.root_fingerprint:
        raise ConfigError("goes with a whole corpus", "--keep-withheld", "filter it before")


def _native(
    view: Corpus, folder: Path, keep_withheld: bool, keep: Collection[str]
) -> tuple[Corpus, Corpus, tuple[str, ...]]:
    """What tables and card show, the corpus to publish, and what is left out.

    The corpus is a new one, if there is anything that must not be in it.
    """
    whole = view.fingerprint == view.root_fingerprint
    if whole and (view.mask is None or keep_withheld):
        native = open_corpus(view.path, verify=True)
        if native.fingerprint != view.fingerprint:
            raise CorpusError("has changed since it was opened", str(view.path), "open it again")
        return view, native, ()
    shown = without_clues(view, keep)
    native = open_corpus(withhold(view, folder / "corpus", keep=keep))
    return shown.view, native, shown.left


def _required(remote: Remote) -> Head:
    head = remote.head()
    if head is None:
        raise RemoteError("was made and cannot be seen", remote.repo, "check the token")
    return head


def _publish(remote: Remote, state: RepositoryState, upload: Upload, text: bytes) -> str:
    """Commit, verify and tag; returns the commit that shows everything."""
    commit = state.commit
    if state.text != text or state.deviation is not None:
        known = {file.path for file in upload.files} | set(IGNORED)
        gone = sorted(set(state.files) - known)
        try:
            commit = remote.commit(upload.additions(text), gone, f"lawm {upload.tag}", state.commit)
        except ChangedMeanwhile:
            # A first try may have come through though its answer did not, or another push of
            # the same was quicker.
            commit = _same_content(remote, text)
        publication, there = read_publication(remote, commit)
        wrong = f"{PUBLICATION} was changed" if there != text else None
        wrong = wrong or deviation(remote, commit, publication, remote.files(commit))
        if wrong:
            what = f"the upload is not what was sent ({wrong})"
            raise RemoteError(what, f"{remote.repo} at {commit[:12]}", "run it again")
    remote.tag(upload.tag, commit)
    return commit


def _same_content(remote: Remote, text: bytes) -> str:
    head = _required(remote)
    if PUBLICATION in remote.files(head.commit):
        _, there = read_publication(remote, head.commit)
        if there == text:
            return head.commit
    raise ChangedMeanwhile(
        "was changed by somebody else meanwhile; nothing was overwritten",
        remote.repo,
        "look at the change, then run it again",
    )
