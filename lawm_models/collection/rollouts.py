"""Rollouts without learning: of random actions, of a run's policy, of snapshots of an agent."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lawm_schemas import ArraySpec, ConfigError, Drawing, EnvironmentInfo, Provenance, Role

from lawm_data.envs import suites as envs
from lawm_data.envs.pictures import cameras, drawn_picture, require_pictures
from lawm_data.envs.policy import RandomPolicy, VectorPolicy
from lawm_data.recording.collect import Rollout, RolloutContext, plan
from lawm_models.collection.agents import AGENTS
from lawm_models.collection.snapshots import SnapshotRange, snapshot_rollouts
from lawm_models.training.versions import installed_versions

SNAPSHOT_ENVS = 16
"""Environments that one snapshot acts in together, when nobody says otherwise."""


class RolloutSettings(NamedTuple):
    """What is collected: plain data, from which every worker on any machine makes the same."""

    agent: str
    """``random``, the folder of a run or of a collecting agent, or ``FOLDER@snapshots…``."""
    task: str
    """Environment."""
    trajectories: int
    """How many."""
    seed: int
    """The one seed."""
    action_repeat: int | None = None
    """Control steps per recorded step; None takes the agent's, or the suite's."""
    pixels: int | None = None
    """Edge of the camera image; None for none, or for such an image as the agent sees."""
    num_envs: int | None = None
    """Environments stepped together; None takes 16 for snapshots and else 1."""
    noise: bool | None = None
    """Sample the policy instead of taking its mode; None does so for snapshots."""
    physics: bool = True
    """Record the simulator's state."""
    drawing: Drawing | None = None
    """How the image is drawn; None as the suite itself does."""
    planner: str | None = None
    """What searches the world model of the agent for actions, instead of its policy."""
    planner_settings: Mapping[str, Any] | None = None
    """Its settings."""


class RolloutPlan(NamedTuple):
    """Rollouts ready to run."""

    context: RolloutContext
    """Environments and policies."""
    provenance: Provenance
    """Where the corpus says that they are from."""
    rollouts: Callable[[int, int], Iterator[Rollout]]
    """The rollouts of a collection of so many trajectories from so many on."""
    apart: bool = False
    """The collection has a size of its own inside the corpus, and is complete or not."""


def plan_rollouts(settings: RolloutSettings) -> RolloutPlan:
    """Make the environments and load the policies.

    Raises:
        ConfigError: unknown environment or agent, or they do not go together.
    """
    span = SnapshotRange.parse(settings.agent)
    if settings.planner is not None and (span is not None or settings.agent == "random"):
        what = f"does not go with --agent {settings.agent}"
        raise ConfigError(what, "--planner", "give the folder of a run or of a collecting agent")
    if span is not None:
        return _snapshots(settings, span)
    if settings.agent == "random":
        environments = _environments(settings, None, ())
        provenance = _provenance(settings, "random", "random")
        policy = RandomPolicy(environments.action)
        return _one_policy(settings, environments, policy, provenance)
    path = Path(settings.agent)
    if not path.exists():
        hint = f"give random, {', '.join(AGENTS.names())} or the folder of a run"
        raise ConfigError("no such agent", f"--agent {path}", hint)
    from lawm_models.collection.trained_policy import load_policy

    trained = load_policy(
        path,
        deterministic=not settings.noise,
        planner=settings.planner,
        settings=settings.planner_settings,
    )
    environments = _environments(settings, trained.environment, trained.state)
    _require_fit(settings, environments, trained.state, trained.action)
    more = None if trained.planner is None else {"planner": dict(trained.planner)}
    source = trained.name if more is None else f"{trained.name}+{settings.planner}"
    provenance = _provenance(settings, source, f"{trained.name}:{trained.weights}", more)
    actor = _OneThread(trained.actor)
    return _one_policy(settings, environments, actor, provenance, trained.state)


def open_context(settings: RolloutSettings) -> RolloutContext:
    """The context alone, as a worker needs it."""
    return plan_rollouts(settings).context


def _one_policy(
    settings: RolloutSettings,
    environments: envs.Environments,
    policy: VectorPolicy,
    provenance: Provenance,
    reads: tuple[ArraySpec, ...] = (),
) -> RolloutPlan:
    def rollouts(trajectories: int, done: int) -> Iterator[Rollout]:
        return plan(trajectories, environments.num_envs, settings.seed, done)

    context = RolloutContext(environments, lambda _: policy, _seen(reads))
    return RolloutPlan(context, provenance, rollouts)


