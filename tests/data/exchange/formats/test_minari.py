"""Minari's own client and TorchRL read what we write; datasets of others are checked and read."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import minari
import numpy as np
import pytest
from gymnasium import spaces
from lawm_schemas import ArraySpec, ConfigError, CorpusError, LawmError, Role, StorageError
from minari.data_collector import EpisodeBuffer

from lawm_data import Corpus, open_corpus
from lawm_data.corpus.integrity.validate import validate
from lawm_data.exchange import export_corpus, import_corpus

ID = "lab/arm-v0"
FREE = spaces.Box(-np.inf, np.inf, (3,))
BOUNDED = spaces.Box(-1, 1, (2,))


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path / "minari"


def episode(length: int = 5, **changed: Any) -> EpisodeBuffer:
    rng = np.random.default_rng(length)
    given = {
        "observations": rng.standard_normal((length + 1, 3)).astype(np.float32),
        "actions": rng.uniform(-1, 1, (length, 2)).astype(np.float32),
        "rewards": rng.standard_normal(length).astype(np.float32),
        "terminations": np.arange(length) == length - 1,
        "truncations": np.zeros(length, bool),
    }
    return EpisodeBuffer(id=None, **(given | changed))


def create(*episodes: EpisodeBuffer, name: str = ID, **options: Any) -> minari.MinariDataset:
    """A dataset made by Minari alone."""
    given = {"observation_space": FREE, "action_space": BOUNDED, "jpeg_encoding": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return minari.create_dataset_from_buffers(name, list(episodes), **(given | options))


def imported(folder: Path, name: str = ID, **settings: Any) -> Corpus:
    import_corpus(f"minari:{name}", folder / "back", settings)
    assert not list(validate(folder / "back"))
    return open_corpus(folder / "back")


def test_minari_loads_samples_and_filters_our_export(plain_plan: Callable, tmp_path: Path) -> None:
    missing = {**plain_plan().trajectories[0], "labels": "missing", "seed": 7, "metadata": 1}
    plan = plain_plan(trajectories=(*plain_plan().trajectories, missing))
    whole = plan.write(tmp_path / "corpus")
    export_corpus(whole, f"minari:{ID}")
    dataset = minari.load_dataset(ID)
    assert (dataset.total_episodes, dataset.total_steps) == (5, int(whole.table.length.sum()))
    assert list(minari.list_local_datasets()) == [ID]
    assert dataset.action_space == spaces.Box(-1, 1, (2,), np.float32)
    for one, ours in zip(dataset.iterate_episodes(), whole, strict=True):
        assert np.array_equal(one.observations["position"], ours.observations["position"])
        assert np.array_equal(one.rewards, ours.rewards)
        flags = one.infos["action_observed"]
        assert flags.shape == (len(ours) + 1, 1)
        assert np.array_equal(flags[:-1, 0], ours.action_observed)
        assert np.isnan(one.actions[~ours.action_observed]).all()
        assert dataset.observation_space["position"].contains(one.observations["position"][0])
    (last,) = dataset.storage.get_episode_metadata([4])
    assert (last["actions"], bool(last["actions_observed"]), last["seed"]) == ("missing", False, 7)
    assert json.loads(last["metadata"]) == whole[4].info.metadata
    assert len(dataset.filter_episodes(lambda e: e.infos["action_observed"][:-1].all())) == 4
    assert len(dataset.sample_episodes(3)) == 3


def test_integers_that_are_not_observed_are_in_no_space(plain_plan: Callable, tmp_path: Path):
    kinds = {
        "discrete": {"shape": (), "dtype": "int64", "low": (2.0,), "high": (6.0,)},
        "several": {"shape": (2,), "dtype": "int64", "low": (0.0, 0.0), "high": (3.0, 1.0)},
        "switches": {"shape": (3,), "dtype": "bool"},
    }
    wanted = (spaces.Discrete(5, start=2), spaces.MultiDiscrete([4, 2]), spaces.MultiBinary((3,)))
    partial = {**plain_plan().trajectories[0], "labels": "partial"}
    for (name, kind), space in zip(kinds.items(), wanted, strict=True):
        action = ArraySpec(name="action", role=Role.action, **kind)
        whole = plain_plan(action=action, trajectories=(partial,), masks=()).write(tmp_path / name)
        export_corpus(whole, f"minari:lab/{name}-v0")
        dataset = minari.load_dataset(f"lab/{name}-v0")
        assert dataset.action_space == space
        contained = [dataset.action_space.contains(action) for action in dataset[0].actions]
        assert contained == whole[0].action_observed.tolist()


def test_torchrl_loads_our_export(plain_plan: Callable, tmp_path: Path) -> None:
    # in the extra `bench` alone: nobody else needs a second framework to test an export
    pytest.importorskip("torchrl", reason="needs TorchRL: pip install 'lawm[bench]'")
    whole = plain_plan().write(tmp_path / "corpus")
    export_corpus(whole, f"minari:{ID}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensordict import PersistentTensorDict
        from torchrl.data.datasets import MinariExperienceReplay

        file = tmp_path / "minari" / ID / "data" / "main_data.hdf5"
        stored = PersistentTensorDict.from_h5(file).to_tensordict()
        options = {"root": tmp_path / "torchrl", "load_from_local_minari": True}
        replay = MinariExperienceReplay(ID, batch_size=8, split_trajs=False, **options)
    for i, ours in enumerate(whole):
        assert np.array_equal(stored[f"episode_{i}", "actions"].numpy(), ours.actions)
    batch = replay.sample()
    assert batch["action"].shape == (8, 2)
    assert batch["observation", "z"].shape == (8, 1)
    assert batch["info", "action_observed"].shape == (8, 1)
    assert len(replay) == whole.table.length.sum()


def test_no_more_is_begun_than_the_disk_holds(
    plain_plan: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HDF5 does not survive a full disk: the process would end with it."""
    whole = plain_plan().write(tmp_path / "corpus")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100_000))
    with pytest.raises(StorageError, match=r"lab/arm-v0: .* MB are to come, 0\.1 MB are free"):
        export_corpus(whole, f"minari:{ID}")
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


