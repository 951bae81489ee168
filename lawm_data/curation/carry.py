"""What stands beside corpora, and comes along when trajectories go into a new one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from lawm_schemas import ArraySpec, LawmError, Mask, Overlay

from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.mask import mask_files, read_mask, readable_under
from lawm_data.corpus.overlay import Labels, open_labels, overlay_names
from lawm_data.corpus.store import open_store
from lawm_data.curation.agreement import records_actions

Arrays = dict[str, tuple[np.ndarray, np.ndarray]]
"""Mean and standard deviation of inferred actions, each (T, A), by the id of the trajectory."""
T = TypeVar("T")

_CHOICE = ("fraction", "seed", "by", "stratify")
_MODEL = ("model", "algorithm", "method", "max_uncertainty")


class Part(NamedTuple):
    """What one view gives to a derived corpus."""

    view: Corpus
    """Its trajectories, in their order; what it hides is not written."""
    ids: tuple[str, ...]
    """Their ids in the derived corpus: the same, unless another part has taken them."""


def carried_masks(parts: Sequence[Part]) -> tuple[list[Mask], list[str]]:
    """The masks that hold for all parts together, and what keeps the others from coming along.

    A mask hides every trajectory that it does not list. So one that stands beside some of the
    corpora only would hide all actions of the others, and stays behind; where no actions were
    recorded there are none to hide, and no mask is needed. A trajectory that is hidden in one
    corpus is hidden in the new one, even if another corpus shows it.

    Returns:
        Masks whose ``corpus`` is still to be filled in; and a line for each one left behind.
    """
    kept, left = [], []
    parts = [part for part in parts if records_actions(part.view)] or parts
    for name in _names(parts, lambda path: [file.stem for file in mask_files(path)]):
        if any(part.view.mask is not None for part in parts):
            left.append(f"mask {name}: the corpus is written through a mask already")
            continue
        try:
            masks = [read_mask(part.view.path / "masks" / f"{name}.json") for part in parts]
            shown = [_shown(mask, part) for mask, part in zip(masks, parts, strict=True)]
        except LawmError as error:
            left.append(f"mask {name}: {error.where}: {error.what}")
            continue
        odd = _difference(masks, _CHOICE)
        labeled = _labeled(parts, shown)
        if odd:
            left.append(f"mask {name}: the corpora's masks of this name differ in {odd}")
        elif not labeled:
            left.append(f"mask {name}: none of the trajectories that it shows is kept")
        else:
            kept.append(masks[0].model_copy(update={"labeled": labeled}))
    return kept, left


def _shown(mask: Mask, part: Part) -> np.ndarray:
    """Which trajectories of the whole corpus a mask shows; checks that it belongs there."""
    store = open_store(part.view.path)
    return readable_under(mask, part.view, store.table)


def _labeled(parts: Sequence[Part], shown: Sequence[np.ndarray]) -> tuple[str, ...]:
    hidden: set[bytes] = set()
    for part, readable in zip(parts, shown, strict=True):
        hidden.update(open_store(part.view.path).table.ids[~readable].tolist())
    return tuple(
        new
        for part, readable in zip(parts, shown, strict=True)
        for old, new, seen in zip(
            part.view.table.ids.tolist(),
            part.ids,
            readable[part.view.index.position].tolist(),
            strict=True,
        )
        if seen and old not in hidden
    )


def carried_overlays(
    parts: Sequence[Part], action: ArraySpec
) -> tuple[list[tuple[Overlay, Arrays]], list[str]]:
    """The overlays with the actions of the trajectories that are kept, and why others stay.

    Inferred actions say nothing of other trajectories, so an overlay of some of the corpora comes
    along too. Its error was measured over the trajectories it was written for, and is dropped when
    they change.

    Args:
        parts: what is kept.
        action: of the derived corpus; actions that were inferred in another shape stay behind.

    Returns:
        Overlays whose ``corpus`` is still to be filled in; and a line for each one left behind.
    """
    kept, left = [], []
    for name in _names(parts, overlay_names):
        try:
            there = [part for part in parts if name in overlay_names(part.view.path)]
            found = [(part, open_labels(part.view, name, verify=True)) for part in there]
        except LawmError as error:
            left.append(f"overlay {name}: {error.where}: {error.what}")
            continue
        infos = [labels.info for _, labels in found]
        odd = _difference(infos, _MODEL)
        arrays = {name: pair for part, labels in found for name, pair in _read(part, labels)}
        other = [part.view.path for part in there if part.view.manifest.action != action]
        if other:
            left.append(f"overlay {name}: that of {other[0]} is of another action")
        elif odd:
            left.append(f"overlay {name}: the corpora's overlays of this name differ in {odd}")
        elif not arrays:
            left.append(f"overlay {name}: none of its trajectories is kept")
        else:
            kept.append((_together(infos, len(arrays)), arrays))
    return kept, left


def _read(part: Part, labels: Labels) -> list[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    there = labels.covers(part.view.table.ids).tolist()
    rows = zip(part.view.table.id.tolist(), part.ids, there, strict=True)
    return [(new, labels.read(old)) for old, new, covered in rows if covered]


def _together(infos: Sequence[Overlay], count: int) -> Overlay:
    first, update = infos[0], {}
    if _difference(infos, ("mask", "mask_sha256")):
        update |= {"mask": None, "mask_sha256": None}
    if len(infos) > 1 or count < first.trajectories:
        update |= {"nmse_per_dimension": None, "r2": None}
    return first.model_copy(update={**update, "created": max(info.created for info in infos)})


def _names(parts: Sequence[Part], names: Callable[[Path], Sequence[str]]) -> list[str]:
    return sorted({name for part in parts for name in names(part.view.path)})


def _difference(things: Sequence[T], keys: Sequence[str]) -> str | None:
    """The first key in which things differ."""
    return next((key for key in keys if len({getattr(t, key) for t in things}) > 1), None)
