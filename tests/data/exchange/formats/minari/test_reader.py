"""Datasets that others wrote."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import numpy as np
import pytest
from gymnasium import spaces
from lawm_schemas import ConfigError, CorpusError
from minari.data_collector import EpisodeBuffer
from minari_sets import BOUNDED, FREE, ID, create, episode, imported

from lawm_data.exchange import export_corpus


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


def test_metadata_seeds_and_environment_come_along(tmp_path: Path) -> None:
    with_seed = EpisodeBuffer(
        **{**episode().__dict__, "seed": 12, "options": {"goal": 3, "deep": {"a": 1.5}}}
    )
    plain = episode(4, infos={"qpos": np.zeros((5, 2))})
    dataset = create(with_seed, plain)
    dataset.storage.update_metadata({"env_spec": gymnasium.spec("CartPole-v1").to_json()})
    corpus = imported(tmp_path)
    assert [t.info.seed for t in corpus] == [12, None]
    assert corpus[0].info.metadata == {"options": {"goal": 3, "deep": {"a": 1.5}}}
    assert corpus.manifest.environment.task == "CartPole-v1"
    assert corpus.manifest.lineage[-1].settings["converted"] == ["infos/qpos was left out"]


@pytest.mark.parametrize("storage", ["hdf5", "arrow", "parquet"])
def test_options_of_a_reset_are_the_same_from_every_storage(storage: str, tmp_path: Path) -> None:
    if storage != "hdf5":
        pytest.importorskip("pyarrow")
    goal = np.array([[1.0, 2.0], [3.0, 0.5]])
    options = {"goal": goal, "mode": "x", "n": {"deep": 3, "names": ["a", "é"]}, "on": True}
    create(episode(options=options, seed=3), data_format=storage)
    (one,) = imported(tmp_path)
    assert one.info.metadata == {"options": {**options, "goal": goal.tolist()}}


def test_options_that_no_corpus_keeps_are_named(root: Path, tmp_path: Path) -> None:
    create(episode(options={"map": np.zeros(5000), "a": {"b": 2}}), episode(4))
    with h5py.File(root / ID / "data" / "main_data.hdf5", "a") as file:
        file["episode_0"].attrs.update({"options/a": 1, "best": np.nan, "options/a/b/c": 3})
    corpus = imported(tmp_path)
    assert corpus[0].info.metadata == {
        "options": {"a": 1},
        "options/a/b": 2,
        "options/a/b/c": 3,
    }
    notes = corpus.manifest.lineage[-1].settings["converted"]
    for name in ("options/map", "best"):
        assert f"the attribute {name!r} of episodes is long or not plain: left out" in notes


@pytest.mark.parametrize(
    ("task", "settings", "named"),
    [
        ("FrozenLake-v1", {}, True),  # registered with settings
        ("Pendulum-v1", {"max_episode_steps": 40}, False),
        ("Pendulum-v1", {"g": 9.81}, False),
    ],
    ids=str,
)
def test_an_environment_is_named_where_its_id_alone_makes_it(
    task: str, settings: dict, named: bool, tmp_path: Path
) -> None:
    spec = gymnasium.make(task, **settings).spec
    assert spec is not None
    create(episode()).storage.update_metadata({"env_spec": spec.to_json()})
    manifest = imported(tmp_path).manifest
    assert (manifest.environment and manifest.environment.task) == (task if named else None)
    notes = manifest.lineage[-1].settings.get("converted", [])
    assert any("has settings of its own" in note for note in notes) == (not named)


@pytest.mark.parametrize("change", [{"kwargs": [1]}, {"additional_wrappers": 3}], ids=str)
def test_settings_that_cannot_be_read_name_no_environment(change: dict, tmp_path: Path) -> None:
    spec = {**json.loads(gymnasium.spec("Pendulum-v1").to_json()), **change}
    create(episode()).storage.update_metadata({"env_spec": json.dumps(spec)})
    assert imported(tmp_path).manifest.environment is None


def test_a_declared_environment_goes_before_that_of_the_dataset(tmp_path: Path) -> None:
    create(episode()).storage.update_metadata({"env_spec": gymnasium.spec("CartPole-v1").to_json()})
    corpus = imported(tmp_path, env="walker-walk", action_repeat=2)
    environment = corpus.manifest.environment
    assert (environment.suite, environment.task) == ("dm_control", "walker-walk")
    assert environment.action_repeat == 2


def test_nan_actions_are_missing_only_where_that_is_declared(tmp_path: Path) -> None:
    actions = episode().actions.copy()
    actions[1, 0] = np.nan
    create(episode(actions=actions), episode(4, actions=np.full((4, 2), np.nan, np.float32)))
    with pytest.raises(CorpusError, match=r"nan at .* is not a finite number"):
        imported(tmp_path)
    assert not (tmp_path / "back").exists()
    corpus = imported(tmp_path, nan="missing")
    assert [t.action_observed.tolist() for t in corpus] == [[1, 0, 1, 1, 1], [0] * 4]
    assert corpus.label_counts()["missing"] == 1


def test_only_numbers_that_mean_something_are_rounded(tmp_path: Path) -> None:
    actions = np.arange(10).reshape(5, 2) / 16
    actions[1] = np.nan, 0.1
    create(episode(actions=actions))
    corpus = imported(tmp_path, nan="missing")
    assert "converted" not in corpus.manifest.lineage[-1].settings
    actions[1] = 0.5, 0.1
    create(episode(actions=actions), name="lab/arm-v1")
    corpus = imported(tmp_path / "more", name="lab/arm-v1")
    note = "actions: float64 numbers were rounded to float32"
    assert corpus.manifest.lineage[-1].settings["converted"] == [note]


SCRAMBLED: dict[str, tuple[Any, np.ndarray, str]] = {
    "channels last": (
        spaces.Box(0, 255, (3, 40, 40), np.uint8),
        np.zeros((6, 40, 40, 3), np.uint8),
        r"has shape \(40, 40, 3\) where the space says \(3, 40, 40\)",
    ),
    "turned": (
        spaces.Box(-9, 9, (2, 3)),
        np.zeros((6, 3, 2), np.float32),
        r"has shape \(3, 2\) where the space says \(2, 3\)",
    ),
    "flat": (
        spaces.Box(-9, 9, (2, 3)),
        np.zeros((6, 6), np.float32),
        r"has shape \(6,\) where the space says \(2, 3\)",
    ),
}


@pytest.mark.parametrize("kind", SCRAMBLED)
def test_as_many_numbers_in_another_order_are_refused(kind: str, tmp_path: Path) -> None:
    space, stored, words = SCRAMBLED[kind]
    create(episode(observations=stored), observation_space=space)
    with pytest.raises(CorpusError, match=f"observations: {words}"):
        imported(tmp_path)
    with_more = spaces.Dict({"x": space, "y": FREE})
    seen = {"x": stored, "y": episode().observations}
    create(episode(observations=seen), name="lab/arm-v1", observation_space=with_more)
    with pytest.raises(
        CorpusError, match=rf"observations/x: {words}.*or leave it out with --without x"
    ):
        imported(tmp_path, name="lab/arm-v1")
    assert len(imported(tmp_path, name="lab/arm-v1", without="x")) == 1
    if stored.dtype == np.float32:
        create(episode(actions=stored[1:]), name="lab/arm-v2", action_space=space)
        with pytest.raises(CorpusError, match=f"actions: {words}"):
            imported(tmp_path / "actions", name="lab/arm-v2")


@pytest.mark.parametrize("shape", [(1, 3), (3, 1), (1, 3, 1)])
def test_axes_of_one_are_no_other_order(shape: tuple[int, ...], tmp_path: Path) -> None:
    made = episode()
    create(episode(observations=made.observations.reshape(6, *shape)))
    (one,) = imported(tmp_path)
    np.testing.assert_array_equal(one.observations["observation"], made.observations)


VECTOR = np.array([[0, 0], [0, 1.02], [-3, 0], [0, 0], [0, 0]], np.float32)
OUTSIDE: dict[str, tuple[Any, Any, Any, str]] = {
    "a box": (BOUNDED, VECTOR, VECTOR, r"1\.02 at step 1 is outside \[-1, 1\]"),
    "a choice": (
        spaces.Discrete(3),
        np.array([0, 1, 2, 3, -2]),
        np.array([0, 1, 2, 3, -2]),
        r"3 at step 3 is outside \[0, 2\]",
    ),
    "several choices": (
        spaces.MultiDiscrete([2, 4]),
        np.array([[0, 0], [1, 3], [2, 3], [0, 0], [0, 0]]),
        np.array([[0, 0], [1, 3], [2, 3], [0, 0], [0, 0]]),
        r"2 at step 2 is outside \[0, 1\]",
    ),
    "parts": (
        spaces.Dict({"arm": BOUNDED, "hand": spaces.Box(0, 1, (1,))}),
        {"arm": VECTOR[:, ::-1] / 4, "hand": np.arange(5, dtype=np.float32)[:, None]},
        np.column_stack([VECTOR[:, ::-1] / 4, np.arange(5, dtype=np.float32)]),
        r"2 at step 2 is outside \[0, 1\]",
    ),
}


@pytest.mark.parametrize("kind", OUTSIDE)
def test_an_action_out_of_bounds_costs_a_declaration_and_no_dataset(
    kind: str, tmp_path: Path
) -> None:
    space, stored, expected, words = OUTSIDE[kind]
    create(episode(actions=stored), action_space=space)
    mend = r"; clip it, or declare the bounds of the environment: --set low=… --set high=…"
    with pytest.raises(CorpusError, match=rf"episode_0.*actions: {words}{mend}"):
        imported(tmp_path)
    with pytest.raises(CorpusError, match=r"is outside \[0, 1\]"):  # not wide enough
        imported(tmp_path, low=0, high=1)
    corpus = imported(tmp_path, low=-3, high=4.5)
    (one,) = corpus
    np.testing.assert_array_equal(one.actions, expected)
    action = corpus.manifest.action
    assert (action.low, action.high) == ((-3.0,) * action.size, (4.5,) * action.size)


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"low": -2}, "low -2 and high None"), ({"low": 1, "high": 0}, "low 1 and high 0")],
)
def test_bounds_that_make_no_sense_are_refused(
    settings: dict[str, Any], words: str, tmp_path: Path
) -> None:
    create(episode())
    with pytest.raises(ConfigError, match=f"bounds: {words}; give two numbers"):
        imported(tmp_path, **settings)


def test_bounds_of_an_export_are_known(root: Path, tmp_path: Path) -> None:
    create(episode())
    whole = imported(tmp_path / "whole")
    shutil.rmtree(root / ID)
    export_corpus(whole, f"minari:{ID}")
    for settings in ({"low": -1}, {"high": 1}, {"env": "walker-walk"}, {"action_repeat": 2}):
        with pytest.raises(ConfigError, match=r"is a setting of other people's datasets.*leave"):
            imported(tmp_path, **settings)


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
    "infinite": ({"observations": np.full((6, 3), np.inf, np.float32)}, "finite"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_what_minari_lets_through_is_refused(name: str, tmp_path: Path) -> None:
    changed, words = SPOILED[name]
    create(episode(3), episode(**changed))
    with pytest.raises(CorpusError, match=words):
        imported(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["minari"]


@pytest.mark.parametrize("storage", ["hdf5", "arrow", "parquet"])
def test_seeds_of_resets_without_a_seed(storage: str, tmp_path: Path) -> None:
    seeds = [None, 0, 2**63 - 1, 2**63, 11775623750692241360, 2**64 - 1]
    create(*(episode(3 + i, seed=seed) for i, seed in enumerate(seeds)), data_format=storage)
    assert [t.info.seed for t in imported(tmp_path)] == seeds


def test_seeds_that_no_corpus_holds_stand_in_the_metadata(tmp_path: Path) -> None:
    create(episode(3, seed=2**70), episode(4, seed=-3), data_format="arrow")
    corpus = imported(tmp_path)
    assert [t.info.seed for t in corpus] == [None, None]
    assert [t.info.metadata for t in corpus] == [{"reset_seed": 2**70}, {"reset_seed": -3}]
    (note,) = corpus.manifest.lineage[-1].settings["converted"]
    assert "seeds" in note


INFOS: dict[str, Callable[[int], Any]] = {
    "numbers": lambda rows: np.arange(float(rows)),
    "flags": lambda rows: np.zeros(rows, bool),
    "rows": lambda rows: np.zeros((rows, 2)),
    "nested": lambda rows: {"numbers": np.arange(rows)},
}


@pytest.mark.parametrize("storage", ["hdf5", "arrow", "parquet"])
@pytest.mark.parametrize("names", [[name] for name in INFOS] + [[*INFOS]])
def test_infos_that_are_left_out_never_cost_a_set(
    names: list[str], storage: str, tmp_path: Path
) -> None:
    made = [episode(t, infos={name: INFOS[name](t + 1) for name in names}) for t in (5, 7)]
    create(*made, data_format=storage)
    corpus = imported(tmp_path)
    for one, theirs in zip(corpus, made, strict=True):
        assert np.array_equal(one.observations["observation"], theirs.observations)
        assert np.array_equal(one.actions, theirs.actions)
        assert np.array_equal(one.rewards, theirs.rewards)
        assert one.info.terminated
    notes = corpus.manifest.lineage[-1].settings["converted"]
    assert sorted(notes) == sorted(f"infos/{name} was left out" for name in names)


@pytest.mark.parametrize("name", ["camera", "joints"])
@pytest.mark.parametrize("ours", [False, True])
def test_one_array_never_costs_the_dataset(
    name: str, ours: bool, root: Path, tmp_path: Path
) -> None:
    pixels = gymnasium.spaces.Box(0, 255, (16, 16, 3), np.uint8)
    space = gymnasium.spaces.Dict({"joints": FREE, "camera": pixels})
    seen = {"joints": np.ones((6, 3), np.float32), "camera": np.full((6, 16, 16, 3), 7, np.uint8)}
    create(episode(observations=seen), observation_space=space)
    if ours:
        whole = imported(tmp_path / "whole")
        shutil.rmtree(root / ID)
        export_corpus(whole, f"minari:{ID}")
    with h5py.File(root / ID / "data" / "main_data.hdf5", "a") as file:
        del file[f"episode_0/observations/{name}"]
        file[f"episode_0/observations/{name}"] = "nothing of this kind"
    with pytest.raises(CorpusError, match=name):
        imported(tmp_path)
    corpus = imported(tmp_path, without=name)
    assert {spec.name for spec in corpus.manifest.observations} == {"camera", "joints"} - {name}
    assert len(corpus) == 1
    assert f"left out: {name}" in corpus.manifest.lineage[-1].settings["converted"]
    with pytest.raises(ConfigError, match=r"no array 'nose'; there are .*camera"):
        imported(tmp_path / "more", without="nose")
    with pytest.raises(ConfigError, match="leaves nothing"):
        imported(tmp_path / "more", without="camera,joints")
