"""What a view shows of the observations: some recorded fields, or features in their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from lawm_schemas import ArraySpec, ConfigError, FeatureSet, Manifest, Role

from lawm_data.corpus.features import open_features
from lawm_data.corpus.layout import Layout
from lawm_data.corpus.shard import Shard
from lawm_data.corpus.store import Store

EVERYTHING = "everything"
"""What is observed where nobody has chosen."""
CHOICES = "state, pixels, pixels:CAMERA, features:NAME, or several with + between them"


@dataclass(frozen=True, eq=False)
class Observed:
    """The choice of a view."""

    words: str
    """As it was asked for."""
    manifest: Manifest
    """Of the corpus, with the observations that are shown."""
    layout: Layout
    """Where they lie in a shard."""
    infos: tuple[FeatureSet, ...]
    """The features among them."""
    added: Mapping[str, Sequence[np.ndarray]]
    """Their rows in each shard, (R, D) float16, by name."""

    def added_to(self, shards: Sequence[Shard]) -> tuple[Shard, ...]:
        """The shards with the features as fields."""
        if not self.added:
            return tuple(shards)
        return tuple(
            replace(shard, fields={**shard.fields, **{k: v[i] for k, v in self.added.items()}})
            for i, shard in enumerate(shards)
        )


def observe(store: Store, what: str) -> Observed | None:
    """Choose among the observations of a corpus; None where all of them are chosen.

    Args:
        store: the corpus.
        what: see ``Corpus.observing``.

    Raises:
        ConfigError: it is no choice, or the corpus has no such observations.
        CorpusError: no such features, damaged ones, or those of another corpus.
    """
    if what == EVERYTHING:
        return None
    chosen: list[ArraySpec] = []
    infos: list[FeatureSet] = []
    added: dict[str, list[np.ndarray]] = {}
    for word in what.split("+"):
        kind, colon, name = word.strip().partition(":")
        if kind == "features" and name:
            found = open_features(store, name, verify=True)
            infos.append(found.info)
            added[name] = _by_shard(store, found.rows)
            chosen.append(ArraySpec(name=name, shape=(found.info.width,)))
        elif kind == "pixels" or word == "state":
            chosen += _recorded(store, Role(kind), name if colon else None)
        else:
            raise ConfigError(f"cannot be {what!r}", "observe", f"it is {CHOICES}")
    names = [spec.name for spec in chosen]
    if len(set(names)) < len(names):
        raise ConfigError("says something twice", f"observe: {what}", "say each thing once")
    kept = [spec for spec in store.manifest.observations if spec.role is Role.physics]
    manifest = store.manifest.model_copy(update={"observations": (*chosen, *kept)})
    if manifest.observations == store.manifest.observations:
        return None
    packed = tuple(part for part in store.layout.packed if part[0].name in names)
    inside = [spec.name for spec, _ in packed]
    apart = tuple(spec for spec in manifest.observations if spec.name not in inside)
    layout = store.layout._replace(packed=packed, apart=apart, state=manifest.state)
    return Observed(what, manifest, layout, tuple(infos), added)


def _recorded(store: Store, role: Role, name: str | None) -> list[ArraySpec]:
    """The fields of a role that were recorded, or the one of a name."""
    found = [spec for spec in store.manifest.observations if spec.role is role]
    chosen = [spec for spec in found if name in (None, spec.name)]
    if not chosen:
        others = "pixels" if role is Role.state else "state"
        what = f"has no {role.value}" if name is None else f"has no camera {name!r}"
        hint = f"--set observe={others}, or features:NAME"
        if name is not None and found:
            hint = f"cameras: {', '.join(spec.name for spec in found)}"
        raise ConfigError(what, str(store.path), hint)
    return chosen


def _by_shard(store: Store, rows: np.ndarray) -> list[np.ndarray]:
    """The rows of each shard: they lie in the order of the trajectories, as the shards do."""
    counts = [len(shard.steps) for shard in store.shards]
    return np.split(rows, np.cumsum(counts)[:-1]) if counts else []
