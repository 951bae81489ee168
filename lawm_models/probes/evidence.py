"""What probes look at: transitions, how each row of the table sees them, and their yardsticks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from jaxtyping import Bool, Float, Int
from torch import Tensor

from lawm_models.networks.latent_dynamics import LatentDynamics

Kind = Literal["run", "state_only", "acwm", "acwm_all", "unconstrained", "idm"]
"""A run that is judged, or an anchor: a model of the state alone, one of true actions where the
mask shows them, one of all true actions, latent actions without a constraint, and an inverse
dynamics model on the labels of the mask."""
SMALLEST = 1e-12
"""Less than this cannot be divided by."""
AHEAD = 6
"""H, actions of the model from the state in which a plan begins to its goal."""


class Transitions(NamedTuple):
    """Transitions over k steps, N of them."""

    trajectory: Int[Tensor, " N"]
    """Number of the trajectory, among those that were read."""
    step: Int[Tensor, " N"]
    """t."""
    before: Float[Tensor, "N O"]
    """o_t, in recorded units."""
    after: Float[Tensor, "N O"]
    """o_{t+k}."""
    action: Float[Tensor, "N kA"]
    """The true actions between, in [-1, 1]; 0 where one was not recorded."""
    known: Bool[Tensor, " N"]
    """Whether all of them were recorded."""
    shown: Bool[Tensor, " N"]
    """Whether the mask shows them, too."""
    exogenous: Float[Tensor, "N X"]
    """Change of the exogenous arrays."""

    def take(self, places: Tensor) -> Transitions:
        """Some of them."""
        return Transitions(*(part[places] for part in self))


class Seen(NamedTuple):
    """The same transitions as a model sees them."""

    state: Float[Tensor, "N S"]
    latent: Float[Tensor, "N D"]
    """The latent action inferred from both observations; of a model of true actions, these."""


@dataclass(frozen=True, eq=False)
class Row:
    """A model in the table."""

    kind: Kind
    dynamics: LatentDynamics | None
    """None of the inverse dynamics model, which predicts nothing."""
    fit: Seen
    """What probes learn from."""
    judged: Seen
    """What they are judged by."""


class Transfer(NamedTuple):
    """Actions of one transition in the state of another, as the simulator has it; P pairs."""

    source: Int[Tensor, " P"]
    """Place among the judged transitions, whose action it is."""
    place: Int[Tensor, " P"]
    """Place of the one in whose state it is taken."""
    after: Float[Tensor, "P O"]
    """The observation to which that leads."""


class Goals(NamedTuple):
    """What plans are to reach, and the simulator that acts them out; P goals, H actions to each."""

    place: Int[Tensor, " P"]
    """Place among the judged transitions, in whose state a plan begins."""
    wanted: Float[Tensor, "P O"]
    """The observation that was recorded H · k steps later."""
    unit: Float[Tensor, " O"]
    """Standard deviation of each number of an observation; 1 for one that never changes."""
    act_out: Callable[[Float[Tensor, "P H kA"]], Float[Tensor, "P O"]]
    """Normalised actions to the observations that they lead to."""
    without: Float[Tensor, "P O"]
    """The observations after as many steps without any action."""

    def distance(self, observed: Float[Tensor, "P O"]) -> float:
        """Mean over the goals: root mean square over the observation, in ``unit``."""
        return float(((observed - self.wanted) / self.unit).square().mean(-1).sqrt().mean())


@dataclass(frozen=True, eq=False)
class Evidence:
    """All that a probe may look at beside a row.

    Attributes:
        unit: (O,) σ_Δ, root mean square change of each number; 1 for one that never changes.
        fit: transitions of trajectories that trainings have seen.
        judged: transitions of held-out trajectories.
        other: (N,) for each judged transition another one, of a place drawn at random.
        transfer: from the simulator, if it was asked.
        goals: the same, where trajectories are long enough.
        anchors: rows by their kind.
        seed: of networks that probes train.
        steps: gradient steps of each.
    """

    unit: Float[Tensor, " O"]
    fit: Transitions
    judged: Transitions
    other: Int[Tensor, " N"]
    transfer: Transfer | None = None
    goals: Goals | None = None
    anchors: Mapping[Kind, Row] = field(default_factory=dict)
    seed: int = 0
    steps: int = 700

    def error(
        self,
        predicted: Float[Tensor, "N O"],
        after: Float[Tensor, "N O"],
        before: Float[Tensor, "N O"],
    ) -> float:
        """NMSE: E‖(ô' − o') / σ_Δ‖² / E‖(o' − o) / σ_Δ‖², 1 for predicting no change."""
        error = ((predicted.double() - after.double()) / self.unit).square().sum(-1).mean()
        change = ((after.double() - before.double()) / self.unit).square().sum(-1).mean()
        return float(error / change.clamp(min=SMALLEST))

    def one_step_error(self, row: Row) -> float | None:
        """NMSE on judged transitions with the row's own actions; none where it predicts nothing."""
        if row.dynamics is None:
            return None
        predicted = row.dynamics.predict(row.judged.state, row.judged.latent)
        return self.error(predicted, self.judged.after, self.judged.before)

    def anchor_error(self, kind: Kind) -> float | None:
        """The same of an anchor; none where there is none."""
        return self.one_step_error(self.anchors[kind]) if kind in self.anchors else None
