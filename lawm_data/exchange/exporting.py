"""From a corpus to a foreign format, or to the Hub."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lawm_schemas import ConfigError, CorpusError, LabelState, LineageStep, Role

from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.overlay import recorded_instead, require_same_mask
from lawm_data.corpus.table import INFERRED
from lawm_data.curation.action_clues import without_clues
from lawm_data.curation.companions import Selection, kept_masks
from lawm_data.curation.derive import through
from lawm_data.exchange.address import module_of, parse_address
from lawm_data.exchange.formats._protocol import Outgoing
from lawm_data.exchange.hub.cache import is_hub_address, parse_hub_address
from lawm_data.exchange.hub.push import push
from lawm_data.system.output import new_output, require_free
from lawm_data.system.progress import Progress, silent


class Exported(NamedTuple):
    """What was written in a foreign format, or with ``dry_run`` what would be."""

    path: Path | None
    """None on the Hub."""
    address: str
    trajectories: int
    steps: int
    masks: tuple[str, ...]
    notes: tuple[str, ...]
    """What the format could not hold and was left out, and what else stayed behind."""


def export_corpus(
    view: Corpus,
    address: str,
    settings: Mapping[str, Any] | None = None,
    progress: Progress = silent,
    *,
    keep: Collection[str] = (),
    dry_run: bool = False,
) -> Exported:
    """Write what a view shows in a foreign format.

    Hidden actions are not written, nor what else gives them away. Masks beside the corpus go along
    where the format can hold them, unless the view is a masked one. The data appears under its
    name when it is complete.

    Args:
        view: the corpus, or a part of it, with or without mask and labels.
        address: ``NAME:PLACE``, where nothing is yet; or ``hf://user/name``.
        settings: of the format, see ``lawm-data formats``.
        progress: called with how many trajectories are done; for the Hub, how many files.
        keep: clues to hidden actions that are kept, see ``without_clues``.
        dry_run: only report where it would go.

    Raises:
        ConfigError: the address or a setting makes no sense, a package is missing, or who inferred
            actions of the view had seen others than its mask shows.
        CorpusError: the format cannot hold this corpus at all.
        StorageError: something is already there, or the file system refused.
    """
    view.require_everything()
    require_same_mask(view)
    if is_hub_address(address):
        return _push(view, address, settings or {}, progress, keep, dry_run)
    where, settings = parse_address(address), settings or {}
    module = module_of(where, "writes", settings)
    path = module.locate(where.place)
    require_free(path)
    if not len(view):
        raise CorpusError("shows no trajectory", str(view.path), "choose another view")
    if view.overlay is not None and not _labels_any(view):
        what, where = "label none of these trajectories", f"labels {view.overlay.name}"
        raise ConfigError(what, where, "leave --labels out, or export others")
    masks, left = kept_masks([Selection(view, tuple(view.table.id.tolist()))])
    left = [] if view.mask else left
    unrewarded = int((~view.table.rewarded).sum())
    if unrewarded:
        left.append(f"no rewards were recorded in {unrewarded:,} trajectories: zeros stand there")
    if LabelState.inferred in module.ABOUT.label_states:
        left += recorded_instead(view)
    view, parents, clues_left, _ = without_clues(view, keep)
    view, exogenous = _without_exogenous(view)
    if view.latents is not None and not module.ABOUT.latents:
        left.append(f"latent actions {view.latents.name}: the format has no place for them")
    exported = Exported(
        path=path,
        address=str(where),
        trajectories=len(view),
        steps=int(view.table.length.sum()),
        masks=tuple(mask.name for mask in masks),
        notes=(*left, *clues_left, *exogenous),
    )
    if dry_run:
        return exported
    record: dict[str, Any] = {"format": where.format, "trajectories": len(view), **through(view)}
    if masks:
        record["masks"] = list(exported.masks)
    if view.overlay is not None:
        record["labels"] = view.overlay.name
    if view.latents is not None:
        record["latents"] = view.latents.name
    step = LineageStep(operation="export", parents=parents, settings=record)
    outgoing = Outgoing(view, tuple(masks), (*view.manifest.lineage, step), progress)
    with new_output(path) as temporary:
        notes = module.write(outgoing, temporary, where.place, settings)
    return exported._replace(notes=(*exported.notes, *notes, *_repeated(view)))


def _labels_any(view: Corpus) -> bool:
    """Whether the overlay of a view has actions for any of its trajectories."""
    inferred = view.table.labels == INFERRED
    return bool((inferred | view.inferred_beside_recorded).any())


def _without_exogenous(view: Corpus) -> tuple[Corpus, list[str]]:
    """A view without what distractors did: another program would take it for an observation."""
    manifest, table, _ = view.everything()
    specs = manifest.observations
    kept = tuple(spec for spec in specs if spec.role is not Role.exogenous)
    if kept == specs:
        return view, []
    left = [f"array {spec.name}: is exogenous, and for probes alone" for spec in specs]
    notes = [line for line, spec in zip(left, specs, strict=True) if spec not in kept]
    return view.told_as(manifest.model_copy(update={"observations": kept}), table), notes


def _repeated(view: Corpus) -> list[str]:
    """What stands in the place of last observations that nobody recorded."""
    count = int((~view.table.final_observed).sum())
    if not count:
        return []
    return [
        f"{count} trajectories have no observation after their last step: the one before it is "
        "written in its place"
    ]


def _push(
    view: Corpus,
    address: str,
    settings: Mapping[str, Any],
    progress: Progress,
    keep: Collection[str],
    dry_run: bool,
) -> Exported:
    """Export to the Hub: what a mask hides is not published."""
    where = parse_hub_address(address)
    for key in settings:
        raise ConfigError(f"no setting {key!r}", address, "the Hub has none")
    if where.revision is not None:
        whole = where._replace(revision=None)
        raise ConfigError("a revision cannot be written to", address, f"write {whole}")
    pushed = push(view, where.repo, progress=progress, keep=keep, dry_run=dry_run)
    return Exported(
        path=None,
        address=str(where),
        trajectories=pushed.trajectories,
        steps=pushed.steps,
        masks=pushed.masks,
        notes=pushed.left,
    )
