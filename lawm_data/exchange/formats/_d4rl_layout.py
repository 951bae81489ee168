"""Where the arrays of a corpus stand in a D4RL file."""

from __future__ import annotations

from typing import NamedTuple

from lawm_schemas import ArraySpec, Manifest, Role

GROUP = "metadata/lawm"
"""Group of what our own files say of themselves; D4RL's readers step over ``metadata``."""
UNLABELED = f"{GROUP}/unlabeled"
"""Group of the trajectories that lack actions."""
FINAL = f"{GROUP}/final"
"""Group of the last observations of arrays that stand under ``infos``."""


class Columns(NamedTuple):
    """The division of a step's arrays."""

    observed: tuple[ArraySpec, ...]
    """Side by side in ``observations``: the state fields of the first one's type, or, where there
    is no state, an image alone."""
    infos: tuple[ArraySpec, ...]
    """The others, under ``infos/NAME``."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a row of ``observations``."""
        first = self.observed[0]
        return first.shape if is_image(first) else (sum(spec.size for spec in self.observed),)


def is_image(spec: ArraySpec) -> bool:
    """Whether it keeps its shape in ``observations``."""
    return spec.role is Role.pixels


def columns_of(manifest: Manifest) -> Columns:
    """Divide the arrays of a manifest."""
    images = tuple(spec for spec in manifest.observations if is_image(spec))
    state = tuple(spec for spec in manifest.state if spec.dtype == manifest.state[0].dtype)
    observed = state or images[:1]
    return Columns(observed, tuple(s for s in manifest.observations if s not in observed))
