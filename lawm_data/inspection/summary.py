"""What ``lawm-data info`` prints about a corpus, as plain data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from lawm_schemas import LawmError

from lawm_data.corpus.constant_actions import LOOKED_AT, inert_actions
from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.features import FEATURES, feature_names, read_feature_set
from lawm_data.corpus.latents import LATENTS, latent_names, read_latent_set
from lawm_data.corpus.mask import mask_files, read_mask
from lawm_data.corpus.overlay import LABELS, overlay_names, read_overlay
from lawm_data.corpus.table import LABEL_STATES, Table
from lawm_data.corpus.writing.leftovers import dead_leftovers
from lawm_data.inspection.statistics import measure

T = TypeVar("T")


def summarize(corpus: Corpus, stats: bool = False) -> dict[str, Any]:
    """Describe a view with JSON-able values and stable keys.

    Args:
        corpus: the view.
        stats: read the arrays too, for ``stats``; all else is known from the table.

    ``returns`` are those of trajectories whose rewards were recorded, None where there are none;
    ``lengths`` is None for an empty view. ``current`` of a mask or an overlay
    says whether it belongs to the corpus as it is now; those that cannot be read are ``damaged``.
    ``inert_actions`` counts trajectories whose actions count as observed and never change; without
    ``stats`` among ``LOOKED_AT`` of them at most. ``leftovers`` is what dead writers left in the
    corpus and beside it.
    """
    manifest, table = corpus.manifest, corpus.table
    counts = np.bincount(table.provenance, minlength=len(table.sources))
    sources: dict[str, int] = {}
    for name, count in zip(table.sources, counts.tolist(), strict=True):
        if count:
            sources[name] = sources.get(name, 0) + count
    source = table.source
    folder = corpus.path / LABELS
    files = [folder / name for name in overlay_names(corpus.path)]
    masks, damaged_masks = _read_all(mask_files(corpus.path), read_mask)
    overlays, damaged_overlays = _read_all(files, read_overlay)
    files = [corpus.path / FEATURES / name for name in feature_names(corpus.path)]
    features, damaged_features = _read_all(files, read_feature_set)
    files = [corpus.path / LATENTS / name for name in latent_names(corpus.path)]
    latents, damaged_latents = _read_all(files, read_latent_set)
    return {
        "path": str(corpus.path),
        "trajectories": len(corpus),
        "steps": int(table.length.sum()),
        "fingerprint": corpus.fingerprint,
        "mask": None if corpus.mask is None else corpus.mask.name,
        "labels": None if corpus.overlay is None else corpus.overlay.name,
        "label_states": corpus.label_counts(),
        "partially_labeled": int(
            ((table.num_observed > 0) & (table.num_observed < table.length)).sum()
        ),
        "masks": {
            name: {
                "fraction": mask.fraction,
                "seed": mask.seed,
                "labeled": len(mask.labeled),
                "by": mask.by,
                "stratify": mask.stratify,
                "where": mask.where,
                "current": mask.corpus == corpus.root_fingerprint,
            }
            for name, mask in masks.items()
        },
        "overlays": {
            name: {
                "trajectories": overlay.trajectories,
                "algorithm": overlay.algorithm,
                "mask": overlay.mask,
                # through a mask nothing is told that was made of hidden actions
                "r2": overlay.r2 if corpus.mask is None else None,
                "current": overlay.corpus == corpus.root_fingerprint,
            }
            for name, overlay in overlays.items()
        },
        "features": {
            name: {
                "width": info.width,
                "algorithm": info.algorithm,
                "encoder": info.encoder_sha256,
                "probe": info.probe,
                "current": info.corpus == corpus.root_fingerprint,
            }
            for name, info in features.items()
        },
        "latents": {
            name: {
                "width": info.width,
                "codes": info.codes,
                "constraint": info.constraint["name"],
                "algorithm": info.algorithm,
                "run": info.run,
                "current": info.corpus == corpus.root_fingerprint,
            }
            for name, info in latents.items()
        },
        "label_steps": label_steps(table),
        "damaged": damaged_masks + damaged_overlays + damaged_features + damaged_latents,
        "leftovers": [str(entry) for entry in dead_leftovers(corpus.path, manifest)],
        "inert_actions": inert_actions(corpus, None if stats else LOOKED_AT)._asdict(),
        "returns": _spread(table.episode_return[table.rewarded]),
        "without_rewards": int((~table.rewarded).sum()),
        "lengths": _spread(table.length),
        "sources": sources,
        "by_source": {
            name: _summarize_source(table.take(np.flatnonzero(source == name))) for name in sources
        },
        "environment": (
            None if manifest.environment is None else manifest.environment.model_dump(mode="json")
        ),
        "observations": [
            {
                "name": s.name,
                "shape": list(s.shape),
                "dtype": s.dtype,
                "role": s.role.value,
                "drawing": s.drawing and str(s.drawing),
            }
            for s in manifest.observations
        ],
        "action": {
            "name": manifest.action.name,
            "shape": list(manifest.action.shape),
            "dtype": manifest.action.dtype,
        },
        "licence": manifest.licence,
        "lineage": [step.operation for step in manifest.lineage],
        "shards": len(manifest.shards),
        "bytes": sum(shard.bytes for shard in manifest.shards),
        "stats": measure(corpus) if stats else None,
    }


def label_steps(table: Table) -> dict[str, int]:
    """Steps in each label state; what a partially labeled trajectory lacks is missing."""
    steps = {
        state.value: int(table.length[table.labels == code].sum())
        for code, state in enumerate(LABEL_STATES)
    }
    lacking = steps["observed"] - int(table.num_observed.sum())
    steps["observed"] -= lacking
    steps["missing"] += lacking
    return steps


def _summarize_source(table: Table) -> dict[str, Any]:
    """Figures of one source, from the rows of the table that came from it."""
    counts = np.bincount(table.labels, minlength=len(LABEL_STATES)).tolist()
    return {
        "trajectories": len(table),
        "steps": int(table.length.sum()),
        "label_states": {state.value: n for state, n in zip(LABEL_STATES, counts, strict=True)},
        "label_steps": label_steps(table),
        "returns": _spread(table.episode_return[table.rewarded]),
        "lengths": _spread(table.length),
    }


def _read_all(
    paths: Sequence[Path], read: Callable[[Path], T]
) -> tuple[dict[str, T], list[dict[str, str]]]:
    """What can be read, by name, and what is wrong with the others."""
    found, damaged = {}, []
    for path in paths:
        try:
            found[path.name.removesuffix(".json")] = read(path)
        except LawmError as error:
            damaged.append({"where": error.where, "what": error.what, "mend": error.hint})
    return found, damaged


def _spread(values: np.ndarray) -> dict[str, float] | None:
    """Mean, population standard deviation and quartiles."""
    if not len(values):
        return None
    # as np.percentile, which would load NumPy's masked arrays for it
    places = np.linspace(0, len(values) - 1, 5)
    low, p25, median, p75, high = np.interp(places, np.arange(len(values)), np.sort(values))
    numbers = {
        "mean": values.mean(),
        "std": values.std(),
        "min": low,
        "p25": p25,
        "median": median,
        "p75": p75,
        "max": high,
    }
    return {name: float(number) for name, number in numbers.items()}
