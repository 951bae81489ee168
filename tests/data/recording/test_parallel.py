"""Rollouts by workers: the same trajectories, in the same order, whoever is quicker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from lawm_schemas import Provenance

from lawm_data.envs.policy import RandomPolicy
from lawm_data.envs.suites import make
from lawm_data.recording.collect import RolloutContext, plan
from lawm_data.recording.parallel import discard_parts, parallel_rollouts
from lawm_data.system.parts import parts_folder

SOURCE = Provenance(source="random")


def open_context(task: str = "CartPole-v1", action_repeat: int = 1) -> RolloutContext:
    envs = make(f"gym:{task}", num_envs=2, action_repeat=action_repeat)
    return RolloutContext(envs, lambda _: RandomPolicy(envs.action))


ENVS = open_context().envs


def one_after_the_other(
    prepare: Callable[[], Callable], items: Iterable, workers: int | None = None
) -> Iterator[Any]:
    """An executor in this process, whose last result comes first."""
    yield from reversed(list(map(prepare(), items)))


def test_parts_come_in_the_order_of_the_plan(tmp_path: Path) -> None:
    out, context = tmp_path / "corpus", open_context()
    rollouts = plan(7, 2, seed=3)
    found = list(parallel_rollouts(out, open_context, ENVS, rollouts, SOURCE, one_after_the_other))
    assert [rollout for rollout, _ in found] == list(plan(7, 2, seed=3))
    for rollout, trajectories in found:
        for one, other in zip(rollout.run(context), trajectories, strict=True):
            np.testing.assert_array_equal(one["actions"], other["actions"])
            np.testing.assert_array_equal(
                one["observations"]["observation"], other["observations"]["observation"]
            )
            assert one["terminated"] == other["terminated"]
    assert not parts_folder(out).exists()


def test_parts_of_a_stopped_collection_are_not_run_again(tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    run: list[int] = []

    def counted(prepare: Callable[[], Callable], items: Iterable, workers: int | None) -> Iterator:
        work = prepare()
        for item in items:
            run.append(item.place)
            yield work(item)

    def stopped(prepare: Callable[[], Callable], items: Iterable, workers: int | None) -> Iterator:
        for number, name in enumerate(counted(prepare, items, workers)):
            yield name
            if number:
                raise KeyboardInterrupt

    first = parallel_rollouts(out, open_context, ENVS, plan(6, 2, seed=3), SOURCE, stopped)
    next(first)
    with pytest.raises(KeyboardInterrupt):
        list(first)
    rest = parallel_rollouts(out, open_context, ENVS, plan(6, 2, seed=3, done=2), SOURCE, counted)
    assert [rollout.place for rollout, _ in rest] == [2, 4]
    assert run.count(4) == 1
    other = partial(parallel_rollouts, out, open_context, ENVS, plan(2, 2, seed=3))
    assert len(list(other(Provenance(source="other"), counted))) == 1


@pytest.mark.parametrize("change", [{"task": "Other-v0"}, {"action_repeat": 3}], ids=str)
def test_parts_of_another_environment_are_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict
) -> None:
    """The corpus was removed after a kill, the parts beside it were not."""
    pole = gymnasium.spec("CartPole-v1")
    other_rewards = replace(pole, id="Other-v0", kwargs={"sutton_barto_reward": True})
    monkeypatch.setitem(gymnasium.registry, "Other-v0", other_rewards)
    first = parallel_rollouts(
        tmp_path / "c", open_context, ENVS, plan(4, 2, 3), SOURCE, one_after_the_other
    )
    next(first)
    first.close()
    assert parts_folder(tmp_path / "c").exists()
    other = partial(open_context, **change)
    context = other()
    again = parallel_rollouts(
        tmp_path / "c", other, context.envs, plan(4, 2, 3), SOURCE, one_after_the_other
    )
    for rollout, trajectories in again:
        for one, expected in zip(trajectories, rollout.run(context), strict=True):
            np.testing.assert_array_equal(one["rewards"], expected["rewards"])


@pytest.mark.parametrize("again", ["workers", "no workers"])
def test_a_collection_that_goes_on_removes_what_killed_ones_left(
    tmp_path: Path, again: str
) -> None:
    out = tmp_path / "corpus"
    for name in (".tmp-4194304-0123abcd-corpus.parts", "corpus.parts", "other.parts"):
        (tmp_path / name / "0123" / "00000000-2").mkdir(parents=True)
    (tmp_path / ".tmp-lock-corpus.parts").touch()
    if again == "workers":
        list(parallel_rollouts(out, open_context, ENVS, plan(0, 2, 3), SOURCE, one_after_the_other))
    else:
        discard_parts(out)
    assert [path.name for path in tmp_path.iterdir()] == ["other.parts"]
