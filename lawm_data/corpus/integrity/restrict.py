"""Masks and overlays of a corpus that has lost trajectories: what they say of the others."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

from lawm_schemas import CorpusError, Mask

from lawm_data.corpus.mask import read_mask
from lawm_data.corpus.overlay import ARRAYS, OVERLAY, Labels, encode_labels, read_overlay
from lawm_data.system.atomic import write_file, write_folder
from lawm_data.system.hdf5 import HINT, MappedFile


def restricted_mask(file: Path, complete: Collection[str], fingerprint: str) -> Mask | None:
    """A mask without the trajectories that are lost; None when it would keep none.

    It lists fewer trajectories than before, never more, so it hides all that it hid.

    Args:
        file: the mask.
        complete: ids of the trajectories that are there with all their actions.
        fingerprint: of the corpus that they make.

    Raises:
        MaskError: the mask is damaged.
    """
    mask = read_mask(file)
    labeled = tuple(name for name in mask.labeled if name in complete)
    if not labeled:
        return None
    return mask.model_copy(update={"corpus": fingerprint, "labeled": labeled})


def write_mask(file: Path, mask: Mask) -> None:
    """Replace a mask file."""
    write_file(file, mask.to_json().encode())


def read_labels(folder: Path, width: int) -> Labels:
    """An overlay, checked by its checksum, whichever corpus it is for.

    Raises:
        CorpusError: it is damaged.
    """
    info = read_overlay(folder)
    try:
        return Labels(info, MappedFile(folder / ARRAYS, sha256=info.sha256), width)
    except FileNotFoundError:
        raise CorpusError("is missing", str(folder / ARRAYS), HINT) from None


def restrict_labels(folder: Path, labels: Labels, there: Collection[str], fingerprint: str) -> None:
    """Replace an overlay by one that labels only trajectories that are there."""
    names = [name for name in labels.ids.astype("U").tolist() if name in there]
    data = encode_labels({name: labels.read(name) for name in names}, labels.width)
    update = {
        "corpus": fingerprint,
        "trajectories": len(names),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    info = labels.info.model_copy(update=update)
    write_folder(folder, {ARRAYS: data, OVERLAY: info.to_json().encode()})
