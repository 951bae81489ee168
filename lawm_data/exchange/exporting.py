"""From a corpus to a foreign format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lawm_schemas import CorpusError, LineageStep, Mask

from lawm_data.corpus.corpus import Corpus
from lawm_data.curation.carry import Part, carried_masks
from lawm_data.curation.derive import require_free, through
from lawm_data.exchange.address import Address, Exported, module_of, parse_address
from lawm_data.exchange.formats._protocol import Outgoing, Progress, silent
from lawm_data.exchange.hub.cache import is_address
from lawm_data.exchange.published import push_corpus
from lawm_data.system.output import new_output


def export_corpus(
    view: Corpus,
    address: str,
    settings: Mapping[str, Any] | None = None,
    progress: Progress = silent,
    *,
    dry_run: bool = False,
) -> Exported:
    """Write what a view shows in a foreign format.

    Hidden actions are not written. Masks beside the corpus go along where the format can hold
    them, unless the view is a masked one. The data appears under its name when it is complete.

    Args:
        view: the corpus, or a part of it, with or without mask and labels.
        address: ``NAME:PLACE``, where nothing is yet; or ``hf://user/name``.
        settings: of the format, see ``lawm-data formats``.
        progress: told how many trajectories are done; for the Hub, how many files.
        dry_run: only say where it would go.

    Raises:
        ConfigError: the address or a setting makes no sense, or a package is missing.
        CorpusError: the format cannot hold this corpus at all.
        StorageError: something is already there, or the file system refused.
    """
    if is_address(address):
        return push_corpus(view, address, settings or {}, progress, dry_run)
    where, settings = parse_address(address), settings or {}
    module = module_of(where, "writes", settings)
    path = module.locate(where.place)
    require_free(path)
    if not len(view):
        raise CorpusError("shows no trajectory", str(view.path), "choose another view")
    masks, left = carried_masks([Part(view, tuple(view.table.id.tolist()))])
    told = Exported(
        path=path,
        address=str(where),
        trajectories=len(view),
        steps=int(view.table.length.sum()),
        masks=tuple(mask.name for mask in masks),
        said=() if view.mask else tuple(left),
    )
    if dry_run:
        return told
    outgoing = Outgoing(view, tuple(masks), _export_lineage(view, where, masks), progress)
    with new_output(path) as temporary:
        said = module.write(outgoing, temporary, where.place, settings)
    return told._replace(said=(*told.said, *said))


def _export_lineage(view: Corpus, where: Address, masks: Sequence[Mask]) -> tuple[LineageStep, ...]:
    told: dict[str, Any] = {"format": where.format, "trajectories": len(view), **through(view)}
    if masks:
        told["masks"] = [mask.name for mask in masks]
    if view.overlay is not None:
        told["labels"] = view.overlay.name
    parents = (view.root_fingerprint,)
    step = LineageStep(operation="export", parents=parents, settings=told)
    return (*view.manifest.lineage, step)
