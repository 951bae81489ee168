"""How near a planner comes to observations that trajectories reached some steps later.

Start states are put into the simulator from recorded physics; the plan is made from observations
alone, and no recorded action is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from lawm_schemas import ArraySpec, ConfigError, CorpusError, Role

from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.physics import physics_hint
from lawm_data.corpus.rate import step_seconds
from lawm_data.envs import suites as envs
from lawm_data.envs.convert import nearest, state_of
from lawm_data.envs.policy import RandomPolicy
from lawm_data.envs.suites import LARGEST_SEED, Environments
from lawm_data.inspection.statistics import moments
from lawm_data.system.progress import Progress, silent
from lawm_data.system.video import require_video, write_video
from lawm_models.networks.scaling import SMALLEST_STD
from lawm_models.planning.planner import Goal, ModelPlanner, shifted

AT_ONCE = 100
"""Goals that are planned for and simulated side by side."""
SAMPLED = 1000
"""Observations that tell the unit of each number in a planner's cost."""
FILMED, PICTURE = 8, 256
"""Goals in a film, and the edge of its pictures."""


Act = Callable[[int, dict[str, np.ndarray]], np.ndarray]
"""Actions (N, A) for a step, counted from 0, and what is observed there, (N, *shape) by field."""


class Start(NamedTuple):
    """Where one plan begins, and with what observation it is to end."""

    trajectory: str
    """Id."""
    step: int
    """t of the first observation; the goal is that at t + horizon."""
    place: int
    """Of the trajectory in the corpus."""


class Reached(NamedTuple):
    """Distances to the goals: root mean square over the state, in standard deviations of it."""

    starts: list[Start]
    start: Float[np.ndarray, " G"]
    """At the beginning."""
    plan: Float[np.ndarray, " G"]
    """At the end, by the planner."""
    no_action: Float[np.ndarray, " G"]
    """With zeros for actions, or the nearest that the bounds allow."""
    random: Float[np.ndarray, " G"]
    """With actions that are uniform within the bounds."""


