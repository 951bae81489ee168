"""New corpora out of the trajectories of others: copied through views, ids kept, lineage kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from lawm_schemas import (
    ConfigError,
    CorpusError,
    LineageStep,
    Manifest,
    Provenance,
)

from lawm_data.corpus.agreement import rate_notes
from lawm_data.corpus.corpus import Corpus, open_corpus
from lawm_data.corpus.features import FEATURES, save_features
from lawm_data.corpus.fingerprint import fingerprint_of
from lawm_data.corpus.mask import mask_sha256, save_mask
from lawm_data.corpus.overlay import LABELS, save_overlay
from lawm_data.corpus.store import Store, open_store
from lawm_data.corpus.table import MISSING, OBSERVED
from lawm_data.corpus.trajectory import Trajectory
from lawm_data.corpus.writing.commit import COMMIT_BYTES, TakenIds
from lawm_data.corpus.writing.record import make_record
from lawm_data.corpus.writing.writer import CorpusWriter
from lawm_data.curation.action_clues import without_clues
from lawm_data.curation.common_arrays import (
    Arrays,
    converted,
    fitted,
    require_same_arrays,
    shared_arrays,
)
from lawm_data.curation.companions import (
    Selection,
    kept_features,
    kept_masks,
    kept_overlays,
    left_latents,
)
from lawm_data.curation.expression import matching
from lawm_data.system.output import new_output, require_free


class Derived(NamedTuple):
    """A derived corpus, or with ``dry_run`` what it would be."""

    path: Path
    trajectories: int
    steps: int
    fingerprint: str | None
    """None in a dry run through a mask or of fewer arrays, which changes the content."""
    duplicates: int
    """Trajectories that an earlier corpus had too, and that were taken once."""
    renamed: int
    """Trajectories whose id was taken by one of other content, and got a suffix."""
    masks: tuple[str, ...]
    """Masks that came along, restricted to what is there."""
    overlays: tuple[str, ...]
    """Overlays that came along, likewise."""
    features: tuple[str, ...]
    """Features that came along, likewise."""
    left: tuple[str, ...]
    """Arrays, masks and overlays that could not come along, and why."""
    said: tuple[str, ...]
    """What else is to know, such as that a step means another time in one of the corpora."""


def derive(
    views: Sequence[Corpus],
    out: str | Path,
    operation: str,
    settings: Mapping[str, Any],
    *,
    arrays: Arrays | None = None,
    described: Callable[[Manifest], Manifest] = lambda manifest: manifest,
    unlabeled: Collection[str] = (),
    made: Callable[[str], Mapping[str, np.ndarray]] | None = None,
    remade: Collection[str] = (),
    companions: bool = True,
    keep: Collection[str] = (),
    dry_run: bool = False,
) -> Derived:
    """Write the trajectories of views into a corpus of its own, one view after the other.

    The checksums of the sources are compared first, since the copies get new ones. Where a view
    hides something, or something changes, every trajectory is written anew through it, so that
    nothing it hides can be in the new files, nor what else gives hidden actions away (``clues``).

    Args:
        views: where the trajectories come from.
        out: a folder that does not exist yet.
        operation: what the lineage calls it.
        settings: those of the operation, for the lineage.
        arrays: what is kept of them; by default they hold the same arrays, and all are kept.
        described: what becomes of the environment, the licence and the sources that the manifest
            of a view names; the number of sources stays.
        unlabeled: ids of trajectories whose actions become missing.
        made: gives arrays of ``arrays``, (T+1, *shape) by name, that the trajectory of an id does
            not have; always the same ones.
        remade: names of the arrays that it gives; features of earlier ones stay behind.
        companions: take the masks and overlays beside the corpora along.
        keep: clues to hidden actions that are kept, see ``without_clues``.
        dry_run: only report what would be written.

    Raises:
        CorpusError: nothing is left to write, the arrays differ, or a source was altered.
        StorageError: something is already there, or the file system refused; nothing is left.
    """
    out = Path(out)
    require_free(out)
    for view in views:
        view.require_everything()
    clueless = [without_clues(view, keep) for view in views]
    views = [each.view for each in clueless]
    parents = list(dict.fromkeys(name for each in clueless for name in each.parents))
    clues_left = dict.fromkeys(line for each in clueless for line in each.left)
    if arrays is None:
        require_same_arrays(views)
        arrays = Arrays(views[0].manifest.observations, views[0].manifest.action)
    for each in clueless:
        update = {"observations": arrays.observations, "action": arrays.action}
        left = each.of_manifest(each.view.manifest.model_copy(update=update))
        arrays = arrays._replace(observations=left.observations, action=left.action)
    selections, duplicates = _selections(views, arrays)
    if not any(selection.ids for selection in selections):
        source = ", ".join(dict.fromkeys(str(view.path) for view in views))
        raise CorpusError("no trajectory of it is left", source, "ask for something else")
    masks, masks_left = kept_masks(selections, unlabeled) if companions else ([], [])
    overlays, overlays_left, features, features_left = [], [], [], []
    if companions:
        overlays, overlays_left = kept_overlays(selections, arrays.action, masks)
        features, features_left = kept_features(selections, arrays, remade)
        features_left += left_latents(selections)
    fingerprint = None
    if not unlabeled and not any(s.view.mask or not _is_whole(s.view, arrays) for s in selections):
        ids = np.array([name.encode() for s in selections for name in s.ids], "S")
        digests = np.concatenate([digests_of(s.view) for s in selections])
        fingerprint = fingerprint_of(selections[0].view.manifest, ids, digests)
    derived = Derived(
        path=out,
        trajectories=sum(len(ids) for _, ids in selections),
        steps=sum(int(view.table.length.sum()) for view, _ in selections),
        fingerprint=fingerprint,
        duplicates=duplicates,
        renamed=sum(int((view.table.id != np.array(ids)).sum()) for view, ids in selections),
        masks=tuple(mask.name for mask in masks),
        overlays=tuple(overlay.name for overlay, _ in overlays),
        features=tuple(each.info.name for each in features),
        left=(*arrays.left, *masks_left, *overlays_left, *features_left, *clues_left),
        said=tuple(rate_notes(views)) if len({view.path for view in views}) > 1 else (),
    )
    if dry_run:
        return derived
    for path in dict.fromkeys(view.path for view in views):
        open_store(path, verify=True)
    with new_output(out) as temporary:
        step = LineageStep(operation=operation, parents=tuple(parents), settings=dict(settings))
        manifests = [each.of_manifest(described(each.view.manifest)) for each in clueless]
        fingerprint = _write(temporary, selections, arrays, step, manifests, unlabeled, made)
        written = Corpus(open_store(temporary))
        for mask in masks:
            save_mask(written, mask.model_copy(update={"corpus": fingerprint}))
        for overlay, labels in overlays:
            overlay = overlay.model_copy(update={"corpus": fingerprint})
            width = written.manifest.action.size
            save_overlay(temporary / LABELS / overlay.name, overlay, labels, width)
        for each in features:
            info = each.info.model_copy(update={"corpus": fingerprint})
            save_features(temporary / FEATURES / info.name, info, each.rows(), each.encoder)
        (temporary / ".lock").unlink()
    return derived._replace(fingerprint=fingerprint)


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
        **({} if mask.where is None else {"where_of_mask": mask.where}),
    }


def digests_of(view: Corpus) -> np.ndarray:
    """(N, 32) uint8: content hash of each trajectory as recorded, actions included.

    Raises:
        CorpusError: the corpus has changed since the view was opened.
    """
    return _store_of(view).digest[view.index.position]


def _store_of(view: Corpus) -> Store:
    store = open_store(view.path)
    if store.manifest.fingerprint != view.root_fingerprint:
        raise CorpusError("has changed since it was opened", str(view.path), "open it again")
    return store


def _selections(views: Sequence[Corpus], arrays: Arrays) -> tuple[list[Selection], int]:
    """The views without what an earlier one has too, and how many trajectories that were."""
    selections, taken, seen, duplicates = [], TakenIds(), set(), 0
    names, times = np.unique(np.concatenate([view.table.ids for view in views]), return_counts=True)
    for number, view in enumerate(views):
        digests = _kept_digests(view, arrays, number, names[times > 1])
        keys = list(zip(view.table.id.tolist(), digests, strict=True))
        new = np.array([key not in seen for key in keys], bool)
        seen.update(keys)
        duplicates += int((~new).sum())
        kept = view.filter(new)
        selections.append(Selection(kept, tuple(map(taken.take, kept.table.id.tolist()))))
    return selections, duplicates


def _kept_digests(view: Corpus, arrays: Arrays, number: int, twice: np.ndarray) -> list[bytes]:
    """Content hash of each trajectory as recorded, as far as it is kept.

    Args:
        view: the trajectories.
        arrays: what is kept.
        number: place of the view among all.
        twice: ids of which there are several; only their hashes are compared with others.
    """
    digests = list(map(bytes, digests_of(view)))
    if _is_whole(view, arrays):
        return digests
    made = Manifest(observations=arrays.observations, action=arrays.action)
    recorded = open_corpus(view.path).filter(view.table.id)
    for i in np.flatnonzero(np.isin(view.table.ids, twice)).tolist():
        content = _content(recorded[i], made, arrays.source(number))
        digests[i] = make_record(made, **content).digest
    return digests


def _is_whole(view: Corpus, arrays: Arrays) -> bool:
    """Whether everything of a view is kept."""
    return (view.manifest.observations, view.manifest.action) == arrays[:2]


def _has_all(view: Corpus, arrays: Arrays) -> bool:
    """Whether a view has everything that is kept, in the same types and within the bounds."""
    there = {spec.name: spec for spec in view.manifest.observations}
    pairs = [(spec, there.get(spec.name)) for spec in arrays.observations]
    pairs.append((arrays.action, view.manifest.action))
    same = ("shape", "dtype", "role")
    for kept, its in pairs:
        if its is None or any(getattr(kept, name) != getattr(its, name) for name in same):
            return False
    wide, narrow = arrays.action.bounds(), view.manifest.action.bounds()
    if wide is None or narrow is None:
        return wide is None
    return bool((wide[0] <= narrow[0]).all() and (wide[1] >= narrow[1]).all())


def _shown(view: Corpus, unlabeled: Collection[str]) -> Store:
    """What a view shows, as a store that holds nothing else.

    Args:
        view: the trajectories.
        unlabeled: ids of those whose actions it does not show either.
    """
    store, table, index = _store_of(view), view.table, view.index
    if unlabeled:
        gone = np.isin(table.id, list(unlabeled))
        table = table.relabel(np.where(gone, np.uint8(MISSING), table.labels))
        index = index._replace(action_row=np.where(gone, -1, index.action_row))
    digest = store.digest[view.index.position]
    return replace(store, shards=view.shards, table=table, index=index, digest=digest)


def _write(
    out: Path,
    selections: Sequence[Selection],
    arrays: Arrays,
    step: LineageStep,
    manifests: Sequence[Manifest],
    unlabeled: Collection[str],
    made: Callable[[str], Mapping[str, np.ndarray]] | None,
) -> str:
    """Copy everything that is kept into a new corpus; returns its fingerprint."""
    lineage = [step for manifest in manifests for step in manifest.lineage]
    licences = {manifest.licence for manifest in manifests}
    with CorpusWriter.create(
        out,
        observations=arrays.observations,
        action=arrays.action,
        environment=next((m.environment for m in manifests if m.environment), None),
        # the histories of several parents, one after the other; what they share stands once
        lineage=[*(s for i, s in enumerate(lineage) if s not in lineage[:i]), step],
        licence=licences.pop() if len(licences) == 1 else None,
    ) as writer:
        for number, ((view, ids), manifest) in enumerate(zip(selections, manifests, strict=True)):
            sources = _sources(manifest, writer.manifest.licence)
            if not arrays.source(number) and _has_all(view, arrays):
                as_it_is = view.mask is None and not unlabeled and _is_whole(view, arrays)
                shown, places = _shown(view, unlabeled), np.arange(len(view))
                writer.copy(shown, places, ids, sources, anew=not as_it_is)
                continue
            rows = zip(view, ids, view.table.provenance.tolist(), strict=True)
            for trajectory, name, entry in rows:
                new = {} if made is None else made(trajectory.info.id)
                content = _content(trajectory, writer.manifest, arrays.source(number), new)
                if trajectory.info.id in unlabeled:
                    content |= {"actions": None, "action_observed": None}
                writer.add(
                    **content,
                    provenance=sources[entry],
                    agent_step=trajectory.info.agent_step,
                    seed=trajectory.info.seed,
                    trajectory_id=name,
                )
                if writer.pending_bytes >= COMMIT_BYTES:
                    writer.commit()
    return writer.manifest.fingerprint


def _sources(manifest: Manifest, licence: str | None) -> list[Provenance]:
    """The sources of a corpus; they keep its licence where the new one has another."""
    given = manifest.licence
    if given == licence:
        return list(manifest.provenance)
    return [s.model_copy(update={"licence": s.licence or given}) for s in manifest.provenance]


def _content(
    trajectory: Trajectory,
    manifest: Manifest,
    names: Mapping[str, str],
    made: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> dict[str, Any]:
    """What a view shows of a trajectory, as ``CorpusWriter.add`` and ``make_record`` take it.

    Args:
        trajectory: as the view shows it.
        manifest: the arrays that are kept, in their types.
        names: what arrays are called in the view, where that is another name.
        made: arrays that do not come from it.

    Raises:
        CorpusError: a number does not fit its new type.
    """
    taken = [spec for spec in manifest.observations if spec.name not in made]
    shown, info = bool(trajectory.action_observed.any()), trajectory.info
    actions = None
    if shown and trajectory.actions is not None:
        actions = trajectory.actions.copy()
        actions[~trajectory.action_observed] = 0
    try:
        return {
            "observations": {**fitted(trajectory, taken, names), **made},
            "rewards": trajectory.rewards,
            "actions": None if actions is None else converted(actions, manifest.action),
            "action_observed": trajectory.action_observed if shown else None,
            "terminated": info.terminated,
            "truncated": info.truncated,
            "metadata": info.metadata,
        }
    except CorpusError as error:
        raise CorpusError(error.what, f"trajectory {info.id}: {error.where}", error.hint) from None


def filter_corpus(
    corpus: Corpus,
    where: str,
    out: str | Path,
    *,
    keep: Collection[str] = (),
    dry_run: bool = False,
) -> Derived:
    """Write the trajectories that an expression is true of.

    Args:
        corpus: the view. Through a mask the new corpus has no hidden action.
        where: see ``expression``.
        out: a folder that does not exist yet.
        keep: clues to hidden actions that are kept, see ``without_clues``.
        dry_run: only report what would be written.

    Raises:
        ConfigError: the expression makes no sense.
        CorpusError: it is true of no trajectory.
        StorageError: something is already there, or the file system refused; nothing is left.
    """
    kept = corpus.filter(matching(corpus, where))
    settings = {"where": where, **through(corpus)}
    return derive([kept], out, "filter", settings, keep=keep, dry_run=dry_run)


def delete_trajectories(
    corpus: Corpus,
    out: str | Path,
    *,
    where: str | None = None,
    ids: Sequence[str] = (),
    dry_run: bool = False,
) -> Derived:
    """Write a corpus without some trajectories; the corpus itself stays as it is.

    Args:
        corpus: the view.
        out: a folder that does not exist yet.
        where: an expression that is true of those to leave out.
        ids: trajectories to leave out, too.
        dry_run: only report what would be written.

    Raises:
        ConfigError: neither an expression nor ids, or the expression makes no sense.
        CorpusError: an id is not there, nothing is to be deleted, or nothing is left.
        StorageError: something is already there, or the file system refused; nothing is left.
    """
    if where is None and not ids:
        raise ConfigError("nothing is named", "delete", "give an expression or ids")
    gone = np.zeros(len(corpus), bool)
    if where is not None:
        gone |= matching(corpus, where)
    if ids:
        gone |= np.isin(corpus.table.id, corpus.filter(np.array(ids, "U")).table.id)
    if not gone.any():
        raise CorpusError("no trajectory is meant", str(corpus.path), "check the expression")
    settings = {
        "where": where,
        "ids": list(ids),
        "deleted": int(gone.sum()),
        **through(corpus),
    }
    return derive([corpus.filter(~gone)], out, "delete", settings, dry_run=dry_run)


def merge_corpora(
    corpora: Sequence[Corpus],
    out: str | Path,
    *,
    common: bool = False,
    size: int | None = None,
    dry_run: bool = False,
) -> Derived:
    """Write the trajectories of several corpora, one after the other.

    What several of them have, with the same id and content, is taken once.

    Args:
        corpora: views of them.
        out: a folder that does not exist yet.
        common: they may hold different arrays; those that all have are kept, in types that hold
            the numbers of all. Corpora in which no action was recorded go with every action, and
            theirs stay missing.
        size: with ``common``, edge of the squares that all pictures are brought to.
        dry_run: only report what would be written.

    Raises:
        ConfigError: ``size`` makes no sense, or the package that resizes is missing.
        CorpusError: they hold different arrays (the first difference is named), share none, are of
            different environments, or hold no trajectory.
        StorageError: something is already there, or the file system refused; nothing is left.
    """
    settings: dict[str, Any] = {"trajectories": [len(corpus) for corpus in corpora]}
    if not common:
        if size is not None:
            raise ConfigError("goes with --common", "--size", "give both")
        require_same_arrays(corpora, "keep what they share with --common, or give others")
        return derive(corpora, out, "merge", settings, dry_run=dry_run)
    arrays = shared_arrays(corpora, size)
    settings |= {"common": True, "left": list(arrays.left)}
    if size is not None:
        settings["size"] = size
    return derive(corpora, out, "merge", settings, arrays=arrays, dry_run=dry_run)


def withhold(corpus: Corpus, out: str | Path, *, keep: Collection[str] = ()) -> Path:
    """Write what a view shows into a corpus of its own; ids are kept.

    Inferred actions are not recorded ones and stay behind, and so do masks, and what else gives
    hidden actions away. A training reads the same batches of it as of the view.

    Args:
        corpus: the view, usually ``with_mask(...)``.
        out: a folder that does not exist yet.
        keep: clues to hidden actions that are kept, see ``without_clues``.

    Raises:
        ConfigError: no such clue.
        CorpusError: the source was altered, or the view is empty.
        StorageError: something is already there, or the file system refused; nothing is left.
    """
    settings: dict[str, object] = {"trajectories": len(corpus), **through(corpus)}
    settings["labeled"] = int((corpus.table.labels == OBSERVED).sum())
    return derive([corpus], out, "withhold", settings, companions=False, keep=keep).path
