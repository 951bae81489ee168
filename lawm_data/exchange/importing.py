"""From a foreign format to a corpus."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from lawm_schemas import MANIFEST, CorpusError, LineageStep

from lawm_data.corpus.commit import COMMIT_BYTES
from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.mask import save_mask
from lawm_data.corpus.overlay import LABELS, save_overlay
from lawm_data.corpus.store import open_store
from lawm_data.corpus.writer import CorpusWriter
from lawm_data.curation.derive import require_free
from lawm_data.exchange.address import Address, Imported, module_of, parse_address
from lawm_data.exchange.formats._protocol import Incoming, Progress, silent
from lawm_data.exchange.hub.cache import is_address
from lawm_data.exchange.published import pull_corpus
from lawm_data.system.atomic import sha256_file, storage_errors, write_file
from lawm_data.system.output import new_output

CHECKSUMMED = 1 << 30
"""Bytes of source files up to which the lineage remembers checksums."""
LISTED = 1000
"""Number of source files up to which it does."""

Inferred = dict[str, tuple[np.ndarray, np.ndarray]]
"""Mean and standard deviation of inferred actions, each (T, A), by id."""


def import_corpus(
    address: str,
    out: str | Path,
    settings: Mapping[str, Any] | None = None,
    progress: Progress = silent,
    *,
    dry_run: bool = False,
) -> Imported:
    """Write foreign data into a corpus of its own, one trajectory after the other.

    Everything is checked as if it were collected. The corpus appears under its name when it is
    complete; an error leaves nothing, and what a kill leaves the next import to there removes.

    Args:
        address: ``NAME:PLACE``, or ``hf://user/name@revision``.
        out: a folder that does not exist yet.
        settings: of the format, see ``lawm-data formats``.
        progress: told how many trajectories are done; of the Hub, how many bytes.
        dry_run: only open the source and say what its headers tell.

    Raises:
        ConfigError: the address or a setting makes no sense, or a package is missing.
        CorpusError: the data is not what it says it is, or does not fit a corpus.
        StorageError: something is already there, or the file system refused.
    """
    if is_address(address):
        return pull_corpus(address, out, settings or {}, progress, dry_run)
    where, out, settings = parse_address(address), Path(out), settings or {}
    require_free(out)
    module = module_of(where, "reads", settings)
    with closing(module.read(where.place, settings)) as incoming:
        return _imported(where, out, settings, incoming, progress, dry_run)


def _imported(
    where: Address,
    out: Path,
    settings: Mapping[str, Any],
    incoming: Incoming,
    progress: Progress,
    dry_run: bool,
) -> Imported:
    """Write what was opened; the arguments are those of ``import_corpus``."""
    masks = tuple(mask.name for mask in incoming.masks)
    overlays = (incoming.overlay.name,) if incoming.overlay else ()
    source = f"{where.format}:{incoming.name or Path(where.place).name}"
    if dry_run:
        said = tuple(incoming.said)
        return Imported(out, source, incoming.count, None, None, masks, overlays, said)
    with new_output(out) as temporary:
        writer = CorpusWriter.create(
            temporary,
            observations=incoming.observations,
            action=incoming.action,
            environment=incoming.environment,
            licence=incoming.licence,
        )
        with writer:
            inferred = _fill(writer, incoming, progress)
        (temporary / ".lock").unlink()
        step = _import_step(source, where, incoming, settings)
        manifest = writer.manifest.model_copy(update={"lineage": (*incoming.lineage, step)})
        write_file(temporary / MANIFEST, manifest.to_json().encode())
        _restore_beside(Corpus(open_store(temporary)), incoming, inferred)
    return Imported(
        path=out,
        source=source,
        trajectories=manifest.trajectories,
        steps=manifest.steps,
        fingerprint=manifest.fingerprint,
        masks=masks,
        overlays=overlays,
        said=tuple(incoming.said),
    )


def _fill(writer: CorpusWriter, incoming: Incoming, progress: Progress) -> Inferred:
    """Add every trajectory; returns the inferred actions that came along, by id."""
    inferred: Inferred = {}
    done = 0
    for done, episode in enumerate(incoming.trajectories, 1):
        with _naming(f"trajectory {done - 1}"):
            name = writer.add(
                episode.observations,
                episode.rewards,
                episode.actions,
                provenance=episode.provenance,
                action_observed=episode.action_observed,
                terminated=episode.terminated,
                truncated=episode.truncated,
                agent_step=episode.agent_step,
                seed=episode.seed,
                metadata=episode.metadata,
                trajectory_id=episode.trajectory_id,
            )
        if episode.inferred is not None:
            inferred[name] = episode.inferred
        if writer.pending_bytes >= COMMIT_BYTES:
            writer.commit()
        progress(done, incoming.count)
    if not done:
        raise CorpusError("holds no trajectory", incoming.name or "the source", "check the place")
    writer.commit()
    return inferred


def _restore_beside(corpus: Corpus, incoming: Incoming, inferred: Inferred) -> None:
    """Masks and inferred actions, bound to the corpus that they now belong to."""
    rebound = {"corpus": corpus.root_fingerprint}
    for mask in incoming.masks:
        bound = mask.model_copy(update=rebound)
        corpus.with_mask(bound)  # refuses one that names what is not there
        save_mask(corpus, bound)
    if incoming.overlay is not None:
        overlay = incoming.overlay.model_copy(update=rebound)
        width = corpus.manifest.action.size
        save_overlay(corpus.path / LABELS / overlay.name, overlay, inferred, width)


def _import_step(
    source: str, where: Address, incoming: Incoming, settings: Mapping[str, Any]
) -> LineageStep:
    told: dict[str, Any] = {"format": where.format, "source": source}
    if incoming.said:
        told["converted"] = list(incoming.said)
    if settings:
        told["settings"] = dict(settings)
    with storage_errors(source):
        size = sum(path.stat().st_size for path in incoming.files)
    told["files"], told["bytes"] = len(incoming.files), size
    if incoming.files and len(incoming.files) <= LISTED and size <= CHECKSUMMED:
        # below the folder that they share: nothing of what is above it is anybody's business
        above = Path(os.path.commonpath([path.parent for path in incoming.files]))
        told["sha256"] = {
            path.relative_to(above).as_posix(): sha256_file(path) for path in incoming.files
        }
    return LineageStep(operation="import", settings=told)


@contextmanager
def _naming(place: str) -> Iterator[None]:
    """Add to an error which trajectory it is about."""
    try:
        yield
    except CorpusError as error:
        raise CorpusError(error.what, f"{place}: {error.where}", error.hint) from None
