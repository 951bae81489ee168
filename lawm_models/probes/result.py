"""What a probe finds, row by row."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any, NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor

from lawm_models.probes.columns._protocol import Column
from lawm_models.probes.evidence import Kind
from lawm_models.probes.held_out import Division
from lawm_models.probes.seeds import FEWEST

TITLES: Mapping[Kind, str] = {
    "state_only": "state only",
    "acwm": "acwm, labels of the mask",
    "acwm_all": "acwm, all labels",
    "unconstrained": "unconstrained",
    "idm": "IDM, labels of the mask",
}
"""Of the anchors, in the order of the table."""


class Settings(NamedTuple):
    """How much is done."""

    steps: int = 700
    """Gradient steps of each anchor and of each network of a probe."""
    pairs: int = 600
    """Transitions whose actions are simulated in the state of another."""
    seed: int = 0
    """Of all draws; anchors beside the i-th seed of a row have this plus i."""
    goals: int = 30
    """That are planned for, at most."""


class Line(NamedTuple):
    """A row of the table: runs that differ in their seed alone, or an anchor."""

    name: str
    kind: Kind
    runs: tuple[str, ...]
    values: dict[str, list[float]]
    """Of every seed, by column."""


class Latents(NamedTuple):
    """Judged transitions of a row's first run, for a picture."""

    latent: Float[Tensor, "N D"]
    action: Float[Tensor, "N kA"]
    known: Bool[Tensor, " N"]


class Probe(NamedTuple):
    """What was found."""

    corpus: str
    mask: str | None
    division: Division
    fit: int
    """Trajectories that anchors and probes learned from."""
    labeled: int
    """Those of them whose actions the mask shows."""
    transitions: int
    """That were judged."""
    simulated: int
    """Pairs."""
    horizon: int
    settings: Settings
    lines: tuple[Line, ...]
    columns: tuple[Column, ...]
    latents: Mapping[str, Latents]

    def to_json(self) -> dict[str, Any]:
        """As ``lawm probe --json`` prints it."""
        return {
            "corpus": self.corpus,
            "mask": self.mask,
            "held_out_by": self.division.by,
            "trajectories": {
                "fit": self.fit,
                "labeled": self.labeled,
                "held_out": len(self.division.judged),
            },
            "transitions": self.transitions,
            "simulated": self.simulated,
            "horizon": self.horizon,
            **self.settings._asdict(),
            "rows": [
                {
                    "name": line.name,
                    "kind": line.kind,
                    "runs": line.runs,
                    "figures": {name: figure(found) for name, found in line.values.items()},
                }
                for line in self.lines
            ],
            "columns": [column._asdict() for column in self.columns],
        }


def figure(values: list[float]) -> dict[str, Any]:
    """Mean and sample standard deviation over seeds; none of fewer than ``FEWEST``."""
    std = statistics.stdev(values) if len(values) >= FEWEST else None
    return {"mean": statistics.fmean(values), "std": std, "values": values}
