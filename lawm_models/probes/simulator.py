"""What the simulator says of actions: the truth that transfer and plans are judged by."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Int
from lawm_schemas import ConfigError, CorpusError, Role
from torch import Tensor

from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.physics import physics_hint
from lawm_data.corpus.trajectory import Trajectory
from lawm_data.envs.convert import nearest, state_of
from lawm_data.envs.suites import LARGEST_SEED, Environments
from lawm_data.inspection.render import remake
from lawm_data.system.progress import Progress, silent
from lawm_models.probes.evidence import AHEAD, SMALLEST, Goals, Transfer, Transitions
from lawm_models.probes.transitions import Recorded, action_scale

CHECKED = 5
"""Transitions that are first simulated as they were, to see that the simulator is the one."""
TOLERANCE = 1e-3
"""Largest difference there, relative to the larger of 1 and the recorded number."""


class Simulator:
    """The environment of a corpus, set to recorded states.

    Args:
        whole: the corpus without a mask.
        horizon: k.

    Raises:
        ConfigError: the environment cannot be made here, or it does not give these observations.
        CorpusError: no physics was recorded.
    """

    def __init__(self, whole: Corpus, horizon: int) -> None:
        path, fields = str(whole.path), whole.manifest.state
        if not any(spec.role is Role.physics for spec in whole.manifest.observations):
            what = "has no states of the simulator (physics) for --simulate"
            hint = f"{physics_hint(whole, 'begin in')}, or leave --simulate out"
            raise CorpusError(what, path, hint)
        self._envs: Environments = remake(whole)
        given = {spec.name for spec in self._envs.observations}
        missing = [spec.name for spec in fields if spec.name not in given]
        if missing:
            what = f"the simulator does not give {', '.join(missing)}, which the run observes"
            raise ConfigError(what, path, "leave --simulate out")
        if self._envs.remembers():
            what = "its environment has delays that no state holds"
            raise ConfigError(what, path, "leave --simulate out")
        self._whole, self._fields, self._horizon = whole, fields, horizon
        self._seeded = self._envs.seed_matters()
        self._trajectories: dict[int, Trajectory] = {}

    def transfer(
        self,
        places: np.ndarray,
        judged: Transitions,
        other: Int[Tensor, " N"],
        pairs: int,
        progress: Progress = silent,
    ) -> Transfer:
        """Take actions of judged transitions in the states of others.

        Args:
            places: (K,) where the trajectories of ``judged`` are in the corpus.
            judged: the transitions.
            other: (N,) whose state it is for each.
            pairs: how many, at most.
            progress: called with how many are done, and of how many.

        Raises:
            CorpusError: no action is known, a trajectory has no seed and it decides the goal, or
                the simulator does not lead where it was recorded that it did.
        """
        known = judged.known.nonzero().squeeze(1)
        source = known[torch.linspace(0, len(known) - 1, min(pairs, len(known))).round().long()]
        if not len(source):
            what = "no true action of a held-out trajectory was recorded to simulate"
            raise CorpusError(what, str(self._whole.path), "leave --simulate out")
        place, reached = other[source], []
        used = torch.cat((source, place))
        self._read(places, judged.trajectory[used])
        self._check(judged, source[:CHECKED])
        for number, (a, b) in enumerate(zip(source.tolist(), place.tolist(), strict=True)):
            reached.append(self._outcome(judged, a, b))
            progress(number + 1, len(source))
        return Transfer(source, place, torch.from_numpy(np.stack(reached)))

    def goals(self, held: Recorded, judged: Transitions, goals: int) -> Goals | None:
        """States to plan from, and what was observed later.

        Args:
            held: the trajectories of ``judged``.
            judged: the transitions.
            goals: how many, at most, evenly among those that are early enough.

        Returns:
            None where no trajectory is long enough.

        Raises:
            CorpusError: a trajectory has no seed and it decides the goal.
        """
        length = torch.tensor([len(each) for each in held.observations])[judged.trajectory]
        steps = AHEAD * self._horizon
        last = judged.step + steps
        able = (last < length).nonzero().squeeze(1)
        if not len(able):
            return None
        place = able[torch.linspace(0, len(able) - 1, min(goals, len(able))).round().long()]
        begun, ends = judged.trajectory[place].tolist(), last[place].tolist()
        self._read(held.places, judged.trajectory[place])
        spread = torch.cat(held.observations).double().std(0, correction=0)
        spec = self._whole.manifest.action
        scale, still = action_scale(spec), np.zeros((steps, *spec.shape))

        def ends_of(plans: Iterable[np.ndarray]) -> Tensor:
            pairs = zip(place.tolist(), plans, strict=True)
            return torch.from_numpy(np.stack([self._act(judged, i, plan) for i, plan in pairs]))

        def act_out(plans: Tensor) -> Tensor:
            each = plans.unflatten(-1, (self._horizon, spec.size)).flatten(1, 2)
            return ends_of((each if scale is None else scale.to_environment(each)).numpy())

        return Goals(
            place=place,
            wanted=torch.stack([held.observations[i][t] for i, t in zip(begun, ends, strict=True)]),
            unit=torch.where(spread > SMALLEST, spread, 1.0),
            act_out=act_out,
            without=ends_of([still] * len(place)),
        )

    def _read(self, places: np.ndarray, numbers: Tensor) -> None:
        for number in numbers.unique().tolist():
            self._trajectories[number] = trajectory = self._whole[int(places[number])]
            seed = trajectory.info.seed
            if self._seeded and (seed is None or seed > LARGEST_SEED):
                what = "has no seed of its reset, which decides more than the state"
                where = f"{self._whole.path}: trajectory {trajectory.info.id}"
                raise CorpusError(what, where, "collect it again: seeds are recorded then")

    def _outcome(self, judged: Transitions, a: int, b: int) -> np.ndarray:
        """The observation after the actions of one transition in the state of another."""
        home, first = self._trajectories[int(judged.trajectory[a])], int(judged.step[a])
        assert home.actions is not None
        return self._act(judged, b, home.actions[first : first + self._horizon])

    def _act(self, judged: Transitions, i: int, actions: np.ndarray) -> np.ndarray:
        """The observation after actions (T, …), in the state of a transition."""
        there = self._trajectories[int(judged.trajectory[i])]
        assert there.physics is not None
        seed = there.info.seed
        self._envs.reset([0 if seed is None or seed > LARGEST_SEED else seed])
        self._envs.restore(0, there.physics[int(judged.step[i])])
        taken = nearest(actions, self._envs.action, self._envs.info.task)
        led_to = [self._envs.step(action[None]).observations for action in taken]
        return state_of(led_to[-1], self._fields)[0]

    def _check(self, judged: Transitions, places: Tensor) -> None:
        """Refuse a simulator that is not that of the recording."""
        for a in places.tolist():
            recorded = judged.after[a].numpy()
            error = np.abs(self._outcome(judged, a, a) - recorded) / np.maximum(abs(recorded), 1)
            if error.max() > TOLERANCE:
                name = self._trajectories[int(judged.trajectory[a])].info.id
                what = f"the simulator leads elsewhere from step {int(judged.step[a])} than it did"
                where = f"{self._whole.path}: trajectory {name}"
                raise CorpusError(
                    what, where, f"see lawm-data validate {self._whole.path} --replay"
                )