def _snapshots(settings: RolloutSettings, span: SnapshotRange) -> RolloutPlan:
    from lawm_models.collection.trained_policy import load_snapshot, snapshots

    settings = settings._replace(
        num_envs=settings.num_envs or SNAPSHOT_ENVS,
        noise=True if settings.noise is None else settings.noise,
    )
    record, known = snapshots(span.path)
    chosen = {name: known[name] for name in span.choose(list(known))}
    environments = _environments(settings, record.environment, record.state)
    _require_fit(settings, environments, record.state, record.action)
    ages = {name: snapshot.agent_step for name, snapshot in chosen.items()}
    weights = hashlib.sha256("".join(s.weights for s in chosen.values()).encode()).hexdigest()
    provenance = _provenance(
        settings,
        f"{record.agent}@snapshots",
        f"{record.agent}:{weights}",
        {"trajectories": settings.trajectories, "agent_seed": record.seed, "snapshots": ages},
    )
    held: dict[str, VectorPolicy] = {}

    def policy(name: str) -> VectorPolicy:
        if name not in held:
            held.clear()  # they come one after another
            held[name] = _OneThread(load_snapshot(span.path, name, not settings.noise))
        return held[name]

    def rollouts(trajectories: int, done: int) -> Iterator[Rollout]:
        # Every collection has its own streams: two of them never repeat a trajectory.
        identity = provenance.model_copy(update={"versions": {}}).to_json()
        key = int(hashlib.sha256(identity.encode()).hexdigest()[:16], 16)
        return snapshot_rollouts(
            ages, trajectories, environments.num_envs, (settings.seed, key), done
        )

    context = RolloutContext(environments, policy, _seen(record.state))
    return RolloutPlan(context, provenance, rollouts, apart=True)


def _seen(reads: tuple[ArraySpec, ...]) -> tuple[ArraySpec, ...] | None:
    """What a policy that sees pictures is given; None for one that reads all state."""
    return reads if cameras(reads) else None


def _environments(
    settings: RolloutSettings, known: EnvironmentInfo | None, reads: tuple[ArraySpec, ...]
) -> envs.Environments:
    usual = known.action_repeat if known else envs.usual_repeat(settings.task)
    repeat = settings.action_repeat or usual
    pixels, drawing = settings.pixels, settings.drawing
    picture = drawn_picture(reads, settings.task)
    if pixels is None and picture is not None:
        pixels, drawing = picture.shape[0], picture.drawing
    return envs.make(
        settings.task,
        num_envs=settings.num_envs or 1,
        action_repeat=repeat,
        pixels=pixels,
        physics=settings.physics,
        drawing=drawing,
    )


def _require_fit(
    settings: RolloutSettings,
    environments: envs.Environments,
    reads: tuple[ArraySpec, ...],
    action: ArraySpec,
) -> None:
    """Refuse an environment that does not show what an agent reads, or takes other actions."""
    hint = "collect in the environment it was trained for"
    shown, wanted = (
        [(spec.name, spec.shape) for spec in specs if spec.role is Role.state]
        for specs in (environments.observations, reads)
    )
    # one that sees pictures need not read all of the state beside them
    fits = set(wanted) <= set(shown) if cameras(reads) else shown == wanted
    if not fits:
        names = ", ".join(name for name, _ in wanted)
        what = f"the agent observes {names}, not what {settings.task} shows"
        raise ConfigError(what, settings.agent, hint)
    if environments.action.shape != action.shape:
        taken, given = list(environments.action.shape), list(action.shape)
        what = f"the agent's actions have shape {given}, those of {settings.task} {taken}"
        raise ConfigError(what, settings.agent, hint)
    picture = drawn_picture(reads, settings.task)
    if picture is not None and settings.pixels is not None:
        hint = f"leave --pixels out, or give --pixels {picture.shape[0]}"
    require_pictures(reads, environments, settings.agent, hint)


def _provenance(
    settings: RolloutSettings, source: str, agent: str, more: dict[str, Any] | None = None
) -> Provenance:
    given = {"noise": bool(settings.noise), "num_envs": settings.num_envs or 1}
    return Provenance(
        source=source,
        agent=agent,
        seed=settings.seed,
        origin="rollout",
        versions=installed_versions(),
        settings={**given, **(more or {})},
    )


class _OneThread:
    """A policy on one CPU thread: more would slow down small networks, and change their sums."""

    def __init__(self, policy: VectorPolicy) -> None:
        self._policy = policy

    def start(self, num_envs: int, seed: int) -> None:
        """See ``VectorPolicy.start``."""
        self._policy.start(num_envs, seed)

    def act(self, observation: np.ndarray) -> np.ndarray:
        """See ``VectorPolicy.act``."""
        from lawm_models.training.seeding import thread_limit

        with thread_limit(1):
            return self._policy.act(observation)