@pytest.mark.parametrize("storage", ["hdf5", "arrow", "parquet"])
def test_datasets_of_others_are_read_from_every_storage(storage: str, tmp_path: Path) -> None:
    if storage != "hdf5":
        pytest.importorskip("pyarrow")
    made = [episode(5), episode(1), episode(9)]
    create(*made, data_format=storage, algorithm_name="expert", author="Ada")
    corpus = imported(tmp_path)
    assert [len(t) for t in corpus] == [5, 1, 9]
    for one, theirs in zip(corpus, made, strict=True):
        assert np.array_equal(one.observations["observation"], theirs.observations)
        assert np.array_equal(one.actions, theirs.actions)
        assert np.array_equal(one.rewards, theirs.rewards)
        assert one.info.terminated
        assert not one.info.truncated
    (source,) = corpus.manifest.provenance
    assert (source.source, source.agent, source.origin) == (f"minari:{ID}", "expert", "import")
    assert corpus.manifest.action.bounds()[0].tolist() == [-1, -1]
    (step,) = corpus.manifest.lineage
    assert step.settings["source"] == f"minari:{ID}"
    assert len(step.settings["sha256"]) == step.settings["files"]


def test_spaces_become_arrays(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 40, 48, 3), dtype=np.uint8)
    space = spaces.Dict(
        {
            "hand": spaces.Tuple((spaces.Box(-1, 1, (2, 2), np.float64), spaces.Discrete(4))),
            "camera": spaces.Box(0, 255, (40, 48, 3), np.uint8),
            "first": spaces.Box(0, 255, (3, 40, 48), np.uint8),
            "buttons": spaces.MultiBinary(3),
            "words here": spaces.Box(0, 9, (1,), np.uint16),
            "text": spaces.Text(5),
        }
    )
    arm = rng.uniform(-1, 1, (6, 2, 2))
    observations = {
        "hand": (arm, np.arange(6) % 4),
        "camera": images,
        "first": np.moveaxis(images, -1, 1),
        "buttons": rng.integers(0, 2, (6, 3), dtype=np.int8),
        "words here": np.arange(6, dtype=np.uint16)[:, None],
        "text": ["a"] * 6,
    }
    action = spaces.Dict({"turn": spaces.Box(-2, 2, (2,)), "grip": spaces.Discrete(3, start=1)})
    turn, grip = rng.uniform(-2, 2, (5, 2)).astype(np.float32), np.array([1, 2, 3, 1, 2])
    given = episode(observations=observations, actions={"turn": turn, "grip": grip})
    create(given, observation_space=space, action_space=action)
    corpus = imported(tmp_path)
    specs = {spec.name: spec for spec in corpus.manifest.observations}
    assert sorted(specs) == ["buttons", "camera", "first", "hand.0", "hand.1", "words_here"]
    assert (specs["hand.0"].shape, specs["hand.0"].dtype) == ((2, 2), "float64")
    assert (specs["hand.1"].shape, specs["hand.1"].high) == ((), (3.0,))
    assert specs["camera"].role is specs["first"].role is Role.pixels
    assert specs["words_here"].dtype == "int32"
    one = corpus[0]
    assert np.array_equal(one.observations["hand.0"], arm)
    assert np.array_equal(one.observations["camera"], images)
    assert np.array_equal(one.observations["first"], images)
    assert corpus.manifest.action.dtype == "float64"
    assert corpus.manifest.action.low == (1.0, -2.0, -2.0)
    assert np.array_equal(one.actions, np.concatenate([grip[:, None], turn], 1))
    said = " ".join(corpus.manifest.lineage[-1].settings["converted"])
    for words in ("Text", "the action joins grip, turn", "first[3, 40, 48] became images"):
        assert words in said


