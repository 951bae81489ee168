"""Masks, overlays and features beside corpora: which a derived corpus keeps, and why not others."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from lawm_schemas import ArraySpec, FeatureSet, LawmError, Mask, Overlay

from lawm_data.corpus.agreement import records_actions
from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.features import (
    ENCODER,
    FEATURES,
    Features,
    feature_names,
    open_features,
)
from lawm_data.corpus.latents import latent_names
from lawm_data.corpus.mask import MASKS, mask_files, mask_sha256, read_mask, readable_under
from lawm_data.corpus.overlay import open_labels, overlay_names, without_errors
from lawm_data.corpus.store import open_store
from lawm_data.curation.common_arrays import Arrays
from lawm_data.system.atomic import read_file

Inferred = dict[str, tuple[np.ndarray, np.ndarray]]
"""Mean and standard deviation of inferred actions, each (T, A), by the id of the trajectory."""
T = TypeVar("T")

_DRAW = ("fraction", "seed", "by", "stratify", "where")
_MODEL = ("model", "algorithm", "method", "max_uncertainty")


class Selection(NamedTuple):
    """What one view gives to a derived corpus."""

    view: Corpus
    """Its trajectories, in their order; what it hides is not written."""
    ids: tuple[str, ...]
    """Their ids in the derived corpus: the same, unless an earlier selection has taken them."""


def kept_masks(
    selections: Sequence[Selection], unlabeled: Collection[str] = ()
) -> tuple[list[Mask], list[str]]:
    """The masks that hold for all selections together, and why others are left behind.

    A mask hides every trajectory that it does not list. So one that stands beside some of the
    corpora only would hide all actions of the others, and stays behind; where no actions were
    recorded there are none to hide, and no mask is needed. A trajectory that is hidden in one
    corpus is hidden in the new one, even if another corpus shows it.

    Args:
        selections: the trajectories that are kept.
        unlabeled: ids of those whose actions become missing, so that no mask shows them.

    Returns:
        Masks whose ``corpus`` is still to be filled in; and a line for each one left behind.
    """
    kept, left = [], []
    selections = [s for s in selections if records_actions(s.view)] or selections
    beside = [{file.stem for file in mask_files(s.view.path)} for s in selections]
    for name in sorted(set().union(*beside)):
        there = [
            str(s.view.path) for s, names in zip(selections, beside, strict=True) if name in names
        ]
        if any(selection.view.mask is not None for selection in selections):
            left.append(f"mask {name}: the corpus is written through a mask already")
            continue
        if len(there) < len(selections):
            left.append(f"mask {name}: is of {', '.join(there)} only, and hides all other actions")
            continue
        try:
            masks = [read_mask(s.view.path / MASKS / f"{name}.json") for s in selections]
            shown, hidden = [], set()
            for mask, selection in zip(masks, selections, strict=True):
                table = open_store(selection.view.path).table
                shown.append(readable_under(mask, selection.view, table))  # refuses a foreign mask
                hidden.update(table.ids[~shown[-1]].tolist())
        except LawmError as error:
            left.append(f"mask {name}: {error.where}: {error.what}")
            continue
        odd = _difference(masks, _DRAW)
        labeled = tuple(
            new
            for (view, ids), readable in zip(selections, shown, strict=True)
            for old, new, seen in zip(
                view.table.ids.tolist(), ids, readable[view.index.position].tolist(), strict=True
            )
            if seen and old not in hidden and old.decode() not in unlabeled
        )
        if odd:
            left.append(f"mask {name}: the corpora's masks of this name differ in {odd}")
        elif not labeled:
            left.append(f"mask {name}: none of the trajectories that it shows is kept")
        else:
            kept.append(masks[0].model_copy(update={"labeled": labeled}))
    return kept, left


def kept_overlays(
    selections: Sequence[Selection], action: ArraySpec, masks: Sequence[Mask] = ()
) -> tuple[list[tuple[Overlay, Inferred]], list[str]]:
    """The overlays with the actions of the trajectories that are kept, and why others stay.

    Inferred actions say nothing of other trajectories, so an overlay of some of the corpora comes
    along too. Its error was measured over the trajectories it was written for, and is dropped when
    they change. Through a mask it comes along only if who inferred it saw the corpus through that.

    Args:
        selections: the trajectories that are kept.
        action: of the derived corpus; actions that were inferred in another shape stay behind.
        masks: that are kept; what was inferred under such a mask goes with it from then on.

    Returns:
        Overlays whose ``corpus`` is still to be filled in; and a line for each one left behind.
    """
    kept, left = [], []
    for name in sorted({name for s in selections for name in overlay_names(s.view.path)}):
        try:
            there = [s for s in selections if name in overlay_names(s.view.path)]
            found = [(s, open_labels(s.view, name, verify=True)) for s in there]
        except LawmError as error:
            left.append(f"overlay {name}: {error.where}: {error.what}")
            continue
        infos = [labels.info for _, labels in found]
        odd = _difference(infos, _MODEL)
        arrays = {
            new: labels.read(old)
            for (view, ids), labels in found
            for old, new, labeled in zip(
                view.table.id.tolist(), ids, labels.covers(view.table.ids).tolist(), strict=True
            )
            if labeled
        }
        saw_more = [
            str(s.view.path)
            for s, labels in found
            if s.view.mask and labels.info.mask_sha256 != mask_sha256(s.view.mask)
        ]
        other = [s.view.path for s in there if s.view.manifest.action.shape != action.shape]
        if other:
            left.append(f"overlay {name}: that of {other[0]} is of another action")
        elif odd:
            left.append(f"overlay {name}: the corpora's overlays of this name differ in {odd}")
        elif saw_more:
            what = "was inferred by a run that saw other actions than the mask shows"
            left.append(f"overlay {name}: that of {saw_more[0]} {what}")
        elif not arrays:
            left.append(f"overlay {name}: none of its trajectories is kept")
        else:
            recorded = [s for s in selections if records_actions(s.view)]
            pairs = [pair for pair in zip(there, infos, strict=True) if pair[0] in recorded]
            kept_as = _kept_mask(pairs, masks) if len(pairs) == len(recorded) else None
            merged = _merged_overlay(infos, len(arrays), kept_as)
            masked = any(s.view.mask is not None for s in there)
            kept.append((without_errors(merged) if masked else merged, arrays))
    return kept, left


class KeptFeatures(NamedTuple):
    """Features of the trajectories of a derived corpus."""

    info: FeatureSet
    """What they say of themselves; ``corpus`` is still to be filled in."""
    encoder: bytes
    """Weights of what made them."""
    parts: tuple[tuple[Selection, Features], ...]
    """Where they are."""

    def rows(self) -> dict[str, np.ndarray]:
        """The features of each trajectory, by its id in the derived corpus, in order."""
        return {
            new: rows
            for (view, ids), features in self.parts
            for found in (dict(features.by_id()),)
            for old, new in zip(view.table.id.tolist(), ids, strict=True)
            for rows in (found[old],)
        }


def kept_features(
    selections: Sequence[Selection], arrays: Arrays, remade: Collection[str] = ()
) -> tuple[list[KeptFeatures], list[str]]:
    """The features that all corpora have from one encoder, and why others are left behind.

    Args:
        selections: the trajectories that are kept.
        arrays: of the derived corpus; what was made of others stays behind.
        remade: names of those that do not have the numbers that they had.

    Returns:
        Features, and a line for each set left behind.
    """
    kept, left = [], []
    for name in sorted({name for s in selections for name in feature_names(s.view.path)}):
        try:
            lacking = [s.view.path for s in selections if name not in feature_names(s.view.path)]
            if lacking:
                left.append(f"features {name}: {lacking[0]} has none; make them again")
                continue
            found = [open_features(open_store(s.view.path), name, verify=True) for s in selections]
        except LawmError as error:
            left.append(f"features {name}: {error.where}: {error.what}")
            continue
        others = [
            spec.name
            for spec in found[0].info.observations
            if not all(_is_kept(spec, arrays, i, remade) for i in range(len(selections)))
        ]
        if odd := _difference([each.info for each in found], ("encoder_sha256", "width")):
            left.append(f"features {name}: the corpora's features of this name differ in {odd}")
        elif others:
            what = "which is left out or not what it was; make them again"
            left.append(f"features {name}: were made of {', '.join(others)}, {what}")
        else:
            file = selections[0].view.path / FEATURES / name / ENCODER
            # a probe of other trajectories says nothing of these
            info = found[0].info.model_copy(update={"probe": {}})
            parts = tuple(zip(selections, found, strict=True))
            kept.append(KeptFeatures(info, read_file(file), parts))
    return kept, left


def _is_kept(spec: ArraySpec, arrays: Arrays, number: int, remade: Collection[str]) -> bool:
    """Whether an array of one of the corpora has its name and its numbers in the derived one."""
    now = next((each for each in arrays.observations if each.name == spec.name), None)
    if (
        now is None
        or now.name in remade
        or arrays.source(number).get(now.name, now.name) != now.name
    ):
        return False
    return all(getattr(now, key) == getattr(spec, key) for key in ("shape", "dtype", "role"))


def left_latents(selections: Sequence[Selection]) -> list[str]:
    """A line for each set of latent actions, all of which are left behind: a run makes them."""
    names = {name for s in selections for name in latent_names(s.view.path)}
    return [f"latent actions {name}: infer them again" for name in sorted(names)]


def _kept_mask(inferred: Sequence[tuple[Selection, Overlay]], masks: Sequence[Mask]) -> Mask | None:
    """What has become of the mask through which all of these were inferred."""
    for mask in masks:
        try:
            before = [read_mask(s.view.path / MASKS / f"{mask.name}.json") for s, _ in inferred]
        except LawmError:
            continue
        pairs = zip(before, inferred, strict=True)
        if all(mask_sha256(old) == info.mask_sha256 for old, (_, info) in pairs):
            return mask
    return None


def _merged_overlay(infos: Sequence[Overlay], count: int, mask: Mask | None) -> Overlay:
    first, update = infos[0], {"created": max(info.created for info in infos)}
    if mask is not None:
        update |= {"mask": mask.name, "mask_sha256": mask_sha256(mask)}
    elif _difference(infos, ("mask", "mask_sha256")):
        update |= {"mask": None, "mask_sha256": None}
    merged = first.model_copy(update=update)
    return without_errors(merged) if len(infos) > 1 or count < first.trajectories else merged


def _difference(things: Sequence[T], keys: Sequence[str]) -> str | None:
    """The first key in which things differ."""
    return next((key for key in keys if len({getattr(t, key) for t in things}) > 1), None)
