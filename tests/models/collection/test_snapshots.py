"""Which snapshots a name means, and how trajectories are dealt over them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lawm_schemas import ConfigError

from lawm_models.collection.snapshots import SnapshotRange, snapshot_rollouts

NAMES = ["00010", "00020", "00030", "00100"]


@pytest.mark.parametrize(
    ("agent", "rounds"),
    [
        ("a/b.agent@snapshots", [10, 20, 30, 100]),
        ("a/b.agent@snapshots:20:30", [20, 30]),
        ("a/b.agent@snapshots:11:99", [20, 30]),
        ("a/b.agent@snapshots:30:", [30, 100]),
        ("a/b.agent@snapshots::10", [10]),
    ],
)
def test_name_means_the_snapshots_of_its_rounds(agent: str, rounds: list[int]) -> None:
    chosen = SnapshotRange.parse(agent)
    assert chosen is not None
    assert chosen.path == Path("a/b.agent")
    assert [int(name) for name in chosen.choose(NAMES)] == rounds


@pytest.mark.parametrize("agent", ["random", "runs/a", "a.agent"])
def test_other_agents_have_no_band(agent: str) -> None:
    assert SnapshotRange.parse(agent) is None


@pytest.mark.parametrize("end", [":1", ":a:b", "x", ":1:2:3", ":-1:5"])
def test_unreadable_band_says_how_it_is_written(end: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read; give FOLDER@snapshots, or"):
        SnapshotRange.parse(f"a.agent@snapshots{end}")


def test_band_without_snapshots_says_what_there_is() -> None:
    chosen = SnapshotRange.parse("a.agent@snapshots:40:90")
    assert chosen is not None
    with pytest.raises(ConfigError, match=r"a.agent: no snapshot of rounds 40 to 90.* 10 to 100"):
        chosen.choose(NAMES)
    with pytest.raises(ConfigError, match=r"a.agent: this agent has no snapshots yet; let it"):
        chosen.choose([])


ages = st.integers(1, 40).map(lambda n: {f"{10 * i:05d}": 7 * i for i in range(1, n + 1)})
sizes = st.integers(1, 200)


@given(ages, sizes, st.integers(1, 20))
def test_shares_are_equal_and_in_order(ages, trajectories, num_envs) -> None:
    rollouts = list(snapshot_rollouts(ages, trajectories, num_envs, 0))
    shares = {name: 0 for name in ages}
    place = 0
    for rollout in rollouts:
        assert rollout.place == place
        assert rollout.agent_step == ages[rollout.policy]
        assert 1 <= len(rollout.chosen) <= num_envs
        place += len(rollout.chosen)
        shares[rollout.policy] += len(rollout.chosen)
    assert place == trajectories
    assert max(shares.values()) - min(shares.values()) <= 1
    order = [rollout.policy for rollout in rollouts]
    assert order == sorted(order)
    # No more rollouts than it takes.
    assert all(order.count(name) == -(-share // num_envs) for name, share in shares.items())


@given(ages, sizes, st.integers(1, 20), st.integers(0, 200))
def test_going_on_runs_the_rest_of_the_same_rollouts(ages, trajectories, num_envs, done) -> None:
    def lanes(rollouts) -> list[tuple]:
        """What decides each trajectory: its environment, its seeds, its policy."""
        return [
            (seed, lane, rollout.noise_seed, rollout.policy)
            for rollout in rollouts
            for lane, seed in enumerate(rollout.seeds)
            if seed is not None
        ]

    whole = lanes(snapshot_rollouts(ages, trajectories, num_envs, 3))
    assert lanes(snapshot_rollouts(ages, trajectories, num_envs, 3, done)) == whole[done:]


def test_seeds_decide_and_differ() -> None:
    ages = {"00010": 1, "00020": 2}

    def seeds(seed) -> list[int]:
        return [s for r in snapshot_rollouts(ages, 50, 8, seed) for s in (*r.chosen, r.noise_seed)]

    assert seeds(0) == seeds(0)
    assert len(set(seeds(0))) == len(seeds(0))
    assert not set(seeds(0)) & (set(seeds(1)) | set(seeds((0, 1))))
