"""Returns of a policy in the environment that its data came from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from lawm_schemas import (
    ArraySpec,
    ConfigError,
    EnvironmentInfo,
    Evaluation,
    ExperimentConfig,
    Role,
    RunRecord,
)

from lawm_data.envs import suites as envs
from lawm_data.envs.pictures import cameras, drawn_picture, require_pictures
from lawm_data.envs.policy import VectorPolicy
from lawm_data.envs.renderer import choose_renderer
from lawm_data.envs.rollout import rollout
from lawm_data.envs.suites import Environments
from lawm_data.system.video import require_video, write_video
from lawm_models.acting.policy import Policy
from lawm_models.training import seeding
from lawm_models.training.experiment import learns_policy
from lawm_models.training.run_folder import RunFolder

PICTURE = 256
"""Edge of a video's pictures, in pixels."""
HINT = "evaluate where the corpus was collected, or set evaluation_episodes to 0"
"""For a policy that does not fit its environment."""


def environment(record: RunRecord, task: str, action_repeat: int | None = None) -> EnvironmentInfo:
    """An environment by name, instead of the one that the corpus names.

    Args:
        record: of the run.
        task: ``gym:ID``, or a task of dm_control.
        action_repeat: control steps for each action; None takes that of the corpus, or the usual
            one of the suite.
    """
    known = record.environment
    suite, name = envs.split_task(task)
    repeat = action_repeat or (known.action_repeat if known else envs.usual_repeat(task))
    return EnvironmentInfo(suite=suite, task=name, action_repeat=repeat)


def evaluate(
    run: RunFolder | Path | str,
    episodes: int,
    seed: int = 0,
    video: Path | str | None = None,
    where: EnvironmentInfo | None = None,
    policy: Policy | None = None,
) -> Evaluation:
    """Run the newest policy of a run for some episodes, without noise.

    Args:
        run: the run, or its folder.
        episodes: how many, all at once.
        seed: of the first episode's reset; the others count up from it.
        video: file for a video of the first episode (mp4 or gif), or none.
        where: the environment; None takes the one that the corpus names.
        policy: one of the run's that plans, instead of the learned one.

    Raises:
        ConfigError: no checkpoint, no policy or no environment to evaluate it in, or an unknown
            video format.
        StorageError: no folder for the video.
    """
    if video is not None:
        require_video(Path(video))
        choose_renderer()
    run = run if isinstance(run, RunFolder) else RunFolder.open(run)
    actor = run.policy_of(run.algorithm()) if policy is None else policy.actor
    evaluator = Evaluator(run.record, episodes, where, run.reads(), draws=video is not None)
    with seeding.thread_limit(run.config.threads):
        found = evaluator.evaluate(actor, seed, Path(video) if video else None)
    return found if policy is None else found.model_copy(update={"planner": policy.planner})


class Evaluator:
    """Environments for the episodes of an evaluation, made once.

    Args:
        record: names the environment, and the arrays that the policy reads and writes.
        episodes: how many at once.
        where: the environment; None takes the one that the record names.
        reads: what the policy is given of it; None for what the record says was observed.
        draws: it will be filmed.

    Raises:
        ConfigError: no environment is known, it cannot be made or filmed, or its arrays have
            changed.
    """

    def __init__(
        self,
        record: RunRecord,
        episodes: int,
        where: EnvironmentInfo | None = None,
        reads: Sequence[ArraySpec] | None = None,
        draws: bool = False,
    ) -> None:
        info = where or record.environment
        reads = record.observations if reads is None else reads
        self.reads = reads if cameras(reads) else None
        if info is None:
            what = "the corpus names no environment"
            raise ConfigError(what, "environment", "say where: lawm evaluate RUN --env gym:ID")
        if episodes < 1:
            raise ConfigError(f"{episodes} is below 1", "episodes", "give 1 or more")
        picture = drawn_picture(reads, info.task, info.suite)
        self.environments: Environments = envs.make(
            info.task,
            suite=info.suite,
            num_envs=episodes,
            action_repeat=info.action_repeat,
            pixels=picture.shape[0] if picture else None,
            drawing=picture.drawing if picture else None,
            draws=draws,
        )
        self.info = info if where is None else self.environments.info
        specs = self.environments.observations
        made = tuple((s.name, s.shape) for s in specs if s.role is Role.state)
        trained = tuple((s.name, s.shape) for s in reads if s.role is Role.state)
        # a policy on pixels needs no state, and the environment may show one
        same = set(trained) <= set(made) if self.reads else made == trained
        if where is not None and len(made) == len(trained) == 1:
            same = made[0][1] == trained[0][1]  # the only field may be called otherwise there
        if not same or self.environments.action.shape != record.action.shape:
            raise ConfigError(
                f"it observes {_names(made)}, the corpus {_names(trained)}",
                self.info.task,
                HINT,
            )
        require_pictures(reads, self.environments, self.info.task, HINT)

    @classmethod
    def of(
        cls, config: ExperimentConfig, record: RunRecord, reads: Sequence[ArraySpec]
    ) -> Self | None:
        """That of an experiment; none without episodes, an environment or a policy."""
        known = record.environment is not None
        if not (known and config.evaluation_episodes and learns_policy(config)):
            return None
        return cls(record, config.evaluation_episodes, reads=reads)

    def evaluate(self, policy: VectorPolicy, seed: int, video: Path | None = None) -> Evaluation:
        """One episode on every environment; episode i is reset with ``seed + i``."""
        episodes = self.environments.num_envs
        frames: list[np.ndarray] = []

        def take_picture(step: int) -> None:
            frames.append(self.environments.render(0, PICTURE, PICTURE))

        seeds = range(seed, seed + episodes)
        progress = take_picture if video else None
        recorded = rollout(
            self.environments, policy, seeds, noise_seed=seed, progress=progress, reads=self.reads
        )
        if video:
            seconds = (self.info.control_timestep or 0.02) * self.info.action_repeat
            write_video(video, frames, 1 / seconds)
        returns = np.array([trajectory["rewards"].sum(dtype=np.float64) for trajectory in recorded])
        best = self.info.max_return
        return Evaluation(
            return_mean=float(returns.mean()),
            return_std=float(returns.std()),
            normalized=float(100 * returns.mean() / best) if best else None,
            episodes=episodes,
            returns=tuple(returns.tolist()),
            seed=seed,
            environment=f"{self.info.suite}:{self.info.task}",
        )


def _names(fields: tuple[tuple[str, tuple[int, ...]], ...]) -> str:
    return ", ".join(f"{name}{list(shape)}" for name, shape in fields)
