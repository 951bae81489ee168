"""Rollouts in parallel: each worker writes small corpora, and one process joins them.

The parts lie in a folder beside the corpus until their turn comes, so the corpus grows in the order
of the plan, whoever is quicker; and what a part holds is not lost when the collection is stopped.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from lawm_schemas import Manifest, Provenance

from lawm_data.corpus.corpus import open_corpus
from lawm_data.corpus.trajectory import Trajectory
from lawm_data.corpus.writing.writer import CorpusWriter
from lawm_data.envs.rollout import RecordedTrajectory
from lawm_data.envs.suites import Environments
from lawm_data.recording.collect import Rollout, RolloutContext, add_rollouts
from lawm_data.system.atomic import storage_errors, temporary_name
from lawm_data.system.output import claimed, remove
from lawm_data.system.parts import open_parts, parts_folder, remove_parts
from lawm_data.system.workers import Executor


def parallel_rollouts(
    out: Path,
    open_context: Callable[[], RolloutContext],
    envs: Environments,
    rollouts: Iterable[Rollout],
    provenance: Provenance,
    execute: Executor,
    workers: int | None = None,
) -> Iterator[tuple[Rollout, list[RecordedTrajectory]]]:
    """Run rollouts on workers; only under the lock of the corpus ``out``.

    Args:
        out: the corpus that they are for.
        open_context: makes the context in every worker; plain data, since it travels there.
        envs: such as the context has, which says what is recorded.
        rollouts: what to run; only parts of an equal environment, with equal arrays and of equal
            ``provenance``, are taken from an earlier call.
        provenance: what is remembered of the source.
        execute: runs the workers.
        workers: how many; none takes one per core.

    Yields:
        Each rollout and its trajectories, in the order of ``rollouts``; its part is removed when
        the next one is asked for.

    Raises:
        StorageError: the file system refused.
        ConfigError: see ``Executor``.
    """
    with claimed(parts_folder(out.absolute())):
        folder = open_parts(out, _purpose(envs, provenance))
        with storage_errors(folder):
            ready = {path.name for path in folder.iterdir()}
        waiting: deque[Rollout] = deque()

        def missing() -> Iterator[Rollout]:
            for each in rollouts:
                waiting.append(each)
                if _name(each) not in ready:
                    yield each

        def due() -> Iterator[tuple[Rollout, list[RecordedTrajectory]]]:
            while waiting and _name(waiting[0]) in ready:
                each = waiting.popleft()
                part = folder / _name(each)
                corpus = open_corpus(part, verify=True)
                yield each, [_recorded(trajectory, corpus.manifest) for trajectory in corpus]
                with storage_errors(part):
                    remove(part)

        prepare = partial(_prepare, open_context, folder, provenance)
        for name in execute(prepare, missing(), workers):
            ready.add(name)
            yield from due()
        yield from due()
        remove_parts(out)


def discard_parts(out: Path) -> None:
    """Remove what is left of parallel rollouts that were stopped, see ``parallel_rollouts``.

    Raises:
        StorageError: the file system refused.
    """
    with claimed(parts_folder(out.absolute())):
        remove_parts(out)


def _purpose(envs: Environments, provenance: Provenance) -> str:
    """All that a part depends on beside its place."""
    known = (provenance, envs.info, envs.action, *envs.observations)
    return json.dumps([each.model_dump(mode="json") for each in known], sort_keys=True)


def _name(rollout: Rollout) -> str:
    return f"{rollout.place:08d}-{len(rollout.chosen)}"


def _prepare(
    open_context: Callable[[], RolloutContext], folder: Path, provenance: Provenance
) -> Callable[[Rollout], str]:
    """Make a worker ready."""
    return partial(_write, open_context(), folder, provenance)


def _write(context: RolloutContext, folder: Path, provenance: Provenance, rollout: Rollout) -> str:
    """Run a rollout and write its part, which appears complete or not at all; returns its name."""
    part = folder / _name(rollout)
    temporary = temporary_name(part)
    envs = context.envs
    with CorpusWriter.create(
        temporary, observations=envs.observations, action=envs.action, environment=envs.info
    ) as writer:
        add_rollouts(writer, [(rollout, rollout.run(context))], provenance)
    with storage_errors(part):
        temporary.rename(part)
    return part.name


def _recorded(trajectory: Trajectory, manifest: Manifest) -> RecordedTrajectory:
    assert trajectory.actions is not None
    return RecordedTrajectory(
        observations=trajectory.arrays(manifest.observations),
        rewards=trajectory.rewards,
        actions=trajectory.actions,
        terminated=trajectory.info.terminated,
        truncated=trajectory.info.truncated,
    )
