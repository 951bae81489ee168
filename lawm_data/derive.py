"""New corpora out of the trajectories of others: copied through views, ids kept, lineage kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lawm_schemas import CorpusError, LineageStep, Manifest, Role, StorageError

from lawm_data.atomic import storage_errors
from lawm_data.carry import Part, carried_masks, carried_overlays
from lawm_data.compaction import COMMIT_BYTES
from lawm_data.corpus import Corpus
from lawm_data.fingerprint import fingerprint_of
from lawm_data.leftovers import refuse_inside
from lawm_data.mask import mask_sha256, save_mask
from lawm_data.output import new_output
from lawm_data.overlay import LABELS, save_overlay
from lawm_data.pending import free_id
from lawm_data.store import open_store
from lawm_data.writer import CorpusWriter


class Derived(NamedTuple):
    """A derived corpus, or with ``dry_run`` what it would be."""

    path: Path
    trajectories: int
    steps: int
    fingerprint: str | None
    """None in a dry run through a mask, which changes the content."""
    duplicates: int
    """Trajectories that an earlier corpus had too, and that were taken once."""
    renamed: int
    """Trajectories whose id was taken by one of other content, and got a suffix."""
    masks: tuple[str, ...]
    """Masks that came along, restricted to what is there."""
    overlays: tuple[str, ...]
    """Overlays that came along, likewise."""
    left: tuple[str, ...]
    """Masks and overlays that could not come along, and why."""


def derive(
    views: Sequence[Corpus],
    out: str | Path,
    operation: str,
    settings: Mapping[str, Any],
    *,
    tier: str | None = None,
    beside: bool = True,
    dry_run: bool = False,
) -> Derived:
    """Write the trajectories of views into a corpus of its own, one view after the other.

    The checksums of the sources are compared first, since the copies get new ones. Every
    trajectory is written anew through its view, so that nothing a view hides can be in the new
    files.

    Args:
        views: where the trajectories come from; their corpora hold the same arrays.
        out: a folder that does not exist yet.
        operation: what the lineage calls it.
        settings: what the operation was told.
        tier: quality tier that the provenance of every trajectory gets.
        beside: take masks and overlays along.
        dry_run: only say what would be written.

    Raises:
        CorpusError: nothing is left to write, the arrays differ, or a source was altered.
        StorageError: something is already there, or the file system refused; nothing is left.
    """
    out = Path(out)
    require_free(out)
    require_same_arrays(views)
    parts, duplicates = _parts(views)
    if not any(part.ids for part in parts):
        source = ", ".join(dict.fromkeys(str(view.path) for view in views))
        raise CorpusError("no trajectory of it is left", source, "ask for something else")
    masks, masks_left = carried_masks(parts) if beside else ([], [])
    overlays, overlays_left = carried_overlays(parts) if beside else ([], [])
    told = Derived(
        path=out,
        trajectories=sum(len(part.ids) for part in parts),
        steps=sum(int(part.view.table.length.sum()) for part in parts),
        fingerprint=_fingerprint(parts),
        duplicates=duplicates,
        renamed=sum(int((part.view.table.id != np.array(part.ids)).sum()) for part in parts),
        masks=tuple(mask.name for mask in masks),
        overlays=tuple(overlay.name for overlay, _ in overlays),
        left=(*masks_left, *overlays_left),
    )
    if dry_run:
        return told
    for path in dict.fromkeys(view.path for view in views):
        open_store(path, verify=True)
    with new_output(out) as temporary:
        fingerprint = _write(temporary, parts, operation, settings, tier)
        written = Corpus(open_store(temporary))
        for mask in masks:
            save_mask(written, mask.model_copy(update={"corpus": fingerprint}))
        for overlay, labels in overlays:
            overlay = overlay.model_copy(update={"corpus": fingerprint})
            width = written.manifest.action.size
            save_overlay(temporary / LABELS / overlay.name, overlay, labels, width)
        (temporary / ".lock").unlink()
    return told._replace(fingerprint=fingerprint)


def through(corpus: Corpus) -> dict[str, object]:
    """What the lineage says of the mask of a view; nothing when there is none."""
    mask = corpus.mask
    if mask is None:
        return {}
    return {
        "mask": mask.name,
        "mask_sha256": mask_sha256(mask),
        "fraction": mask.fraction,
        "seed": mask.seed,
        "by": mask.by,
        "stratify": mask.stratify,
    }


def require_free(out: Path) -> None:
    """Refuse a place where something is, or inside a corpus.

    Raises:
        StorageError: names the place.
    """
    with storage_errors(out):
        if out.exists() or out.is_symlink():
            raise StorageError("something is already there", str(out), "choose another place")
        refuse_inside(out)


def digests_of(view: Corpus) -> np.ndarray:
    """(N, 32) uint8: content hash of each trajectory as recorded, actions included.

    Raises:
        CorpusError: the corpus has changed since the view was opened.
    """
    store = open_store(view.path)
    if store.manifest.fingerprint != view.root_fingerprint:
        raise CorpusError("has changed since it was opened", str(view.path), "open it again")
    return store.digest[view.index.position]


def require_same_arrays(views: Sequence[Corpus]) -> None:
    """Refuse corpora of different arrays or environments.

    Raises:
        CorpusError: names the first difference.
    """
    first = views[0]
    for other in views[1:]:
        difference = _difference(first.manifest, other.manifest)
        if difference:
            mend = f"give corpora of one kind (compared with {first.path})"
            raise CorpusError(difference, str(other.path), mend)


def _difference(one: Manifest, other: Manifest) -> str | None:
    """The first thing in which two manifests differ, in words."""
    names = ([spec.name for spec in manifest.observations] for manifest in (one, other))
    ours, theirs = map(", ".join, names)
    if ours != theirs:
        return f"observes {theirs}, not {ours}"
    arrays = zip((*one.observations, one.action), (*other.observations, other.action), strict=True)
    for mine, its in arrays:
        for key in type(mine).model_fields:
            if getattr(mine, key) != getattr(its, key):
                return f"{mine.name} has {key} {getattr(its, key)}, not {getattr(mine, key)}"
    if one.environment is None or other.environment is None:
        return None
    for key in ("suite", "task", "action_repeat"):
        if getattr(one.environment, key) != getattr(other.environment, key):
            its, mine = getattr(other.environment, key), getattr(one.environment, key)
            return f"the environment's {key} is {its}, not {mine}"
    return None


def _parts(views: Iterable[Corpus]) -> tuple[list[Part], int]:
    """The views without what an earlier one has too, and how many trajectories that were."""
    parts, taken, seen, duplicates = [], set(), set(), 0
    for view in views:
        keys = list(zip(view.table.id.tolist(), map(bytes, digests_of(view)), strict=True))
        new = np.array([key not in seen for key in keys], bool)
        seen.update(keys)
        duplicates += int((~new).sum())
        kept, ids = view.filter(new), []
        for name in kept.table.id.tolist():
            ids.append(free_id(name, taken))
            taken.add(ids[-1])
        parts.append(Part(kept, tuple(ids)))
    return parts, duplicates


def _fingerprint(parts: Sequence[Part]) -> str | None:
    if any(part.view.mask for part in parts):
        return None
    ids = np.array([name.encode() for part in parts for name in part.ids], "S")
    digests = np.concatenate([digests_of(part.view) for part in parts])
    return fingerprint_of(parts[0].view.manifest, ids, digests)


def _write(
    out: Path,
    parts: Sequence[Part],
    operation: str,
    settings: Mapping[str, Any],
    tier: str | None,
) -> str:
    """Copy everything into a new corpus; returns its fingerprint."""
    manifests = [part.view.manifest for part in parts]
    lineage = [step for manifest in manifests for step in manifest.lineage]
    parents = dict.fromkeys(manifest.fingerprint for manifest in manifests)
    step = LineageStep(operation=operation, parents=tuple(parents), settings=dict(settings))
    licences = {manifest.licence for manifest in manifests}
    with CorpusWriter.create(
        out,
        observations=manifests[0].observations,
        action=manifests[0].action,
        environment=next((m.environment for m in manifests if m.environment), None),
        # the histories of several parents, one after the other; what they share stands once
        lineage=[*(s for i, s in enumerate(lineage) if s not in lineage[:i]), step],
        licence=licences.pop() if len(licences) == 1 else None,
    ) as writer:
        for part in parts:
            _copy(part, writer, tier)
    return writer.manifest.fingerprint


def _copy(part: Part, writer: CorpusWriter, tier: str | None) -> None:
    manifest = part.view.manifest
    physics = [s.name for s in manifest.observations if s.role is Role.physics]
    sources = manifest.provenance
    if tier is not None:
        sources = tuple(entry.model_copy(update={"tier": tier}) for entry in sources)
    rows = zip(part.view, part.ids, part.view.table.provenance.tolist(), strict=True)
    for trajectory, name, entry in rows:
        observations = dict(trajectory.observations.items())
        if trajectory.physics is not None:
            observations[physics[0]] = trajectory.physics
        info = trajectory.info
        shown = bool(trajectory.action_observed.any())
        writer.add(
            observations,
            trajectory.rewards,
            trajectory.actions if shown else None,
            action_observed=trajectory.action_observed if shown else None,
            terminated=info.terminated,
            truncated=info.truncated,
            provenance=sources[entry],
            agent_step=info.agent_step,
            seed=info.seed,
            metadata=info.metadata,
            trajectory_id=name,
        )
        if writer.pending_bytes >= COMMIT_BYTES:
            writer.commit()
