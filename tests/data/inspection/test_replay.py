"""Recorded actions, simulated again, give what was recorded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dm_control import mujoco, suite
from dm_control.rl import control
from lawm_schemas import EnvironmentInfo, LawmError, Provenance

from lawm_data import Corpus, CorpusWriter, open_corpus
from lawm_data.corpus.integrity.validate import validate
from lawm_data.envs import suites as envs
from lawm_data.envs.policy import RandomPolicy
from lawm_data.envs.suites import _suite
from lawm_data.inspection.replay import UNSEEDED, reproduce
from lawm_data.recording.collect import collect

DIRECT = ("cartpole-swingup", "walker-walk", "cheetah-run", "hopper-hop")
FEELING = ("hopper-hop", "quadruped-walk", "dog-run")
"""They observe forces, touch and accelerations."""
SUITE_ONLY = ("reacher-easy", "finger-turn_easy")
"""Both keep their goal in the model."""
STEPS = 12


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Corpus]:
    """Collects three short trajectories of a task, once."""
    made: dict[str, Corpus] = {}

    def collected(task: str) -> Corpus:
        if task not in made:
            env = envs.make(task)
            env.steps_per_episode = STEPS
            path = tmp_path_factory.mktemp("corpora") / task
            with CorpusWriter.create(
                path, observations=env.observations, action=env.action, environment=env.info
            ) as writer:
                collect(env, RandomPolicy(env.action), writer, 3, 0, Provenance(source="random"))
            made[task] = open_corpus(path)
        return made[task]

    return collected


def rewrite(corpus: Corpus, out: Path, versions: Any = None, **changes: Any) -> Path:
    """The corpus through the writer once more; ``changes`` map a trajectory's arguments."""
    manifest = corpus.manifest
    environment = changes.pop("environment", manifest.environment)
    with CorpusWriter.create(
        out, observations=manifest.observations, action=manifest.action, environment=environment
    ) as writer:
        for i, trajectory in enumerate(corpus):
            assert trajectory.physics is not None
            arguments = {
                "observations": {
                    **dict(trajectory.observations.items()),
                    "physics": trajectory.physics.copy(),
                },
                "rewards": trajectory.rewards,
                "actions": trajectory.actions,
                "action_observed": trajectory.action_observed,
                "seed": trajectory.info.seed,
            }
            for name, change in changes.items():
                arguments[name] = change(i, arguments[name])
            source = Provenance(source="random", versions=versions or {})
            writer.add(**arguments, provenance=source)
    assert validate(out) == []
    return out


@pytest.mark.parametrize("task", [*DIRECT, *SUITE_ONLY])
@pytest.mark.parametrize("direct", [None, False])
def test_replay_holds_bit_for_bit(record: Callable, task: str, direct: bool | None) -> None:
    result = reproduce(record(task).path, direct=direct)
    assert (result.replayed, result.exact, result.findings) == (3, 3, [])
    assert not result.skipped


@pytest.mark.parametrize("task", [*DIRECT, *SUITE_ONLY])
def test_an_altered_action_is_found_at_its_step(
    record: Callable, task: str, tmp_path: Path
) -> None:
    def alter(i: int, actions: np.ndarray) -> np.ndarray:
        if i == 1:
            actions[5, 0] += 1e-2 if actions[5, 0] < 0 else -1e-2
        return actions

    corpus = record(task)
    result = reproduce(rewrite(corpus, tmp_path / "altered", actions=alter))
    assert (result.replayed, result.exact) == (3, 2)
    (finding,) = result.findings
    assert finding.severity == "error"
    assert corpus.table.id[1] in finding.where
    assert finding.what.startswith("step 5: replay differs in ")


@pytest.mark.parametrize(
    ("name", "step", "where"),
    [("rewards", 4, "step 4: replay differs in reward"), ("position", 0, "step -1"),
     ("position", 4, "step 3: replay differs in position by 0.001")],
)  # fmt: skip
def test_altered_observations_and_rewards_are_found(
    record: Callable, tmp_path: Path, name: str, step: int, where: str
) -> None:
    def observation(i: int, fields: dict) -> dict:
        if i == 0:
            fields[name] = fields[name].copy()
            fields[name][step, 0] += 1e-3
        return fields

    def reward(i: int, rewards: np.ndarray) -> np.ndarray:
        rewards = rewards.copy()
        rewards[step] += 1e-3 * (i == 0)
        return rewards

    change = {"rewards": reward} if name == "rewards" else {"observations": observation}
    (finding,) = reproduce(rewrite(record(DIRECT[0]), tmp_path / "c", **change)).findings
    assert where in finding.what


