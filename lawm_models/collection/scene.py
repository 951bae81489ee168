"""Who acts where, when nobody learns: random actions, a run's policy, snapshots of an agent."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lawm_schemas import ArraySpec, ConfigError, EnvironmentInfo, Provenance, Role

from lawm_data.envs import suites as envs
from lawm_data.envs.policy import RandomPolicy, VectorPolicy
from lawm_data.recording.collect import Rollout, RolloutContext, plan
from lawm_models.collection.agents import AGENTS
from lawm_models.collection.snapshots import Band, deal
from lawm_models.training.seeding import installed_versions

SNAPSHOT_ENVS = 16
"""Environments that one snapshot acts in together, when nobody says otherwise."""


class Scene(NamedTuple):
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
    """Edge of the camera image, or none."""
    num_envs: int | None = None
    """Environments stepped together; None takes 16 for snapshots and else 1."""
    noise: bool | None = None
    """Sample the policy instead of taking its mode; None does so for snapshots."""
    physics: bool = True
    """Record the simulator's state."""


class Cast(NamedTuple):
    """A scene ready to be played."""

    stage: RolloutContext
    """Environments and policies."""
    provenance: Provenance
    """What the corpus remembers of them."""
    rollouts: Callable[[int, int], Iterator[Rollout]]
    """The rollouts of a collection of so many trajectories from so many on."""
    apart: bool = False
    """The collection has a size of its own inside the corpus, and is complete or not."""


def cast(scene: Scene) -> Cast:
    """Make the environments and load the policies.

    Raises:
        ConfigError: unknown environment or agent, or they do not go together.
    """
    band = Band.parse(scene.agent)
    if band is not None:
        return _snapshots(scene, band)
    return _random(scene) if scene.agent == "random" else _trained(scene)


def open_context(scene: Scene) -> RolloutContext:
    """The stage alone, as a worker needs it."""
    return cast(scene).stage


def _random(scene: Scene) -> Cast:
    environments = _environments(scene, None)
    provenance = _provenance(scene, "random", "random")
    return _one_policy(scene, environments, RandomPolicy(environments.action), provenance)


def _trained(scene: Scene) -> Cast:
    path = Path(scene.agent)
    if not path.exists():
        hint = f"give random, {', '.join(AGENTS.names())} or the folder of a run"
        raise ConfigError("no such agent", f"--agent {path}", hint)
    from lawm_models.collection.trained_policy import load_policy

    trained = load_policy(path, deterministic=not scene.noise)
    environments = _environments(scene, trained.environment)
    _require_fit(scene, environments, trained.state, trained.action)
    provenance = _provenance(scene, trained.name, f"{trained.name}:{trained.weights}")
    return _one_policy(scene, environments, _OneThread(trained.actor), provenance)


def _one_policy(
    scene: Scene, environments: envs.Environments, policy: VectorPolicy, provenance: Provenance
) -> Cast:
    def rollouts(trajectories: int, done: int) -> Iterator[Rollout]:
        return plan(trajectories, environments.num_envs, scene.seed, done)

    return Cast(RolloutContext(environments, lambda _: policy), provenance, rollouts)


def _snapshots(scene: Scene, band: Band) -> Cast:
    from lawm_models.collection.trained_policy import load_snapshot, snapshots

    scene = scene._replace(
        num_envs=scene.num_envs or SNAPSHOT_ENVS,
        noise=True if scene.noise is None else scene.noise,
    )
    record, known = snapshots(band.path)
    chosen = {name: known[name] for name in band.choose(list(known))}
    environments = _environments(scene, record.environment)
    _require_fit(scene, environments, record.state, record.action)
    ages = {name: snapshot.agent_step for name, snapshot in chosen.items()}
    weights = hashlib.sha256("".join(s.weights for s in chosen.values()).encode()).hexdigest()
    provenance = _provenance(
        scene,
        f"{record.agent}@snapshots",
        f"{record.agent}:{weights}",
        {"trajectories": scene.trajectories, "agent_seed": record.seed, "snapshots": ages},
    )
    held: dict[str, VectorPolicy] = {}

    def policy(name: str) -> VectorPolicy:
        if name not in held:
            held.clear()  # they come one after another
            held[name] = _OneThread(load_snapshot(band.path, name, not scene.noise))
        return held[name]

    def rollouts(trajectories: int, done: int) -> Iterator[Rollout]:
        # Every collection has its own streams: two of them never repeat a trajectory.
        identity = provenance.model_copy(update={"versions": {}}).to_json()
        key = int(hashlib.sha256(identity.encode()).hexdigest()[:16], 16)
        return deal(ages, trajectories, environments.num_envs, (scene.seed, key), done)

    return Cast(RolloutContext(environments, policy), provenance, rollouts, apart=True)


def _environments(scene: Scene, known: EnvironmentInfo | None) -> envs.Environments:
    usual = known.action_repeat if known else envs.usual_repeat(scene.task)
    repeat = scene.action_repeat or usual
    return envs.make(
        scene.task,
        num_envs=scene.num_envs or 1,
        action_repeat=repeat,
        pixels=scene.pixels,
        physics=scene.physics,
    )


def _require_fit(
    scene: Scene,
    environments: envs.Environments,
    state: tuple[ArraySpec, ...],
    action: ArraySpec,
) -> None:
    shown = [(s.name, s.shape) for s in environments.observations if s.role is Role.state]
    wanted = [(spec.name, spec.shape) for spec in state]
    if shown != wanted or environments.action.shape != action.shape:
        names = ", ".join(name for name, _ in wanted)
        raise ConfigError(
            f"the agent observes {names}, not what {scene.task} shows",
            scene.agent,
            "collect in the environment it was trained for",
        )


def _provenance(
    scene: Scene, source: str, agent: str, settings: dict[str, Any] | None = None
) -> Provenance:
    given = {"noise": bool(scene.noise), "num_envs": scene.num_envs or 1}
    return Provenance(
        source=source,
        agent=agent,
        seed=scene.seed,
        origin="rollout",
        versions=installed_versions(),
        settings={**given, **(settings or {})},
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