@pytest.mark.parametrize(
    ("space", "actions", "spec"),
    [
        (spaces.Discrete(3, start=-1), np.array([-1, 0, 1, 1, 0]), ("int64", (), (-1.0,))),
        (spaces.MultiDiscrete([2, 5]), np.array([[0, 4]] * 5), ("int64", (2,), (0.0, 0.0))),
        (spaces.MultiBinary(2), np.array([[0, 1]] * 5, np.int8), ("int8", (2,), (0.0, 0.0))),
        (spaces.Box(-np.inf, 1, (1,)), np.ones((5, 1), np.float32), ("float32", (1,), None)),
    ],
    ids=["discrete", "several", "switches", "half bounded"],
)
def test_action_spaces(space: Any, actions: np.ndarray, spec: tuple, tmp_path: Path) -> None:
    create(episode(actions=actions), action_space=space)
    corpus = imported(tmp_path)
    action = corpus.manifest.action
    assert (action.dtype, action.shape, action.low) == spec
    assert np.array_equal(corpus[0].actions, actions)


def test_jpeg_is_read_and_said(tmp_path: Path) -> None:
    smooth = np.broadcast_to(np.arange(64, dtype=np.uint8)[:, None, None], (6, 64, 48, 3)).copy()
    smooth[3:] += 100
    space = spaces.Box(0, 255, (64, 48, 3), np.uint8)
    create(episode(observations=smooth), observation_space=space, jpeg_encoding=True)
    corpus = imported(tmp_path)
    read = corpus[0].observations["observation"].astype(int)
    assert 0 < np.abs(read - smooth).max() < 30
    assert "JPEG" in corpus.manifest.lineage[-1].settings["converted"][0]


def test_metadata_seeds_and_environment_come_along(tmp_path: Path) -> None:
    with_seed = EpisodeBuffer(
        **{**episode().__dict__, "seed": 12, "options": {"goal": 3, "deep": {"a": 1.5}}}
    )
    plain = episode(4, infos={"qpos": np.zeros((5, 2))})
    dataset = create(with_seed, plain)
    dataset.storage.update_metadata({"env_spec": gymnasium.spec("CartPole-v1").to_json()})
    corpus = imported(tmp_path)
    assert [t.info.seed for t in corpus] == [12, None]
    assert corpus[0].info.metadata == {"options/goal": 3, "options/deep/a": 1.5}
    assert corpus.manifest.environment.task == "CartPole-v1"
    assert corpus.manifest.lineage[-1].settings["converted"] == ["infos/qpos was left out"]


def test_nan_actions_are_missing_only_where_that_is_said(tmp_path: Path) -> None:
    actions = episode().actions.copy()
    actions[1, 0] = np.nan
    create(episode(actions=actions), episode(4, actions=np.full((4, 2), np.nan, np.float32)))
    with pytest.raises(CorpusError, match=r"nan at .* is not a finite number"):
        imported(tmp_path)
    assert not (tmp_path / "back").exists()
    corpus = imported(tmp_path, nan="missing")
    assert [t.action_observed.tolist() for t in corpus] == [[1, 0, 1, 1, 1], [0] * 4]
    assert corpus.label_counts()["missing"] == 1