def choose_starts(
    corpus: Corpus, goals: int, horizon: int, seed: int, before: int = 0
) -> list[Start]:
    """Draw trajectories, none twice before all were drawn, and a step in each.

    Args:
        corpus: what is drawn from.
        goals: how many.
        horizon: steps between start and goal.
        seed: of the draws.
        before: observations that there are before a start, at the least.

    Raises:
        ConfigError: fewer than one goal or step, or no trajectory is as long as that.
    """
    for name, number in (("goals", goals), ("horizon", horizon)):
        if number < 1:
            raise ConfigError(f"{number} is below 1", name, "give 1 or more")
    last = corpus.table.length - ~corpus.table.final_observed
    able = np.flatnonzero(last >= horizon + before)
    if not len(able):
        longest = int(last.max(initial=0)) - before
        if longest < 1:
            raise CorpusError("has no step to begin at", str(corpus.path), "give another corpus")
        what = f"{horizon} steps are more than any trajectory has"
        raise ConfigError(what, f"{corpus.path}: horizon", f"give {longest} at most")
    generator = np.random.default_rng(seed)
    rounds = -(-goals // len(able))
    places = np.concatenate([generator.permutation(able) for _ in range(rounds)])[:goals]
    ids = corpus.table.id
    return [
        Start(str(ids[i]), int(generator.integers(before, last[i] - horizon + 1)), int(i))
        for i in places
    ]


def reach_goals(
    planner: ModelPlanner,
    reads: Sequence[ArraySpec],
    corpus: Corpus,
    goals: int = 100,
    horizon: int = 6,
    closed_loop: bool = False,
    seed: int = 0,
    film: Path | None = None,
    progress: Progress = silent,
) -> Reached:
    """Plan from recorded states towards what was observed later, and act it out.

    Args:
        planner: towards goals.
        reads: what its model reads, in order.
        corpus: of the trajectories; none of their actions are read.
        goals: how many.
        horizon: steps between start and goal, and of each plan.
        closed_loop: look again and plan the rest anew at every step.
        seed: of goals, planner and random actions.
        film: video of the first goals beside what was reached, or none.
        progress: called with how many goals are done, and of how many.

    Raises:
        ConfigError: a number that makes no sense, or the environment cannot be made or drawn here.
        CorpusError: its states were not recorded or do not decide what follows, it is of another
            environment, or has not a step.
    """
    if film is not None:
        require_video(film)
    before = planner.model.context - 1
    starts = choose_starts(corpus, goals, horizon, seed, before)
    size = min(AT_ONCE, goals)
    simulator = _simulator(planner, corpus, reads, size)
    state = corpus.manifest.state
    found = moments(trajectory.observations.state for trajectory in corpus)
    assert found is not None  # there is a trajectory
    unit, cost_unit = found.std + SMALLEST_STD, _cost_unit(planner, reads, corpus)
    generator = torch.Generator(planner.model.like.device).manual_seed(seed)
    random = RandomPolicy(simulator.action)
    random.start(size, seed)
    distances: list[np.ndarray] = []
    frames: list[np.ndarray] = []
    for first in range(0, goals, size):
        scene = _Scene(simulator, corpus, starts[first : first + size], horizon, reads, before)
        wanted = state_of(scene.goals, state)

        def distance(observed: np.ndarray, wanted: np.ndarray = wanted) -> np.ndarray:
            return np.sqrt(np.square((observed - wanted) / unit).mean(1))

        act = _planned(planner, scene, cost_unit, generator, closed_loop)
        chosen = random.act_ahead(horizon)[: len(scene.starts)]
        ends = [
            scene.act_out(act, frames if film is not None and not first else None),
            scene.act_out(_decided(np.zeros_like(chosen, np.float32))),
            scene.act_out(_decided(chosen)),
        ]
        rows = [state_of(each, state) for each in (scene.observed, *ends)]
        distances.append(np.stack([distance(row) for row in rows]))
        progress(first + len(scene.starts), goals)
    if film is not None:
        write_video(film, frames, 1 / (step_seconds(corpus.manifest) or 0.05))
    return Reached(starts, *np.concatenate(distances, 1))


def _simulator(
    planner: ModelPlanner, corpus: Corpus, reads: Sequence[ArraySpec], size: int
) -> Environments:
    """The environment of a corpus, in whose recorded states acting can begin."""
    info, where = corpus.manifest.environment, str(corpus.path)
    there = {spec.name: spec.shape for spec in corpus.manifest.observations}
    hint = "give a corpus of the environment that the run is from"
    for spec in reads:
        if there.get(spec.name) != spec.shape:
            what = f"does not observe {spec.name}{list(spec.shape)}, which the model reads"
            raise CorpusError(what, where, hint)
    actions, known = corpus.manifest.action.size, len(planner.model.scale.low)
    if actions != known:
        raise CorpusError(f"its actions are of {actions} numbers, not of {known}", where, hint)
    if info is None:
        hint = "goals are reached in a simulator; say which: lawm-data edit --set env=NAME"
        raise ConfigError("the corpus names no environment", where, hint)
    if not any(spec.role is Role.physics for spec in corpus.manifest.observations):
        what = "has no states of the simulator (physics) to begin in"
        hint = physics_hint(corpus, "begin in", "give a corpus of dm_control")
        raise CorpusError(what, where, hint)
    if not corpus.manifest.state:
        hint = "give a corpus with state fields"
        raise CorpusError("has no state in which a distance could be measured", where, hint)
    cameras = [spec for spec in reads if spec.role is Role.pixels]
    simulator = envs.make(
        info.task,
        suite=info.suite,
        num_envs=size,
        action_repeat=info.action_repeat,
        pixels=cameras[0].shape[0] if cameras else None,
        drawing=cameras[0].drawing if cameras else None,
    )
    if simulator.remembers():
        what = "has delays that no recorded state holds, so that acting cannot begin in one"
        raise CorpusError(what, info.task, "take another environment")
    return simulator


def _cost_unit(planner: ModelPlanner, reads: Sequence[ArraySpec], corpus: Corpus) -> torch.Tensor:
    """Standard deviation of each number that a plan's end is compared in, over the corpus."""
    places = np.linspace(0, len(corpus) - 1, min(len(corpus), SAMPLED // 10)).astype(int)
    each, targets = SAMPLED // len(np.unique(places)), []
    for place in np.unique(places).tolist():
        observations = corpus[place].observations
        rows = np.unique(np.linspace(0, len(observations.state) - 1, each).astype(int))
        seen = state_of({spec.name: observations[spec.name][rows] for spec in reads}, reads)
        with torch.no_grad():
            targets.append(planner.model.target(torch.from_numpy(seen).to(planner.model.like)))
    return torch.cat(targets).std(0, correction=0) + SMALLEST_STD


class _Scene:
    """Some starts, side by side in the simulator."""

    def __init__(
        self,
        simulator: Environments,
        corpus: Corpus,
        starts: Sequence[Start],
        horizon: int,
        reads: Sequence[ArraySpec],
        before: int = 0,
    ) -> None:
        self.starts, self.horizon, self.reads = starts, horizon, reads
        self._envs = simulator
        self._seeds, self._states, self._ends = [], [], []
        observed: list[list[dict[str, np.ndarray]]] = []
        seeded = simulator.seed_matters()
        for start in starts:
            trajectory = corpus[start.place]
            seed, physics = trajectory.info.seed, trajectory.physics
            known = seed is not None and seed <= LARGEST_SEED
            if seeded and not known:
                what = "the seed of its reset is unknown, and it decides more than the state"
                where = f"{corpus.path}: trajectory {start.trajectory}"
                raise CorpusError(what, where, "collect it again: seeds are recorded then")
            assert physics is not None
            self._seeds.append(seed if known else 0)
            self._states.append(physics[start.step])
            self._ends.append(physics[start.step + horizon])
            steps = [*range(start.step - before, start.step + 1), start.step + horizon]
            arrays = dict(trajectory.observations.items())
            observed.append([{name: rows[t] for name, rows in arrays.items()} for t in steps])
        *self.before, self.observed, self.goals = (
            {name: np.stack([row[name] for row in rows]) for name in rows[0]}
            for rows in zip(*observed, strict=True)
        )
        """What was observed before the starts, at them and at the goals, (N, *shape) by field."""

    def act_out(
        self,
        act: Act,
        frames: list[np.ndarray] | None = None,
    ) -> dict[str, np.ndarray]:
        """What is observed at the end, (N, *shape) by field.

        Args:
            act: the actions.
            frames: where pictures are added: what happens beside the goal, one goal after another.
        """
        envs, n = self._envs, len(self.starts)
        envs.reset(self._seeds)
        filmed = range(min(n, FILMED) if frames is not None else 0)
        aims = [self._look(i, self._ends[i]) for i in filmed]
        for i, state in enumerate(self._states):
            envs.restore(i, state)
        shown = [[self._look(i)] for i in filmed]
        observed = self.observed
        for t in range(self.horizon):
            actions = np.zeros((envs.num_envs, *envs.action.shape), envs.action.dtype)
            actions[:n] = nearest(act(t, observed), envs.action, f"{envs.info.task}, step {t}")
            observed = {k: rows[:n] for k, rows in envs.step(actions).observations.items()}
            for i in filmed:
                shown[i].append(self._look(i))
        if frames is not None:
            frames += [
                np.concatenate((picture, aim), 1)
                for pictures, aim in zip(shown, aims, strict=True)
                for picture in (*pictures, pictures[-1], pictures[-1])
            ]
        return observed

    def _look(self, i: int, state: np.ndarray | None = None) -> np.ndarray:
        if state is not None:
            self._envs.restore(i, state)
        return self._envs.render(i, PICTURE, PICTURE)


def _decided(actions: np.ndarray) -> Act:
    """Actions (N, T, A) that do not depend on what is observed."""
    return lambda t, _: actions[:, t]


def _planned(
    planner: ModelPlanner,
    scene: _Scene,
    unit: torch.Tensor,
    generator: torch.Generator,
    closed_loop: bool,
) -> Act:
    """Actions of a plan that is made at the first step or, with a closed loop, anew at each."""
    model, n = planner.model, len(scene.starts)

    def tensor(observed: dict[str, np.ndarray]) -> torch.Tensor:
        return torch.from_numpy(state_of(observed, scene.reads)).to(model.like)

    memory = model.like.new_zeros(n, model.memory_dim)
    no_action = model.like.new_zeros(n, len(model.scale.low))  # it does not enter the state
    with torch.no_grad():
        goal = Goal(model.target(tensor(scene.goals)), unit)
        for observed in scene.before:
            memory = model.remember(model.infer(tensor(observed), memory), no_action)
    begin = planner.nothing(n, scene.horizon)
    ahead: list[torch.Tensor] = []

    @torch.no_grad()
    def act(t: int, observed: dict[str, np.ndarray]) -> np.ndarray:
        nonlocal memory, begin
        if closed_loop or not t:
            state = model.infer(tensor(observed), memory)
            found = planner.plan(state, begin, generator, goal)
            ahead[:] = planner.actions(state, found.plan).unbind(1)
            memory = model.remember(state, model.scale.taken(ahead[0]))
            begin = shifted(found.kept)[:, :, :-1]  # the goal is a step nearer
        return model.scale.to_environment(ahead.pop(0)).cpu().numpy()

    return act