def test_a_wrong_initial_state_is_found(record: Callable, tmp_path: Path) -> None:
    def move(i: int, fields: dict) -> dict:
        fields["physics"][0, 0] += 0.1 * (i == 2)
        return fields

    findings = reproduce(rewrite(record(DIRECT[0]), tmp_path / "c", observations=move)).findings
    assert [f.what.split(":")[0] for f in findings] == ["step -1", "step 0"]


def test_without_seeds_only_tasks_without_a_hidden_goal_are_replayed(
    record: Callable, tmp_path: Path
) -> None:
    def forget(i: int, seed: int) -> int | None:
        return seed if i == 0 else None

    result = reproduce(rewrite(record("reacher-easy"), tmp_path / "r", seed=forget))
    assert (result.replayed, dict(result.skipped)) == (1, {UNSEEDED: 2})
    (finding,) = result.findings
    assert (finding.severity, "2 trajectories" in finding.what) == ("warning", True)
    result = reproduce(rewrite(record("walker-walk"), tmp_path / "w", seed=forget))
    assert (result.replayed, result.findings) == (3, [])


def test_what_cannot_be_replayed_is_skipped_and_counted(record: Callable, tmp_path: Path) -> None:
    corpus = record(DIRECT[0])

    def drop(i: int, actions: np.ndarray) -> np.ndarray | None:
        return actions if i == 0 else None

    def flags(i: int, observed: np.ndarray) -> np.ndarray | None:
        return observed if i == 0 else None

    result = reproduce(rewrite(corpus, tmp_path / "a", actions=drop, action_observed=flags))
    assert (result.replayed, result.findings) == (1, [])
    assert dict(result.skipped) == {"not all of its actions were recorded": 2}
    result = reproduce(rewrite(corpus, tmp_path / "b", environment=None))
    assert dict(result.skipped) == {"the corpus names no environment": 3}
    gone = EnvironmentInfo(task="cartpole-juggle")
    result = reproduce(rewrite(corpus, tmp_path / "c", environment=gone))
    assert (result.replayed, sum(result.skipped.values())) == (0, 3)
    assert [finding.severity for finding in result.findings] == ["warning"]


def test_a_sample_is_spread_over_the_corpus(record: Callable, tmp_path: Path) -> None:
    def alter(i: int, actions: np.ndarray) -> np.ndarray:
        actions[0] = 0
        return actions

    corpus = record(DIRECT[0])
    result = reproduce(rewrite(corpus, tmp_path / "c", actions=alter), sample=2)
    assert result.replayed == 2
    assert [f.where.split()[-1] for f in result.findings] == corpus.table.id[[0, 2]].tolist()


def test_another_simulator_makes_differences_a_warning(record: Callable, tmp_path: Path) -> None:
    def alter(i: int, actions: np.ndarray) -> np.ndarray:
        actions[0] = 0
        return actions

    path = rewrite(record(DIRECT[0]), tmp_path / "c", {"mujoco": "2.3.7"}, actions=alter)
    findings = reproduce(path).findings
    assert {f.severity for f in findings} == {"warning"}
    assert "mujoco 2.3.7" in findings[0].hint


def test_no_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LawmError, match="not a corpus"):
        reproduce(tmp_path)


def cut(corpus: Corpus, out: Path, first: int, alter: Callable[[dict], None]) -> Path:
    """The first trajectory from a step on, without its seed, after ``alter`` has changed it."""
    manifest, trajectory = corpus.manifest, corpus[0]
    whole = trajectory.arrays(manifest.observations)
    arrays: dict = {name: array[first:].copy() for name, array in whole.items()}
    arrays["reward"], arrays["action"] = trajectory.rewards[first:], trajectory.actions[first:]
    alter(arrays)
    with CorpusWriter.create(
        out,
        observations=manifest.observations,
        action=manifest.action,
        environment=manifest.environment,
    ) as writer:
        rewards, actions = arrays.pop("reward"), arrays.pop("action")
        writer.add(arrays, rewards, actions, provenance=Provenance(source="cut"))
    return out