def test_flags_survive_what_minari_does_to_a_dataset(plain_plan: Callable, tmp_path: Path) -> None:
    labels = ("missing", "partial", "observed")
    plans = tuple({**plain_plan().trajectories[0], "labels": name} for name in labels)
    whole = plain_plan(trajectories=plans, masks=()).write(tmp_path / "corpus")
    export_corpus(whole, f"minari:{ID}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        minari.combine_datasets([minari.load_dataset(ID)], "lab/combined-v0")
    corpus = imported(tmp_path, "lab/combined-v0")
    for one, other in zip(whole, corpus, strict=True):
        assert np.array_equal(one.action_observed, other.action_observed)
        assert one.action_observed.any() or other.actions is None


SPOILED: dict[str, tuple[dict[str, Any], str]] = {
    "no final observation": ({"observations": np.zeros((5, 3), np.float32)}, "5 rows where 6"),
    "too many actions": ({"actions": np.zeros((8, 2), np.float32)}, "8 rows where 5"),
    "too few ends": ({"truncations": np.zeros(4, bool)}, "has shape"),
    "another width": ({"observations": np.zeros((6, 4), np.float32)}, "the space says"),
    "out of range": ({"actions": np.full((5, 2), 3, np.float32)}, "is outside"),
    "text": ({"observations": ["a"] * 6}, "numbers"),
    "whole numbers wanted": ({"rewards": np.full(5, np.nan)}, "not a finite number"),
    "ended before": ({"terminations": np.ones(5, bool)}, "is set at step 0"),
    "ends that are no flags": ({"terminations": np.arange(5)}, "more than flags"),
    "negative seed": ({"seed": -3}, "seed"),
    "infinite": ({"observations": np.full((6, 3), np.inf, np.float32)}, "finite"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_what_minari_lets_through_is_refused(name: str, tmp_path: Path) -> None:
    changed, words = SPOILED[name]
    create(episode(3), episode(**changed))
    with pytest.raises(CorpusError, match=words):
        imported(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["minari"]


def rewrite(root: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = root / ID / "data" / "metadata.json"
    said = json.loads(path.read_text())
    change(said)
    path.write_text(json.dumps(said))


BOX = {"type": "Box", "dtype": "float32", "shape": [3], "low": [-1] * 3, "high": [1] * 3}
LIES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "more episodes": (lambda m: m.update(total_episodes=9), "holds 2 episodes where"),
    "more steps": (lambda m: m.update(total_steps=9), "says 9 steps"),
    "negative": (lambda m: m.update(total_steps=-1), "less than nothing"),
    "another id": (lambda m: m.update(dataset_id="lab/other-v0"), "says that it is"),
    "a future version": (lambda m: m.update(minari_version="9.0.0"), "9.0.0"),
    "no spaces": (lambda m: m.pop("observation_space"), "does not say its spaces"),
    "a huge space": (
        lambda m: m.update(observation_space=json.dumps({**BOX, "shape": [1 << 40]})),
        "damaged Box",
    ),
    "objects": (
        lambda m: m.update(observation_space=json.dumps({**BOX, "dtype": "object"})),
        "damaged Box",
    ),
    "empty": (
        lambda m: m.update(observation_space='{"type": "Dict", "subspaces": {}}'),
        "holds no array",
    ),
    "deep": (
        lambda m: m.update(
            observation_space='{"type":"Tuple","subspaces":[' * 99 + json.dumps(BOX) + "]}" * 99
        ),
        "is not a space",
    ),
    "paths": (
        lambda m: m.update(
            observation_space=json.dumps({"type": "Dict", "subspaces": {"..": BOX}})
        ),
        "has a part called",
    ),
    "two of a name": (
        lambda m: m.update(
            observation_space=json.dumps({"type": "Dict", "subspaces": {"a b": BOX, "a_b": BOX}})
        ),
        "one name",
    ),
    "ours, of the future": (lambda m: m.update(lawm={"version": 2}), "version"),
    "ours, without a manifest": (lambda m: m.update(lawm={"version": 1}), "lawm"),
}


@pytest.mark.parametrize("name", LIES)
def test_metadata_that_lies_is_refused(name: str, root: Path, tmp_path: Path) -> None:
    change, words = LIES[name]
    create(episode(3), episode(4))
    rewrite(root, change)
    with pytest.raises(CorpusError, match=words):
        imported(tmp_path)
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((key, value) for key in ("overlay", "manifest") for value in ([], {}, 0, "", [1])),
        ("masks", 0),
        ("masks", [1]),
    ],
)
def test_what_our_own_export_says_is_not_believed(
    plain_plan: Callable, root: Path, tmp_path: Path, key: str, value: Any
) -> None:
    export_corpus(plain_plan().write(tmp_path / "corpus"), f"minari:{ID}")
    rewrite(root, lambda said: said["lawm"].update({key: value}))
    with pytest.raises(CorpusError, match="lawm"):
        imported(tmp_path)
    assert not (tmp_path / "back").exists()


def _link(file: h5py.File) -> None:
    del file["episode_0/actions"]
    file["episode_0/actions"] = h5py.ExternalLink("/etc/hostname", "actions")


def _elsewhere(file: h5py.File) -> None:
    del file["episode_0/actions"]
    external = [("/etc/hostname", 0, 24)]
    file.create_dataset("episode_0/actions", (3, 2), "f4", external=external)


def _bomb(file: h5py.File) -> None:
    del file["episode_0/actions"]
    file.create_dataset("episode_0/actions", (1 << 40, 2), "f4", chunks=(1024, 2))


def _objects(file: h5py.File) -> None:
    del file["episode_0/actions"]
    kind = h5py.vlen_dtype(np.float32)
    file.create_dataset("episode_0/actions", (3,), kind)


def _gap(file: h5py.File) -> None:
    file.move("episode_1", "episode_7")


@pytest.mark.parametrize("spoil", [_link, _elsewhere, _bomb, _objects, _gap])
def test_hostile_hdf5_is_refused(spoil: Callable, root: Path, tmp_path: Path) -> None:
    create(episode(3), episode(4))
    with h5py.File(root / ID / "data" / "main_data.hdf5", "a") as file:
        spoil(file)
    with pytest.raises(CorpusError):
        imported(tmp_path)
    assert not (tmp_path / "back").exists()


def test_jpeg_of_another_size_is_not_decoded(root: Path, tmp_path: Path) -> None:
    images = np.zeros((6, 64, 48, 3), np.uint8)
    create(
        episode(observations=images),
        observation_space=spaces.Box(0, 255, (64, 48, 3), np.uint8),
        jpeg_encoding=True,
    )
    wanted = json.dumps({**BOX, "dtype": "uint8", "shape": [64, 64, 3]})
    zeros, full = np.zeros((64, 64, 3)).tolist(), np.full((64, 64, 3), 255).tolist()
    wanted = json.dumps({**json.loads(wanted), "low": zeros, "high": full})
    rewrite(root, lambda said: said.update(observation_space=wanted))
    with pytest.raises(CorpusError, match="48 x 64 pixels"):
        imported(tmp_path)


@pytest.mark.parametrize(
    "place", ["", "x", "a/b", "a/b-v0/..", "../b-v0", "/tmp/b-v0", "a//b-v0", "lab/b-vx", "é/b-v0"]
)
def test_ids_that_are_none_are_refused(place: str, plain_plan: Callable, tmp_path: Path) -> None:
    whole = plain_plan().write(tmp_path / "corpus")
    for act in (
        lambda: export_corpus(whole, f"minari:{place}"),
        lambda: import_corpus(f"minari:{place}", tmp_path / "back"),
    ):
        with pytest.raises(ConfigError):
            act()
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


def test_no_dataset_inside_another(plain_plan: Callable, tmp_path: Path) -> None:
    whole = plain_plan().write(tmp_path / "corpus")
    export_corpus(whole, f"minari:{ID}")
    with pytest.raises(LawmError, match="inside a dataset"):
        export_corpus(whole, f"minari:{ID}/inner-v0")


def test_chunks_make_one_dataset(
    plain_plan: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lawm_data.exchange.formats.minari.write.CHUNK_EPISODES", 3)
    one = plain_plan().trajectories[0]
    whole = plain_plan(trajectories=(one,) * 10).write(tmp_path / "corpus")
    export_corpus(whole, f"minari:{ID}")
    assert minari.load_dataset(ID).total_episodes == 10
    assert imported(tmp_path).fingerprint == whole.fingerprint
