from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lawm_schemas import ConfigError, CorpusError, Role

from lawm_data import open_corpus
from lawm_data.corpus.integrity.validate import validate
from lawm_data.exchange import import_corpus


def recorded(
    rows: int, seed: int, terminated: bool = False, kind: str = "vector"
) -> dict[str, Any]:
    """What ``Episode.serialize`` of d3rlpy 2.8 gives."""
    rng = np.random.default_rng(seed)
    vector = rng.random((rows, 3)).astype("f4")
    picture = rng.integers(0, 256, (rows, 3, 16, 16), dtype=np.uint8)
    actions = np.tanh(rng.standard_normal((rows, 2))).astype("f4")
    if kind == "picture":
        actions = rng.integers(0, 4, (rows, 1))
    observations = {"vector": vector, "picture": picture, "tuple": (picture, vector)}[kind]
    rewards = rng.random((rows, 1))
    return {
        "observations": observations,
        "actions": actions,
        "rewards": rewards,
        "terminated": terminated,
    }


def dump(path: Path, episodes: list[dict[str, Any]]) -> Path:
    """Write them as ``d3rlpy.dataset.io.dump`` does, version 2.1."""
    with h5py.File(path, "w") as file:
        file["columns"] = list(episodes[0])
        file["num_episodes"] = len(episodes)
        for i, episode in enumerate(episodes):
            for key, value in episode.items():
                if isinstance(value, tuple):
                    for j, part in enumerate(value):
                        file[f"{key}_{i}_{j}"] = part
                else:
                    file[f"{key}_{i}"] = value
        file["version"] = "2.1"
    return path


@settings(max_examples=20)
@given(
    kind=st.sampled_from(["vector", "picture", "tuple"]),
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=12).filter(lambda n: max(n) > 1),
    terminated=st.lists(st.booleans(), min_size=12, max_size=12),
)
def test_every_step_is_read(
    tmp_path_factory: pytest.TempPathFactory, kind: str, lengths: list[int], terminated: list[bool]
) -> None:
    root = tmp_path_factory.mktemp("d3rlpy")
    episodes = [recorded(n, i, terminated[i], kind) for i, n in enumerate(lengths)]
    made = import_corpus(f"d3rlpy:{dump(root / 'data.h5', episodes)}", root / "corpus")
    assert any("the step was kept" in note for note in made.notes)
    corpus = open_corpus(root / "corpus", verify=True)
    assert [f for f in validate(root / "corpus") if f.severity == "error"] == []
    for i, (trajectory, episode) in enumerate(zip(corpus, episodes, strict=True)):
        shown = episode["observations"]
        for name, array in zip(
            corpus.manifest.observations,
            shown if isinstance(shown, tuple) else (shown,),
            strict=True,
        ):
            if name.role is Role.pixels:
                array = array.transpose(0, 2, 3, 1)
            assert np.array_equal(trajectory.observations[name.name][:-1], array)
        assert np.array_equal(trajectory.actions, episode["actions"])
        assert np.array_equal(trajectory.rewards, episode["rewards"][:, 0].astype("f4"))
        assert not trajectory.final_observed
        ends = trajectory.info.terminated, trajectory.info.truncated
        assert ends == (terminated[i], not terminated[i])


def test_version_1(tmp_path: Path) -> None:
    """As ``MDPDataset.dump`` of d3rlpy 1.1 wrote it."""
    rng, rows = np.random.default_rng(0), np.arange(12)
    arrays = {
        "observations": rng.random((12, 3)).astype("f4"),
        "actions": rng.uniform(-2, 2, (12, 2)).astype("f4"),
        "rewards": rng.random(12).astype("f4"),
        "terminals": np.isin(rows, [4]).astype("f4"),
        "episode_terminals": np.isin(rows, [4, 8]).astype("f4"),
    }
    with h5py.File(tmp_path / "v1.h5", "w") as file:
        for name, array in {**arrays, "discrete_action": False, "version": "1.0"}.items():
            file[name] = array
    settings = {"low": -2, "high": 2, "env": "walker-walk"}
    made = import_corpus(f"d3rlpy:{tmp_path / 'v1.h5'}", tmp_path / "corpus", settings)
    assert any("the last rows have no mark" in note for note in made.notes)
    corpus = open_corpus(tmp_path / "corpus")
    assert [t.info.length for t in corpus] == [5, 4, 3]
    assert np.array_equal(corpus[1].actions, arrays["actions"][5:9])
    assert [t.info.terminated for t in corpus] == [True, False, False]
    assert corpus.manifest.action.high == (2.0, 2.0)


