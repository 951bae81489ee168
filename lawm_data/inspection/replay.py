"""Replaying recorded actions in the simulator and comparing with what was recorded."""

from __future__ import annotations

import importlib.metadata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from lawm_schemas import LawmError, Role

from lawm_data.corpus.corpus import Corpus, open_corpus
from lawm_data.corpus.integrity.validate import NAMED, Finding
from lawm_data.corpus.trajectory import Trajectory
from lawm_data.envs.suites import LARGEST_SEED, Environments
from lawm_data.inspection.render import remake, reset_seed
from lawm_data.system.progress import Progress, silent

TOLERANCE = 1e-5
"""Largest difference that is none, relative to the larger of 1 and the recorded number.

Observations and rewards are stored as float32, which rounds by 6e-8 of their size; the suite's own
path and direct stepping agree to that. An action that was changed by 1e-2 moves the state of every
task of the suite by a hundred times this tolerance or more within one step.
"""
SIMULATORS = ("mujoco", "dm_control")
"""Packages whose versions decide the numbers."""
UNSEEDED = "the seed of the reset is unknown, and it decides the goal"
"""Why some trajectories cannot be replayed."""
REMEMBERS = "it does not begin with its reset, and its environment has delays that no state holds"
"""Likewise."""


class Difference(NamedTuple):
    """Where a replay left what was recorded."""

    step: int
    """t, from 0 on; -1 for the observation that the reset gave."""
    field: str
    """Name of the observation, ``physics``, ``reward`` or ``terminated``."""
    size: float
    """Largest absolute difference of its elements."""


@dataclass
class Reproduced:
    """What a replay of a corpus found."""

    replayed: int = 0
    """Trajectories whose every step was simulated again."""
    exact: int = 0
    """Those that came out the same, bit for bit."""
    skipped: Counter[str] = field(default_factory=Counter)
    """Trajectories that cannot be replayed, by reason."""
    findings: list[Finding] = field(default_factory=list)


def reproduce(
    path: str | Path,
    sample: int | None = None,
    direct: bool | None = None,
    progress: Progress = silent,
) -> Reproduced:
    """Replay the recorded actions of a corpus from its recorded initial states.

    An episode starts with the recorded seed, since some tasks draw a goal that is not part of the
    state, and then in the recorded state. Where a step does not end in exactly the recorded state,
    the next one begins in the recorded one: chaos cannot blow up what rounding left, and every
    wrong step is found, not only the first. Camera images are not compared, nor are readings of
    forces, touch and accelerations in a first state that was restored: they belong to the moment
    before it.

    Args:
        path: folder of the corpus; masks do not matter here.
        sample: replay only so many trajectories, evenly spread over the corpus.
        direct: see ``lawm_data.envs.suites.make``.
        progress: called with how many trajectories are done, and of how many.

    Raises:
        LawmError: the corpus cannot be opened.
    """
    corpus, result = open_corpus(path), Reproduced()
    chosen = np.arange(len(corpus))
    if sample is not None and sample < len(corpus):
        chosen = np.linspace(0, len(corpus) - 1, sample).round().astype(int)
    if not len(chosen):
        return result
    if corpus.manifest.environment is None:
        result.skipped["the corpus names no environment"] = len(chosen)
        return result
    if not any(spec.role is Role.physics for spec in corpus.manifest.observations):
        result.skipped["no physics states were recorded"] = len(chosen)
        return result
    try:
        envs = remake(corpus, direct)
    except LawmError as error:
        result.findings.append(Finding("warning", error.where, error.what, error.hint))
        result.skipped["its environment cannot be made here"] = len(chosen)
        return result
    seeded, unrestorable = envs.seed_matters(), envs.unrestorable()
    at_once = envs.at_once
    for done, i in enumerate(chosen.tolist()):
        progress(done, len(chosen))
        reason, exact = _reason_to_skip(corpus, i, seeded, envs), result.exact
        reason = reason or _replay(corpus, i, envs, unrestorable, result, at_once)
        if reason:
            result.skipped[reason] += 1
        else:  # where one was not exact, the next is likely not to be, either
            at_once = envs.at_once and result.exact > exact
    if result.skipped[UNSEEDED]:
        what = f"{result.skipped[UNSEEDED]} trajectories cannot be replayed: {UNSEEDED}"
        hint = f"{envs.info.task} keeps its goal outside of the state; record seeds"
        result.findings.append(Finding("warning", str(corpus.path), what, hint))
    result.skipped = +result.skipped
    return result


def _reason_to_skip(corpus: Corpus, i: int, seeded: bool, envs: Environments) -> str:
    """Why a trajectory cannot be replayed, or nothing."""
    table = corpus.table
    if table.num_observed[i] < table.length[i]:
        return "not all of its actions were recorded"
    if seeded and (not table.seeded[i] or table.seed[i] > LARGEST_SEED):
        return UNSEEDED
    if table.length[i] > envs.steps_per_episode:
        return "it is longer than an episode of its environment"
    return ""


