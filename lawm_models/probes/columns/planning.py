"""Planning: how near a plan through latent actions comes, when the simulator acts it out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

import torch
from torch import Tensor

from lawm_models.planning.planners import cem
from lawm_models.probes import regression
from lawm_models.probes.columns._protocol import Column
from lawm_models.probes.evidence import AHEAD, SMALLEST, Evidence, Goals, Row

PLACE = 8
PLANNER = cem.Config(horizon=AHEAD, samples=64, iterations=4, elites=8)
COLUMNS = (
    Column(
        "planning",
        "plan",
        "low",
        "0 at the goal; 1 as far as at the start; of state only, without any action",
        f"distance to what was recorded {AHEAD} steps later, over that at the start, "
        f"after the simulator has acted out a plan: CEM ({PLANNER.samples} samples, "
        f"{PLANNER.iterations} iterations, {PLANNER.elites} elites) over actions, which the model "
        "takes as c(s, a); means over the goals of the root mean square over the observation, in "
        "standard deviations",
        "longer ways, a closed loop, and searching latent actions themselves",
    ),
    Column(
        "planning_gain",
        "plan gain",
        "high",
        "1 as near as knowing the action; 0 as near as doing nothing; below 0 harmful",
        "(D_none - D) / (D_none - D_all), D the distance, without any action and of acwm with all "
        "actions",
        "whether acwm with all actions plans well: see its row",
    ),
    Column(
        "planning_blind",
        "plan blind",
        "low",
        "as of planning",
        "planning with c(a), a controller that does not see the state",
        "as of planning",
    ),
)


Controller = Callable[[Tensor, Tensor], Tensor]
"""From states (N, S) and normalised actions (N, kA) to latent actions (N, D)."""


def measure(row: Row, evidence: Evidence) -> Mapping[str, float]:
    """See ``_protocol.ProbeModule``."""
    goals = evidence.goals
    if goals is None or row.dynamics is None:
        return {}
    start = goals.distance(evidence.judged.before[goals.place])
    left = _distance(row, evidence)
    if left is None or start <= SMALLEST:
        return {}
    found = {"planning": left / start}
    if row.dynamics.infers and row.kind != "state_only":
        blind = _distance(row, evidence, sees=False)
        assert blind is not None
        found["planning_blind"] = blind / start
    if "acwm_all" in evidence.anchors:
        none, known = (
            goals.distance(goals.without),
            _distance(evidence.anchors["acwm_all"], evidence),
        )
        if known is not None and none - known > SMALLEST:
            found["planning_gain"] = (none - left) / (none - known)
    return found


@lru_cache(maxsize=2)  # of the anchor it is asked beside every row
def _distance(row: Row, evidence: Evidence, sees: bool = True) -> float | None:
    """Mean distance to the goals that is left by plans; none where no label teaches a controller.

    Args:
        row: whose model is planned in.
        evidence: with goals.
        sees: whether the controller sees the state.
    """
    goals = evidence.goals
    assert goals is not None
    if row.kind == "state_only":
        return goals.distance(goals.without)
    controller = _controller(row, evidence, sees)
    if controller is None:
        return None
    plans = _plan(row, evidence, goals, controller)
    return goals.distance(goals.act_out(plans))


def _controller(row: Row, evidence: Evidence, sees: bool) -> Controller | None:
    """Learned on the labels of the mask; models of true actions need none."""
    dynamics, taught = row.dynamics, evidence.fit.shown
    assert dynamics is not None
    if not dynamics.infers:
        return lambda _, action: action
    if not taught.any():
        return None
    state, latent, action = (
        row.fit.state[taught],
        row.fit.latent[taught],
        evidence.fit.action[taught],
    )
    known = torch.cat((state, action), -1) if sees else action
    network = regression.trained_network(known, latent, evidence.steps, evidence.seed)

    def controller(state: Tensor, action: Tensor) -> Tensor:
        asked = torch.cat((state, action), -1) if sees else action
        return network(asked).to(latent.dtype)

    return controller


def _plan(row: Row, evidence: Evidence, goals: Goals, controller: Controller) -> Tensor:
    """Normalised actions (P, H, kA), whose last observation the model expects at the goals."""
    dynamics, begin = row.dynamics, row.judged.state[goals.place]
    assert dynamics is not None

    def cost(tried: Tensor) -> Tensor:
        samples = tried.shape[1]
        state = begin.repeat_interleave(samples, 0)
        *first, last = tried.flatten(0, 1).unbind(1)
        for action in first:
            state = dynamics.step(state, controller(state, action))
        expected = dynamics.predict(state, controller(state, last)).unflatten(0, (-1, samples))
        return ((expected - goals.wanted.unsqueeze(1)) / goals.unit).square().mean(-1)

    width = evidence.judged.action.shape[1]
    nothing = begin.new_zeros(len(begin), cem.Planner.kept, AHEAD, width)
    generator = torch.Generator().manual_seed(evidence.seed)
    with torch.no_grad():
        return cem.Planner(PLANNER).search(cost, nothing, generator).plan
