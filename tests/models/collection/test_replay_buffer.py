import numpy as np
import pytest

from lawm_models.collection.replay_buffer import ReplayBuffer

LENGTHS = (3, 5, 9, 4)


def trajectory(k: int, length: int):
    """Every number says where it belongs."""
    at = np.arange(length + 1, dtype=np.float32)
    observation = np.stack((at, np.full_like(at, k)), 1)
    action = observation[:-1] + 0.25
    return observation, action, (100 * k + at[:-1]).astype(np.float32)


@pytest.fixture
def filled():
    def make(window, lengths=LENGTHS):
        replay = ReplayBuffer(window)
        for k, length in enumerate(lengths):
            replay.add(*trajectory(k, length), terminated=k % 2 == 0)
        return replay

    return make


@pytest.mark.parametrize("window", [1, 3, 4, 12])
def test_windows_are_slices(filled, window):
    batch = filled(window).sample(64, np.random.default_rng(0))
    assert batch.observation.shape == (64, window + 1, 2)
    assert batch.labeled.all()
    for b in range(64):
        k, start = int(batch.trajectory[b]), int(batch.start[b])
        observation, action, reward = trajectory(k, LENGTHS[k])
        real = min(window, LENGTHS[k])
        stop = start + real
        assert stop <= LENGTHS[k]
        assert batch.valid[b].tolist() == [True] * real + [False] * (window - real)
        assert (batch.action_mask[b] == batch.valid[b]).all()
        np.testing.assert_array_equal(
            batch.observation[b, : real + 1], observation[start : stop + 1]
        )
        np.testing.assert_array_equal(batch.action[b, :real], action[start:stop])
        np.testing.assert_array_equal(batch.reward[b, :real], reward[start:stop])
        ends = [k % 2 == 0 and t == LENGTHS[k] - 1 for t in range(start, start + window)]
        assert batch.terminated[b].tolist() == ends
        assert (batch.observation[b, real:] == batch.observation[b, real]).all()
        assert not batch.action[b, real:].any()
        assert not batch.reward[b, real:].any()


def test_starts_are_uniform(filled):
    """3 starts in 5 steps and 7 in 9, one in each trajectory that is no longer than the window."""
    batch = filled(3).sample(4_000, np.random.default_rng(0))
    pairs = list(zip(batch.trajectory.tolist(), batch.start.tolist(), strict=True))
    starts = [(k, s) for k, length in enumerate(LENGTHS) for s in range(length - 3 + 1)]
    assert sorted(set(pairs)) == starts
    share = 1 / len(starts)
    error = (share * (1 - share) / len(pairs)) ** 0.5
    for start in starts:
        assert pairs.count(start) / len(pairs) == pytest.approx(share, abs=5 * error)


def test_same_generator_same_windows(filled):
    first, again = (filled(4).sample(16, np.random.default_rng(7)) for _ in range(2))
    assert first.trajectory.tolist() == again.trajectory.tolist()
    assert first.start.tolist() == again.start.tolist()


def test_later_trajectories_can_be_drawn(filled):
    replay = filled(3, lengths=(3,))
    assert set(replay.sample(50, np.random.default_rng(0)).trajectory.tolist()) == {0}
    replay.add(*trajectory(1, 3))
    assert len(replay) == 2
    assert set(replay.sample(50, np.random.default_rng(0)).trajectory.tolist()) == {0, 1}
