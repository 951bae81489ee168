"""The files of a publication, uploaded one by one as they are made."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from lawm_schemas import (
    MANIFEST,
    CorpusError,
    LawmError,
    Mask,
    Publication,
    PublishedFile,
    PublishedShard,
)

from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.features import feature_names
from lawm_data.corpus.latents import (
    ABOUT,
    LATENTS,
    found_in,
    save_latents,
)
from lawm_data.corpus.latents import ARRAYS as LATENT_ARRAYS
from lawm_data.corpus.mask import MASKS, mask_files, read_mask
from lawm_data.corpus.overlay import ARRAYS, LABELS, OVERLAY, overlay_names, read_overlay
from lawm_data.corpus.store import SHARDS
from lawm_data.exchange.hub.card import PICTURE, draw_returns, make_card
from lawm_data.exchange.hub.remote import Remote, addition
from lawm_data.exchange.hub.repository import NATIVE, PUBLICATION
from lawm_data.exchange.hub.rows import pieces, write_steps, write_trajectories
from lawm_data.system.atomic import sha256_file, storage_errors
from lawm_data.system.progress import Progress

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd

TAG_CHARACTERS = 12


class Companions(NamedTuple):
    """What stands beside a corpus and is published with it."""

    masks: tuple[Mask, ...]
    overlays: tuple[str, ...]
    left: tuple[str, ...]
    """What stays behind, and why."""


def companions(native: Corpus) -> Companions:
    """The masks and overlays that belong to a corpus as it is now."""
    masks, overlays, left = [], [], []
    for path in mask_files(native.path):
        try:
            mask = read_mask(path)
        except LawmError as error:
            left.append(f"mask {path.stem}: {error.what}")
            continue
        if mask.corpus == native.root_fingerprint:
            masks.append(mask)
        else:
            left.append(f"mask {mask.name}: belongs to another corpus")
    for name in overlay_names(native.path):
        try:
            current = read_overlay(native.path / LABELS / name).corpus == native.root_fingerprint
        except LawmError as error:
            left.append(f"overlay {name}: {error.what}")
            continue
        if current:
            overlays.append(name)
        else:
            left.append(f"overlay {name}: belongs to another corpus")
    left += [f"features {name}: are not published" for name in feature_names(native.path)]
    return Companions(tuple(masks), tuple(overlays), tuple(left))


class Upload:
    """Files on their way: what the repository has already is left out.

    Args:
        remote: where they go; None in a dry run.
        there: checksums of the files of the repository.
        folder: for what is made on the way.
    """

    def __init__(self, remote: Remote | None, there: dict[str, str], folder: Path) -> None:
        self._remote = remote
        self._there = there
        self.folder = folder
        self.files: list[PublishedFile] = []
        self.about: dict[str, object] = {}
        """Everything else that ``lawm.json`` says."""
        self.new = 0
        """Files that the repository does not hold."""
        self._additions: list[CommitOperationAdd] = []

    @property
    def tag(self) -> str:
        """Name of the content."""
        return f"lawm-{str(self.about['fingerprint'])[:TAG_CHARACTERS]}"

    def add(self, path: str, content: Path | bytes, sha256: str | None = None) -> None:
        """Upload a file, unless it is there; it is made visible later.

        Args:
            path: its path in the repository.
            content: the file. What lies in ``folder`` is removed when it is not needed any more.
            sha256: its checksum, when that is known.
        """
        if isinstance(content, bytes):
            size, sha256 = len(content), sha256 or hashlib.sha256(content).hexdigest()
        else:
            with storage_errors(content):
                try:
                    size = content.stat().st_size
                except FileNotFoundError:
                    hint = "wait for its writer, then run it again"
                    raise CorpusError("is gone", str(content), hint) from None
            sha256 = sha256 or sha256_file(content)
        self.files.append(PublishedFile(path=path, bytes=size, sha256=sha256))
        needed = self._there.get(path) != sha256
        self.new += needed
        if needed and self._remote is not None:
            operation = addition(path, content)
            if isinstance(content, Path):
                self._remote.upload(operation)
                # A file that the Hub counts as small is read again for the commit.
                needed = operation.path_or_fileobj != b""
            self._additions.append(operation)
        if isinstance(content, Path) and self.folder in content.parents and not needed:
            content.unlink()

    def publication(self) -> bytes:
        """``lawm.json``."""
        content = {**self.about, "files": tuple(self.files)}
        return Publication.model_validate(content).to_json().encode()

    def additions(self, text: bytes) -> list[CommitOperationAdd]:
        """What the commit adds, ``lawm.json`` among it."""
        return [*self._additions, addition(PUBLICATION, text)]


def prepare(
    upload: Upload,
    view: Corpus,
    native: Corpus,
    found: Companions,
    repo: str,
    kept: bool,
    licence: str | None,
    progress: Progress,
) -> None:
    """Add everything that is published to an upload, one file after the other.

    Args:
        upload: takes it.
        view: what tables and card show.
        native: the corpus that goes under ``corpus/``.
        found: what goes beside it.
        repo: ``user/name``.
        kept: the corpus holds what the view hides.
        licence: replaces that of the corpus.
        progress: called with how many large files are done, and of how many.
    """
    manifest = native.manifest
    if licence is not None:
        manifest = manifest.model_copy(update={"licence": licence})
    upload.about = {
        "fingerprint": native.fingerprint,
        "trajectories": len(native),
        "mask": None if view.mask is None else view.mask.name,
        "withheld": view.label_counts()["withheld"],
        "kept": kept,
        "shards": _shards(native, found.masks),
    }
    steps, rows = pieces(view, steps=True), pieces(view, steps=False)
    total, done = len(manifest.shards) + len(steps) + len(rows), 0
    for shard in manifest.shards:
        file = native.path / SHARDS / shard.file
        upload.add(f"{NATIVE}/{SHARDS}/{shard.file}", file, shard.sha256)
        done += 1
        progress(done, total)
    for name, parts, write in (
        ("steps", steps, write_steps),
        ("trajectories", rows, write_trajectories),
    ):
        for number, part in enumerate(parts):
            file = upload.folder / f"train-{number:05}-of-{len(parts):05}.parquet"
            write(view, part, file)
            upload.add(f"{name}/{file.name}", file)
            done += 1
            progress(done, total)
    upload.add(f"{NATIVE}/{MANIFEST}", manifest.to_json().encode())
    for mask in found.masks:
        upload.add(f"{NATIVE}/{MASKS}/{mask.name}.json", mask.to_json().encode())
    for name in found.overlays:
        for part in (OVERLAY, ARRAYS):
            path = native.path / LABELS / name / part
            upload.add(f"{NATIVE}/{LABELS}/{name}/{part}", path)
    if view.latents is not None:
        info = view.latents.model_copy(update={"corpus": native.root_fingerprint})
        folder = upload.folder / LATENTS / info.name
        save_latents(folder, info, found_in(view))
        for part in (ABOUT, LATENT_ARRAYS):
            upload.add(f"{NATIVE}/{LATENTS}/{info.name}/{part}", folder / part)
    card = make_card(
        view,
        native,
        repo,
        tag=upload.tag,
        licence=manifest.licence,
        kept=kept,
        masks=[mask.name for mask in found.masks],
    )
    upload.add(PICTURE, draw_returns(view))
    upload.add("README.md", card.encode())


def _shards(native: Corpus, masks: tuple[Mask, ...]) -> tuple[PublishedShard, ...]:
    """How many labeled trajectories each shard holds, also under each mask."""
    index, table = native.index, native.table
    complete = (index.action_row >= 0) & ~index.partial
    count = len(native.manifest.shards)

    def per_shard(shown: np.ndarray) -> list[int]:
        return np.bincount(index.shard[shown], minlength=count).tolist()

    labeled = per_shard(complete)
    under = {m.name: per_shard(np.isin(table.id, m.labeled)) for m in masks}
    return tuple(
        PublishedShard(
            file=shard.file,
            labeled=labeled[i],
            masks={name: counts[i] for name, counts in under.items()},
        )
        for i, shard in enumerate(native.manifest.shards)
    )
