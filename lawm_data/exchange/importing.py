"""From a foreign format, or the Hub, to a corpus."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lawm_schemas import MANIFEST, ConfigError, CorpusError, LawmError, LineageStep

from lawm_data.corpus.constant_actions import inert_actions
from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.latents import LATENTS, LatentActions, save_latents
from lawm_data.corpus.mask import choice_fault, save_mask
from lawm_data.corpus.overlay import LABELS, save_overlay
from lawm_data.corpus.store import open_store
from lawm_data.corpus.writing.commit import COMMIT_BYTES
from lawm_data.corpus.writing.records import make_records
from lawm_data.corpus.writing.writer import CorpusWriter
from lawm_data.exchange.address import Address, module_of, parse_address
from lawm_data.exchange.formats import FORMATS
from lawm_data.exchange.formats._protocol import Episode, Incoming
from lawm_data.exchange.hub.cache import is_hub_address, parse_hub_address
from lawm_data.exchange.hub.pull import pull
from lawm_data.system.atomic import sha256_file, storage_errors, write_file
from lawm_data.system.output import new_output, require_free
from lawm_data.system.progress import Progress, silent

CHECKSUMMED = 1 << 30
"""Bytes of source files up to which the lineage remembers checksums."""
LISTED = 1000
"""Number of source files up to which it does."""

TOGETHER, MANY = 1 << 20, 1000
"""Bytes of observations, and trajectories, that are checked together."""
WITHOUT = "without"
"""The setting of formats that leave out what is not wanted before they read it."""


class Beside(NamedTuple):
    """What came along with trajectories, by their ids here."""

    inferred: dict[str, tuple[np.ndarray, np.ndarray]]
    """Mean and standard deviation of inferred actions, each (T, A)."""
    latents: dict[str, tuple[int, LatentActions]]
    """Steps and latent actions."""
    rounded: list[str]
    """Notes of arrays whose numbers the corpus holds only rounded."""


class Imported(NamedTuple):
    """A corpus that was imported, or with ``dry_run`` what is known of it beforehand."""

    path: Path
    source: str
    trajectories: int | None
    """None in a dry run when the format does not know."""
    steps: int | None
    fingerprint: str | None
    masks: tuple[str, ...]
    overlays: tuple[str, ...]
    latents: tuple[str, ...]
    """Sets of latent actions."""
    notes: tuple[str, ...]
    """What was converted or not kept."""


def import_corpus(
    address: str,
    out: str | Path,
    settings: Mapping[str, Any] | None = None,
    progress: Progress = silent,
    *,
    without: Sequence[str] = (),
    dry_run: bool = False,
) -> Imported:
    """Write foreign data into a corpus of its own, one trajectory after the other.

    Everything is checked as if it were collected. The corpus appears under its name when it is
    complete; an error leaves nothing, and what a kill leaves the next import to there removes.

    Args:
        address: ``NAME:PLACE``, or ``hf://user/name@revision``.
        out: a folder that does not exist yet.
        settings: of the format, see ``lawm-data formats``.
        progress: called with how many trajectories are done; of the Hub, how many bytes.
        without: observations to leave out, by their name in the source or in the corpus; formats
            that can do so do not read them, so that one which is damaged costs nothing else.
        dry_run: only open the source and report what its headers say.

    Raises:
        ConfigError: the address or a setting makes no sense, or a package is missing.
        CorpusError: the data is not what it says it is, or does not fit a corpus.
        StorageError: something is already there, or the file system refused.
    """
    if is_hub_address(address):
        for name in without:
            hint = "import it, and leave arrays out of the copy"
            raise ConfigError(f"cannot leave {name!r} out of a corpus", address, hint)
        return _pull(address, Path(out), settings or {}, progress, dry_run)
    where, out, settings = parse_address(address), Path(out), settings or {}
    require_free(out)
    left = WITHOUT in FORMATS.load(where.format).ABOUT.settings
    if without and left:
        settings = {**settings, WITHOUT: ",".join(without)}
    module = module_of(where, "reads", settings)
    with closing(module.read(where.place, settings)) as incoming:
        incoming = incoming if left or not without else incoming.without(without)
        return _imported(where, out, settings, incoming, progress, dry_run)


def _pull(
    address: str, out: Path, settings: Mapping[str, Any], progress: Progress, dry_run: bool
) -> Imported:
    """Import from the Hub: the corpus as it was published."""
    where = parse_hub_address(address)
    for key in settings:
        raise ConfigError(f"no setting {key!r}", address, "the Hub has none")
    pulled = pull(where.repo, out, revision=where.revision, progress=progress, dry_run=dry_run)
    plan = f"{pulled.files} files, {pulled.bytes / 1e6:.3g} MB, are to be downloaded"
    return Imported(
        path=out,
        source=str(where._replace(revision=pulled.revision)),
        trajectories=pulled.trajectories,
        steps=pulled.steps,
        fingerprint=pulled.fingerprint,
        masks=pulled.masks,
        overlays=pulled.overlays,
        latents=pulled.latents,
        notes=(plan,) if dry_run else (),
    )


def _imported(
    where: Address,
    out: Path,
    settings: Mapping[str, Any],
    incoming: Incoming,
    progress: Progress,
    dry_run: bool,
) -> Imported:
    """Write what was opened; the arguments are those of ``import_corpus``."""
    source = f"{where.format}:{incoming.name or Path(where.place).name}"
    found = Imported(
        path=out,
        source=source,
        trajectories=incoming.count,
        steps=None,
        fingerprint=None,
        masks=tuple(mask.name for mask in incoming.masks),
        overlays=(incoming.overlay.name,) if incoming.overlay else (),
        latents=(incoming.latents.name,) if incoming.latents else (),
        notes=tuple(incoming.notes),
    )
    if dry_run:
        return found
    with new_output(out) as temporary:
        writer = CorpusWriter.create(
            temporary,
            observations=incoming.observations,
            action=incoming.action,
            environment=incoming.environment,
            licence=incoming.licence,
        )
        with writer:
            came = _fill(writer, incoming, progress)
        (temporary / ".lock").unlink()
        notes = [*incoming.notes, *came.rounded]
        step = _import_step(source, where, incoming, settings, notes)
        manifest = writer.manifest.model_copy(update={"lineage": (*incoming.lineage, step)})
        write_file(temporary / MANIFEST, manifest.to_json().encode())
        corpus = Corpus(open_store(temporary))
        bound = {"corpus": corpus.root_fingerprint}  # what came along belongs to this corpus now
        masks, left = [], []
        for mask in incoming.masks:
            mask = mask.model_copy(update=bound)
            corpus.with_mask(mask)  # refuses one that names what is not there
            if fault := choice_fault(mask, corpus.table, manifest):
                left.append(
                    f"mask {mask.name} was changed after the export and is left out: {fault}"
                )
            else:
                save_mask(corpus, mask)
                masks.append(mask.name)
        overlays = []
        if incoming.overlay is not None and not came.inferred:
            left.append(f"labels {incoming.overlay.name}: came without inferred actions, left out")
        elif incoming.overlay is not None:
            overlay = incoming.overlay.model_copy(update=bound)
            width = manifest.action.size
            save_overlay(temporary / LABELS / overlay.name, overlay, came.inferred, width)
            overlays.append(overlay.name)
        if incoming.latents is not None:
            latents = incoming.latents.model_copy(update=bound)
            save_latents(temporary / LATENTS / latents.name, latents, came.latents)
            corpus.with_latents(latents.name)  # refuses what is not of a whole corpus
        inert = [f"{what}; {hint}" for what, hint in inert_actions(corpus).warnings(out)]
    return found._replace(
        trajectories=manifest.trajectories,
        steps=manifest.steps,
        fingerprint=manifest.fingerprint,
        masks=tuple(masks),
        overlays=tuple(overlays),
        notes=(*notes, *left, *inert),
    )


def _fill(writer: CorpusWriter, incoming: Incoming, progress: Progress) -> Beside:
    """Add every trajectory; returns what came along to stand beside them."""
    beside = Beside({}, {}, [])
    done = 0
    for some in _together(incoming.trajectories):
        records = make_records(writer.manifest, [_content(episode) for episode in some])
        for episode in some:
            try:
                name = writer.add_record(
                    next(records),
                    provenance=episode.provenance,
                    agent_step=episode.agent_step,
                    seed=episode.seed,
                    trajectory_id=episode.trajectory_id,
                )
            except CorpusError as error:
                place = f"trajectory {done}: {error.where}"
                raise CorpusError(error.what, place, error.hint) from None
            beside.rounded.extend(_rounded(episode, incoming, beside.rounded))
            if episode.inferred is not None:
                beside.inferred[name] = episode.inferred
            if episode.latents is not None:
                beside.latents[name] = len(episode.rewards), episode.latents
            if writer.pending_bytes >= COMMIT_BYTES:
                writer.commit()
            done += 1
            progress(done, incoming.count)
    if not done:
        raise CorpusError("holds no trajectory", incoming.name or "the source", "check the place")
    writer.commit()
    return beside


def _rounded(episode: Episode, incoming: Incoming, told: Sequence[str]) -> list[str]:
    """Notes of arrays that float32 holds only rounded, without those that were told before.

    A format has the type of an array from its first file or a header, and later ones may differ.
    """
    arrays = [("rewards", episode.rewards, "float32")]
    for spec in incoming.observations:
        arrays.append((spec.name, episode.observations[spec.name], spec.dtype))
    if episode.actions is not None:
        observed = slice(None) if episode.action_observed is None else episode.action_observed
        arrays.append(("actions", episode.actions[observed], incoming.action.dtype))
    found = []
    for name, array, dtype in arrays:
        note = f"{name}: {array.dtype.name} numbers were rounded to float32"
        if dtype == "float32" and array.dtype != np.float32 and note not in told:
            found += [note] if (array.astype(np.float32) != array).any() else []
    return found


def _together(trajectories: Iterator[Episode]) -> Iterator[list[Episode]]:
    """Trajectories some at a time; those before one that cannot be read come before the error."""
    some: list[Episode] = []
    size = 0
    try:
        for episode in trajectories:
            some.append(episode)
            size += sum(array.nbytes for array in episode.observations.values())
            if size >= TOGETHER or len(some) == MANY:
                yield some
                some, size = [], 0
    except LawmError:
        yield some
        raise
    yield some


def _content(episode: Episode) -> dict[str, Any]:
    """A trajectory as ``make_record`` takes it."""
    return {
        "observations": episode.observations,
        "rewards": episode.rewards,
        "actions": episode.actions,
        "action_observed": episode.action_observed,
        "terminated": episode.terminated,
        "truncated": episode.truncated,
        "metadata": episode.metadata,
    }


def _import_step(
    source: str,
    where: Address,
    incoming: Incoming,
    settings: Mapping[str, Any],
    notes: Sequence[str],
) -> LineageStep:
    record: dict[str, Any] = {"format": where.format, "source": source}
    if notes:
        record["converted"] = list(notes)
    if settings:
        record["settings"] = dict(settings)
    with storage_errors(source):
        size = sum(path.stat().st_size for path in incoming.files)
    record["files"], record["bytes"] = len(incoming.files), size
    if incoming.files and len(incoming.files) <= LISTED and size <= CHECKSUMMED:
        # below the folder that they share: nothing of what is above it is anybody's business
        above = Path(os.path.commonpath([path.parent for path in incoming.files]))
        record["sha256"] = {
            path.relative_to(above).as_posix(): sha256_file(path) for path in incoming.files
        }
    return LineageStep(operation="import", settings=record)