@pytest.mark.parametrize("first", [0, 1, 7])
@pytest.mark.parametrize("task", [*DIRECT, *FEELING])
def test_honest_parts_without_a_seed_hold(
    record: Callable, task: str, first: int, tmp_path: Path
) -> None:
    result = reproduce(cut(record(task), tmp_path / "part", first, lambda arrays: None))
    assert (result.replayed, result.findings) == (1, [])


@pytest.mark.parametrize("name", ["action", "reward", "physics", "state", "felt"])
@pytest.mark.parametrize("task", FEELING)
def test_what_is_wrong_in_a_part_without_a_seed_is_found(
    record: Callable, task: str, name: str, tmp_path: Path
) -> None:
    environment = envs.make(task)
    felt = environment.unrestorable()
    state = [spec.name for spec in environment.observations if spec.name not in felt]

    def alter(arrays: dict) -> None:
        field = {"state": state[0], "felt": min(felt)}.get(name, name)
        arrays[field] = arrays[field].copy()
        arrays[field].reshape(len(arrays[field]), -1)[2, 0] += 1e-2 if name != "action" else -0.1

    (finding, *_) = reproduce(cut(record(task), tmp_path / "part", 3, alter)).findings
    assert finding.severity == "error"
    step = 2 if name in ("action", "reward") else 1
    assert finding.what.startswith(f"step {step}: replay differs in ")


def test_a_first_state_that_is_not_that_of_its_observations_is_found(
    record: Callable, tmp_path: Path
) -> None:
    def alter(arrays: dict) -> None:
        arrays["physics"][0, 10] += 0.1  # a joint

    (finding, *_) = reproduce(cut(record("dog-run"), tmp_path / "part", 3, alter)).findings
    assert finding.what.startswith("step -1: ")


def test_a_seed_that_no_simulator_takes_is_none(record: Callable, tmp_path: Path) -> None:
    for task, skipped in (("walker-walk", {}), ("reacher-easy", {UNSEEDED: 3})):
        path = rewrite(record(task), tmp_path / task, seed=lambda i, seed: 2**63 + seed)
        result = reproduce(path)
        assert dict(result.skipped) == skipped
        assert not [f for f in result.findings if f.severity == "error"]


DELAYED = """<mujoco><worldbody><body><joint name="hinge" axis="0 1 0"/>
<geom size=".1"/></body></worldbody>
<actuator><motor joint="hinge" %s/></actuator></mujoco>"""


@pytest.mark.parametrize("delay", ["", 'delay=".01" nsample="4"'])
def test_delays_are_no_part_of_a_state(delay: str) -> None:
    task = suite.load("pendulum", "swingup").task
    env = control.Environment(mujoco.Physics.from_xml_string(DELAYED % delay), task)
    assert _suite.remembers(env) == bool(delay)


def test_a_last_observation_that_is_missing_is_not_compared(
    record: Callable, tmp_path: Path
) -> None:
    corpus = record("walker-walk")
    manifest, trajectory = corpus.manifest, corpus[0]
    whole = trajectory.arrays(manifest.observations)
    arrays = {name: np.concatenate([a[:-1], a[-2:-1]]) for name, a in whole.items()}
    for wrong in (0, 0.1):
        path = tmp_path / str(wrong)
        with CorpusWriter.create(
            path,
            observations=manifest.observations,
            action=manifest.action,
            environment=manifest.environment,
        ) as writer:
            rewards = trajectory.rewards.copy()
            rewards[-1] += wrong
            writer.add(
                arrays,
                rewards,
                trajectory.actions,
                provenance=Provenance(source="x"),
                seed=trajectory.info.seed,
                metadata={"final_observation": "missing"},
            )
        findings = reproduce(path).findings
        assert [f.what.split(" by")[0] for f in findings] == (
            [f"step {STEPS - 1}: replay differs in reward"] if wrong else []
        )