def _replay(
    corpus: Corpus,
    i: int,
    envs: Environments,
    unrestorable: frozenset[str],
    result: Reproduced,
    at_once: bool,
) -> str:
    """Replay a trajectory; returns why that is not possible, or nothing."""
    if at_once and _is_exact(corpus[i], envs, unrestorable):
        result.replayed += 1
        result.exact += 1
        return ""
    trajectory, count, exact = corpus[i], 0, True
    where = f"{corpus.path}: trajectory {trajectory.info.id}"
    try:
        observed = _first(envs.reset([reset_seed(trajectory.info.seed) or 0]))
        if envs.remembers() and not _is_in(observed, trajectory, 0):
            return REMEMBERS
        for difference in _differences(trajectory, envs, observed, unrestorable):
            exact = False
            if difference is None:
                continue
            count += 1
            if count <= NAMED:
                step, name, size = difference
                what = f"step {step}: replay differs in {name} by {size:.3g}"
                result.findings.append(_finding(corpus, i, where, what))
    except LawmError as error:
        exact = False
        result.findings.append(_finding(corpus, i, where, f"cannot be replayed: {error.what}"))
    if count > NAMED:
        result.findings.append(_finding(corpus, i, where, f"{count - NAMED} more such steps"))
    result.replayed += 1
    result.exact += exact
    return ""


def _is_exact(trajectory: Trajectory, envs: Environments, unrestorable: frozenset[str]) -> bool:
    """Whether all its actions at once bring what was recorded, bit for bit.

    Where they do not, the steps say what differs.
    """
    recorded, actions = _recorded(trajectory), trajectory.actions
    assert actions is not None
    try:
        observed = _first(envs.reset([reset_seed(trajectory.info.seed) or 0]))
        if not _is_in(observed, trajectory, 0):
            if envs.remembers():
                return False
            observed = _restored(envs, recorded["physics"][0], unrestorable)
        steps = envs.open_loop(actions[None])
    except LawmError:
        return False
    if steps is None:
        return False
    seen = len(actions) if trajectory.final_observed else len(actions) - 1
    return (
        all(np.array_equal(value, recorded[name][0]) for name, value in observed.items())
        and all(
            np.array_equal(rows[0, :seen], recorded[name][1 : seen + 1])
            for name, rows in steps.observations.items()
        )
        and np.array_equal(steps.reward[0], trajectory.rewards)
        and np.array_equal(steps.terminated[0], trajectory.terminated)
    )


def _finding(corpus: Corpus, i: int, where: str, what: str) -> Finding:
    """An error, or a warning where another simulator recorded the trajectory."""
    recorded = corpus.manifest.provenance[corpus.table.provenance[i]].versions
    other = [
        f"{name} {recorded[name]}"
        for name in SIMULATORS
        if name in recorded and recorded[name] != importlib.metadata.version(name)
    ]
    if other:
        return Finding("warning", where, what, f"replay it with {', '.join(other)}")
    return Finding("error", where, what, "restore it from a copy, or delete the trajectory")


def _differences(
    trajectory: Trajectory,
    envs: Environments,
    observed: Mapping[str, np.ndarray],
    unrestorable: frozenset[str],
) -> Iterator[Difference | None]:
    """The steps that do not come out bit for bit; None stands for one within the tolerance.

    Args:
        trajectory: all its actions are observed.
        envs: the environment, just reset.
        observed: what the reset gave.
        unrestorable: see ``Environments.unrestorable``.
    """
    actions, recorded = trajectory.actions, _recorded(trajectory)
    assert actions is not None
    physics = recorded["physics"]
    if not _is_in(observed, trajectory, 0):
        observed = _restored(envs, physics[0], unrestorable)
    yield from _compare(-1, observed, {name: rows[0] for name, rows in recorded.items()})
    for t, action in enumerate(actions):
        step = envs.step(action[None])
        observed = _first(step.observations)
        truth = {name: rows[t + 1] for name, rows in recorded.items()}
        paid = {"reward": step.reward[0], "terminated": step.terminated[0]}
        given = {"reward": trajectory.rewards[t], "terminated": trajectory.terminated[t]}
        if t + 1 == len(actions) and not trajectory.final_observed:
            yield from _compare(t, paid, given)
            return
        yield from _compare(t, {**observed, **paid}, truth | given)
        if not _is_in(observed, trajectory, t + 1):
            envs.restore(0, physics[t + 1])


def _recorded(trajectory: Trajectory) -> dict[str, np.ndarray]:
    """What was observed, physics included, (T+1, *shape)."""
    assert trajectory.physics is not None
    return {**dict(trajectory.observations.items()), "physics": trajectory.physics}


def _restored(
    envs: Environments, physics: np.ndarray, unrestorable: frozenset[str]
) -> dict[str, np.ndarray]:
    """What is to be observed in a first state that no reset gave, from where the replay goes on."""
    restored = envs.restore(0, physics)
    return {name: value for name, value in restored.items() if name not in unrestorable}


def _is_in(observed: Mapping[str, np.ndarray], trajectory: Trajectory, t: int) -> bool:
    """Whether the simulator is in exactly the state that was recorded."""
    assert trajectory.physics is not None
    return np.array_equal(observed["physics"], trajectory.physics[t])


def _first(observations: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: rows[0] for name, rows in observations.items()}


def _compare(
    step: int, simulated: Mapping[str, np.ndarray], recorded: Mapping[str, np.ndarray]
) -> Iterator[Difference | None]:
    """The field that differs most by its tolerance, if there is a difference."""
    worst, excess = None, 1.0
    differing = [n for n, value in simulated.items() if not np.array_equal(value, recorded[n])]
    for name in differing:
        truth = np.asarray(recorded[name], np.float64)
        error = np.abs(np.asarray(simulated[name], np.float64) - truth)
        times = float((error / (TOLERANCE * np.maximum(1, np.abs(truth)))).max())
        if not times <= excess:  # a difference that is not a number is one, too
            worst, excess = Difference(step, name, float(error.max())), times
    if differing:
        yield worst
