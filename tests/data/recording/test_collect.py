from pathlib import Path

import numpy as np
import pytest
from lawm_schemas import LineageStep, Provenance

from lawm_data import CorpusWriter, open_corpus
from lawm_data.envs import suites as envs
from lawm_data.envs.policy import RandomPolicy
from lawm_data.recording import collect as recording
from lawm_data.recording.collect import collect

PROVENANCE = Provenance(source="random", agent="random", seed=0)


@pytest.fixture(scope="module")
def cartpoles() -> envs.Environments:
    return envs.make("cartpole-swingup", num_envs=4, action_repeat=50)


def create(path: Path, environments: envs.Environments) -> CorpusWriter:
    return CorpusWriter.create(
        path,
        observations=environments.observations,
        action=environments.action,
        environment=environments.info,
        lineage=[LineageStep(operation="collect")],
    )


def run(writer: CorpusWriter, environments: envs.Environments, trajectories: int, seed=0) -> None:
    policy = RandomPolicy(environments.action)
    collect(environments, policy, writer, trajectories, seed, PROVENANCE)


def test_what_is_collected_can_be_read(tmp_path: Path, cartpoles: envs.Environments) -> None:
    with create(tmp_path / "c", cartpoles) as writer:
        run(writer, cartpoles, 5)
    corpus = open_corpus(tmp_path / "c")
    assert len(corpus) == 5
    assert corpus.manifest.environment == cartpoles.info
    for trajectory in corpus:
        assert trajectory.actions is not None
        assert trajectory.physics is not None
        assert trajectory.truncated[-1]
        # The seed on record starts the same episode again.
        start = cartpoles.reset([trajectory.info.seed])
        assert np.array_equal(start["position"][0], trajectory.observations["position"][0])
        assert np.array_equal(start["physics"][0], trajectory.physics[0])
        step = cartpoles.step(np.tile(trajectory.actions[0], (4, 1)))
        assert step.reward[0] == trajectory.rewards[0]
    assert len(set(corpus.table.seed.tolist())) == 5


@pytest.mark.parametrize("parts", [(9,), (4, 9), (3, 9), (1, 2, 7, 9)])
def test_parts_make_the_same_corpus_as_the_whole(
    tmp_path: Path, cartpoles: envs.Environments, parts: tuple[int, ...]
) -> None:
    with create(tmp_path / "whole", cartpoles) as writer:
        run(writer, cartpoles, 9)
    create(tmp_path / "parts", cartpoles).close()
    for size in parts:
        with CorpusWriter.append(tmp_path / "parts") as writer:
            run(writer, cartpoles, size)
        assert len(open_corpus(tmp_path / "parts")) == size
    whole, joined = open_corpus(tmp_path / "whole"), open_corpus(tmp_path / "parts")
    assert whole.fingerprint == joined.fingerprint
    assert np.array_equal(whole.table.seed, joined.table.seed)


def test_seeds_differ_between_collections(tmp_path: Path, cartpoles: envs.Environments) -> None:
    for seed in (0, 1):
        with create(tmp_path / str(seed), cartpoles) as writer:
            run(writer, cartpoles, 2, seed=seed)
    first, second = (open_corpus(tmp_path / str(seed)).table.seed.tolist() for seed in (0, 1))
    assert not set(first) & set(second)


def test_reset_seeds_do_not_depend_on_the_number_of_environments(tmp_path: Path) -> None:
    for n in (1, 3):
        environments = envs.make("cartpole-swingup", num_envs=n, action_repeat=500)
        with create(tmp_path / str(n), environments) as writer:
            run(writer, environments, 4)
    one, three = (open_corpus(tmp_path / str(n)).table.seed.tolist() for n in (1, 3))
    assert one == three


@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_what_is_told_has_been_committed(
    tmp_path: Path,
    cartpoles: envs.Environments,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
) -> None:
    monkeypatch.setattr(recording, "COMMIT_SECONDS", seconds)
    reports: list[tuple[int, int, float]] = []
    writer = create(tmp_path / "c", cartpoles)

    def report(count: int, recorded) -> None:
        reports.append((count, len(open_corpus(tmp_path / "c")), float(recorded["rewards"].sum())))

    collect(cartpoles, RandomPolicy(cartpoles.action), writer, 6, 0, PROVENANCE, report)
    writer.discard()  # as if it died now
    corpus = open_corpus(tmp_path / "c")
    there = [6] * 6 if seconds else [4, 4, 4, 4, 6, 6]
    assert [t[:2] for t in reports] == list(zip(range(1, 7), there, strict=True))
    assert [t[2] for t in reports] == pytest.approx(corpus.table.episode_return.tolist())


def test_what_was_collected_before_an_error_is_kept(
    tmp_path: Path, cartpoles: envs.Environments
) -> None:
    class Failing:
        starts = 0

        def start(self, num_envs: int, seed: int) -> None:
            self.starts += 1
            if self.starts > 2:
                raise RuntimeError("failed")

        def act(self, observation: np.ndarray) -> np.ndarray:
            return np.full((len(observation), 1), 0.1 * self.starts, np.float32)

    with (
        pytest.raises(RuntimeError, match="failed"),
        create(tmp_path / "c", cartpoles) as writer,
    ):
        collect(cartpoles, Failing(), writer, 12, 0, PROVENANCE)
    assert len(open_corpus(tmp_path / "c")) == 8


def test_a_full_corpus_is_left_alone(tmp_path: Path, cartpoles: envs.Environments) -> None:
    with create(tmp_path / "c", cartpoles) as writer:
        run(writer, cartpoles, 2)
        before = writer.manifest
        run(writer, cartpoles, 1)
        assert writer.manifest == before