def changed(change: Callable[[h5py.File], None]) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            change(file)

    return make


def gone(name: str) -> Callable[[Path], None]:
    return changed(lambda file: file.__delitem__(name))


def other(name: str, value: Any) -> Callable[[Path], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        file[name] = value

    return changed(change)


WRONG = {
    "an array too few": (gone("rewards_1"), "rewards_1: is not one of a trajectory that has all"),
    "too few trajectories": (other("num_episodes", 3), "num_episodes: does not say 2"),
    "too few actions": (other("actions_1", np.zeros((3, 2))), "actions_1: has 3 rows where 6"),
    "NaN": (other("observations_1", np.full((6, 3), np.nan)), "observations_1: row 0 holds a num"),
    "no flag": (other("terminated_1", np.zeros(2, bool)), "terminated_1: is not one flag"),
    "half a flag": (other("terminated_1", 0.5), "terminated_1: holds numbers other than 0 and 1"),
    "texts": (other("actions_1", np.full((6, 2), b"x")), "actions_1: has type"),
    "nothing": (gone("actions_0"), "actions_0: is not one of a trajectory|no trajectories"),
}


@pytest.mark.parametrize(("make", "message"), WRONG.values(), ids=WRONG.keys())
def test_files_that_are_wrong_are_refused_and_nothing_is_written(
    tmp_path: Path, make: Callable[[Path], None], message: str
) -> None:
    path = dump(tmp_path / "data.h5", [recorded(6, 0), recorded(6, 1)])
    make(path)
    with pytest.raises(CorpusError, match=message) as caught:
        import_corpus(f"d3rlpy:{path}", tmp_path / "corpus")
    assert "\n" not in str(caught.value)
    assert [found.name for found in tmp_path.iterdir()] == ["data.h5"]


@pytest.mark.parametrize("spoil", ["nan", "gone", "link"])
def test_an_observation_that_cannot_be_read_is_left_out(tmp_path: Path, spoil: str) -> None:
    path = dump(tmp_path / "data.h5", [recorded(6, i, kind="tuple") for i in range(2)])
    with h5py.File(path, "r+") as file:
        del file["observations_1_1"]
        if spoil != "gone":
            nan = np.full((6, 3), np.nan)
            file["observations_1_1"] = nan if spoil == "nan" else h5py.SoftLink("/nowhere")
    with pytest.raises(CorpusError, match=r"observations?_1_1: |--without observation_1"):
        import_corpus(f"d3rlpy:{path}", tmp_path / "corpus")
    made = import_corpus(f"d3rlpy:{path}", tmp_path / "corpus", without=["observations_1"])
    assert "not kept: observation_1" in made.notes
    corpus = open_corpus(tmp_path / "corpus")
    assert [spec.name for spec in corpus.manifest.observations] == ["observation_0"]
    assert len(corpus) == 2
    with pytest.raises(ConfigError, match="there is no array 'x'; there are observation_0, obs"):
        import_corpus(f"d3rlpy:{path}", tmp_path / "other", without=["x"])


def test_the_only_observation_is_kept(tmp_path: Path) -> None:
    path = dump(tmp_path / "data.h5", [recorded(6, 0)])
    with pytest.raises(ConfigError, match="leaves nothing"):
        import_corpus(f"d3rlpy:{path}", tmp_path / "corpus", without=["observation"])
    other("observations_0", np.full((6, 3), np.nan))(path)
    with pytest.raises(CorpusError, match="a number that is not finite") as caught:
        import_corpus(f"d3rlpy:{path}", tmp_path / "corpus")
    assert "without" not in str(caught.value)


def test_a_file_that_d3rlpy_wrote(tmp_path: Path) -> None:
    """``MDPDataset.dump`` of d3rlpy 2.8.0: trajectories of 5 and 7 rows, the first terminated."""
    file = Path(__file__).parents[3] / "fixtures" / "foreign" / "d3rlpy-2.8.h5"
    import_corpus(f"d3rlpy:{file}", tmp_path / "corpus")
    corpus = open_corpus(tmp_path / "corpus")
    assert [t.info.length for t in corpus] == [5, 7]
    assert [t.info.terminated for t in corpus] == [True, False]
    with h5py.File(file) as found:
        for i, trajectory in enumerate(corpus):
            observed = trajectory.observations["observation"][:-1]
            assert np.array_equal(observed, found[f"observations_{i}"])
            assert np.array_equal(trajectory.actions, found[f"actions_{i}"])
