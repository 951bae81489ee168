"""The sidecar of an export to Minari: what Minari has no place for, so that an import restores it.

In the metadata of the dataset, under ``lawm``: the manifest, the masks, the overlay. In that of
every episode: ``trajectory_id``, ``actions`` (the state that they are in), ``actions_observed``
(whether all are), ``provenance``, ``agent_step``, ``metadata``. In ``infos``: ``action_observed``,
``physics``, under an overlay ``action_inferred`` and ``action_inferred_std``, and with latent
actions ``latent_action`` and ``latent_code``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from lawm_schemas import (
    ArraySpec,
    CorpusError,
    LatentSet,
    LawmError,
    Manifest,
    Mask,
    Overlay,
    Role,
)

from lawm_data.corpus.latents import CODE, LATENT, LatentActions
from lawm_data.exchange.formats._protocol import Episode, Outgoing
from lawm_data.exchange.formats.minari.episodes import StoredEpisode
from lawm_data.exchange.formats.minari.metadata import HINT, SIDECAR, DatasetMetadata
from lawm_data.exchange.formats.minari.spaces import restored
from lawm_data.exchange.untrusted.strict_json import strict_json

VERSION = 1
"""Version of what is kept; a newer one is refused."""
OBSERVED, PHYSICS = "action_observed", "physics"
INFERRED, DEVIATION = "action_inferred", "action_inferred_std"


class Sidecar(NamedTuple):
    """What the metadata of our own exports says of the corpus."""

    manifest: Manifest
    masks: tuple[Mask, ...]
    overlay: Overlay | None
    latents: LatentSet | None

    @property
    def observed(self) -> tuple[ArraySpec, ...]:
        """The arrays that are observations in Minari, too."""
        return tuple(s for s in self.manifest.observations if s.role is not Role.physics)


def sidecar_of(outgoing: Outgoing) -> dict[str, Any]:
    """What goes into the metadata of the dataset."""
    view = outgoing.view
    update = {"shards": (), "fingerprint": "0" * 64, "lineage": outgoing.lineage}
    return {
        "version": VERSION,
        "manifest": view.manifest.model_copy(update=update).model_dump(mode="json"),
        "masks": [mask.model_dump(mode="json") for mask in outgoing.masks],
        "overlay": view.overlay and view.overlay.model_dump(mode="json"),
        "latents": view.latents and view.latents.model_dump(mode="json"),
    }


def read_sidecar(metadata: DatasetMetadata) -> Sidecar | None:
    """What ``sidecar_of`` has written; None for datasets of others.

    Raises:
        CorpusError: damaged, or written by a newer version.
    """
    stored = metadata.rest.get(SIDECAR)
    if stored is None:
        return None
    where = f"{metadata.where}: {SIDECAR}"
    if not isinstance(stored, dict) or stored.get("version") != VERSION:
        raise CorpusError("is not of a version that is known here", where, "update lawm")
    try:
        overlay, latents = stored.get("overlay"), stored.get("latents")
        return Sidecar(
            Manifest.parse(stored.get("manifest"), where),
            tuple(Mask.parse(mask, where) for mask in stored.get("masks", ())),
            None if overlay is None else Overlay.parse(overlay, where),
            None if latents is None else LatentSet.parse(latents, where),
        )
    except (LawmError, TypeError) as error:
        what = error.what if isinstance(error, LawmError) else "lists no masks"
        raise CorpusError(what, where, HINT) from None


def episode_attributes(episode: Episode, sources: Mapping[str, int]) -> dict[str, Any]:
    """The attributes of one episode.

    Args:
        episode: the trajectory.
        sources: place of each provenance in the manifest, by its JSON.
    """
    attributes: dict[str, Any] = {
        "trajectory_id": episode.trajectory_id or "",
        "actions": episode.labels.value if episode.labels else "",
        "actions_observed": episode.complete,
        "provenance": sources[episode.provenance.to_json()],
    }
    if episode.agent_step is not None:
        attributes["agent_step"] = episode.agent_step
    if episode.metadata:
        attributes["metadata"] = json.dumps(dict(episode.metadata))
    return attributes


def observed_flags(source: StoredEpisode, length: int) -> np.ndarray | None:
    """(T,) which actions are recorded, from the infos; None where they do not say.

    Raises:
        CorpusError: not T+1 bools.
    """
    if not source.has(f"infos/{OBSERVED}"):
        return None
    flags = source.array(f"infos/{OBSERVED}")
    if flags.dtype != np.bool_ or flags.size != length + 1 or len(flags) != length + 1:
        what = f"is {flags.dtype}{list(flags.shape)}, not {length + 1} bools"
        raise CorpusError(what, f"{source.where}: infos/{OBSERVED}", HINT)
    return flags.reshape(-1)[:-1]


def restore(source: StoredEpisode, sidecar: Sidecar, without: Sequence[str] = ()) -> Episode:
    """One trajectory of our own export.

    Args:
        source: its episode.
        sidecar: of the dataset.
        without: names of observations that are not read.

    Raises:
        CorpusError: it is not what the metadata of the dataset says.
    """
    attributes, observations = source.attributes(), {}
    single = len(sidecar.observed) == 1
    for spec in (spec for spec in sidecar.observed if spec.name not in without):
        place = "observations" if single else f"observations/{spec.name}"
        observations[spec.name] = restored(source.array(place), spec)
    for spec in sidecar.manifest.observations:
        if spec.role is Role.physics and spec.name not in without:
            observations[spec.name] = source.array(f"infos/{PHYSICS}")
    rewards = source.array("rewards")
    length = len(rewards) if rewards.ndim else 0
    seen = observed_flags(source, length)
    actions, action = None, sidecar.manifest.action
    if seen is None or seen.any():
        actions = source.array("actions")
        if action.dtype == "bool" and seen is not None and len(actions) == len(seen):
            # rows that are not observed hold no bool
            actions = np.where(seen.reshape(-1, *[1] * (actions.ndim - 1)), actions, 0)
        actions = restored(actions, action)
    entry = _number(attributes, "provenance")
    if entry is None or not 0 <= entry < len(sidecar.manifest.provenance):
        raise CorpusError(f"has provenance {entry}, which is not there", source.where, HINT)
    text = _text(attributes, "metadata")
    metadata = strict_json(text, f"{source.where}: metadata") if text else {}
    if not isinstance(metadata, dict):
        raise CorpusError("is not a JSON object", f"{source.where}: metadata", HINT)
    return Episode(
        observations=observations,
        rewards=rewards,
        provenance=sidecar.manifest.provenance[entry],
        actions=actions,
        action_observed=None if actions is None else seen,
        terminated=ended(source, "terminations", length),
        truncated=ended(source, "truncations", length),
        agent_step=_number(attributes, "agent_step"),
        seed=_number(attributes, "seed"),
        metadata=metadata,
        trajectory_id=_text(attributes, "trajectory_id") or None,
        inferred=_inferred(source, sidecar, length),
        latents=None if sidecar.latents is None else _latents(source, sidecar.latents, length),
    )


def ended(source: StoredEpisode, place: str, length: int) -> bool:
    """Whether the last of T flags is set, and no other one.

    Raises:
        CorpusError: another length, no flags, or one is set before the end.
    """
    flags, where = source.array(place), f"{source.where}: {place}"
    if flags.shape not in ((length,), (length, 1)):
        raise CorpusError(f"has shape {flags.shape} for {length} rewards", where, HINT)
    flags = flags.reshape(-1)
    if not ((flags == 0) | (flags == 1)).all():
        raise CorpusError("holds more than flags", where, HINT)
    if flags[:-1].any():
        what = f"is set at step {int(np.argmax(flags))} of {length}"
        raise CorpusError(what, where, "cut the episode there")
    return bool(flags[-1]) if length else False


def _inferred(
    source: StoredEpisode, sidecar: Sidecar, length: int
) -> tuple[np.ndarray, np.ndarray] | None:
    if sidecar.overlay is None or not source.has(f"infos/{INFERRED}"):
        return None
    shape = (length + 1, sidecar.manifest.action.size)
    found = [source.array(f"infos/{name}") for name in (INFERRED, DEVIATION)]
    if any(array.shape != shape or array.dtype != np.float32 for array in found):
        raise CorpusError(f"are not {shape} float32", f"{source.where}: infos/{INFERRED}", HINT)
    mean, std = (array[:-1] for array in found)
    if np.isnan(mean).all() and np.isnan(std).all():
        return None
    if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std >= 0).all()):
        raise CorpusError("are not all finite", f"{source.where}: infos/{INFERRED}", HINT)
    return mean, std


def _latents(source: StoredEpisode, info: LatentSet, length: int) -> LatentActions:
    where = f"{source.where}: infos/{LATENT}"
    values = source.array(f"infos/{LATENT}")
    if values.shape != (length + 1, info.width) or values.dtype != np.float32:
        raise CorpusError(f"are not {(length + 1, info.width)} float32", where, HINT)
    known = np.asarray(np.isfinite(values).all(1))
    count = int(known.sum())
    if not known[:count].all() or known[-1] or not np.isnan(values[~known]).all():
        raise CorpusError("are not known from the first step on", where, HINT)
    if info.codes is None:
        return LatentActions(values[:count])
    codes = source.array(f"infos/{CODE}").reshape(-1)
    if codes.shape != (length + 1,) or codes.dtype != np.int32:
        what = f"are not {length + 1} int32"
        raise CorpusError(what, f"{source.where}: infos/{CODE}", HINT)
    return LatentActions(values[:count], codes[:count])


def _number(attributes: Mapping[str, Any], key: str) -> int | None:
    value = attributes.get(key)
    return None if value is None else int(value) if isinstance(value, int | np.integer) else -1


def _text(attributes: Mapping[str, Any], key: str) -> str:
    value = attributes.get(key, "")
    return value if isinstance(value, str) else ""
