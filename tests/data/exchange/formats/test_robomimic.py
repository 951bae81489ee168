from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lawm_schemas import ArraySpec, ConfigError, CorpusError, LabelState, Role

from lawm_data import open_corpus
from lawm_data.corpus.integrity.validate import validate
from lawm_data.exchange import export_corpus, import_corpus

ENV_ARGS = {"env_name": "Lift", "type": 1, "env_kwargs": {"robots": ["Panda"]}}
IMAGE = ArraySpec(name="pixels", shape=(8, 8, 3), dtype="uint8", role=Role.pixels)
PHYSICS = ArraySpec(name="physics", shape=(4,), dtype="float64", role=Role.physics)


def recorded(steps: int, seed: int) -> dict[str, Any]:
    """The arrays of a demonstration, as the published data sets have them."""
    rng = np.random.default_rng(seed)
    eef, image = rng.standard_normal((steps + 1, 3)), rng.integers(0, 256, (steps + 1, 8, 8, 3))
    return {
        "actions": rng.uniform(-1, 1, (steps, 7)),
        "rewards": rng.random(steps),
        "dones": (np.arange(steps) == steps - 1).astype(int) * (seed % 2),
        "states": rng.standard_normal((steps, 5)),
        "obs/eef_pos": eef[:-1],
        "next_obs/eef_pos": eef[1:],
        "obs/agentview_image": image[:-1].astype("u1"),
        "next_obs/agentview_image": image[1:].astype("u1"),
    }


def write(
    path: Path, demos: list[dict[str, Any]], masks: dict[str, list[int]] | None = None
) -> str:
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["total"] = sum(len(demo["obs/eef_pos"]) for demo in demos)
        data.attrs["env_args"] = json.dumps(ENV_ARGS)
        for i, arrays in enumerate(demos):
            demo = data.create_group(f"demo_{i}")
            demo.attrs["num_samples"] = len(arrays["obs/eef_pos"])
            demo.attrs["model_file"] = "<mujoco/>"
            for name, array in arrays.items():
                demo[name] = array
        for key, members in (masks or {}).items():
            file[f"mask/{key}"] = np.array([f"demo_{i}" for i in members], "S")
    return f"robomimic:{path}"


@settings(max_examples=30)
@given(
    lengths=st.lists(st.integers(2, 20), min_size=1, max_size=12),
    next_obs=st.booleans(),
    rewarded=st.booleans(),
    unlabeled=st.sets(st.integers(1, 11)),
)
def test_demonstrations_become_trajectories(
    tmp_path_factory: pytest.TempPathFactory,
    lengths: list[int],
    next_obs: bool,
    rewarded: bool,
    unlabeled: set[int],
) -> None:
    folder = tmp_path_factory.mktemp("robomimic")
    demos = [recorded(n, i) for i, n in enumerate(lengths)]
    absent = [] if rewarded else ["rewards"]
    absent += [] if next_obs else ["next_obs/eef_pos", "next_obs/agentview_image"]
    kept = [
        {
            k: v
            for k, v in demo.items()
            if k not in absent and (k != "actions" or i not in unlabeled)
        }
        for i, demo in enumerate(demos)
    ]
    train = list(range(0, len(demos), 2))
    made = import_corpus(
        write(folder / "a.hdf5", kept, {"train": train, "first": [0]}), folder / "corpus"
    )
    corpus = open_corpus(folder / "corpus")
    assert not list(validate(folder / "corpus"))
    assert not corpus.masks()
    assert any("there is no next_obs" in note for note in made.notes) != next_obs
    for i, (trajectory, demo) in enumerate(zip(corpus, demos, strict=True)):
        steps = lengths[i]
        assert trajectory.final_observed == next_obs
        for name in ("eef_pos", "agentview_image"):
            last = demo[f"{'next_obs' if next_obs else 'obs'}/{name}"][-1:]
            expected = np.concatenate([demo[f"obs/{name}"], last])
            np.testing.assert_array_equal(trajectory.observations[name], expected)
            assert trajectory.observations[name].dtype == expected.dtype
        rewards = demo["rewards"] if rewarded else np.zeros(lengths[i])
        np.testing.assert_array_equal(trajectory.rewards, rewards[:steps].astype("f4"))
        assert corpus.table.rewarded[i] == rewarded
        if i in unlabeled:
            assert trajectory.labels is LabelState.missing
            assert trajectory.actions is None
        else:
            np.testing.assert_array_equal(trajectory.actions, demo["actions"][:steps])
        assert trajectory.info.terminated == (i % 2 == 1)
        assert trajectory.info.truncated != trajectory.info.terminated
        keys = [key for key, members in (("first", [0]), ("train", train)) if i in members]
        assert trajectory.info.metadata.get("filter_keys", []) == keys
        assert trajectory.info.metadata["demo"] == f"demo_{i}"


def test_what_else_is_known_is_kept_or_named(tmp_path: Path) -> None:
    early = recorded(5, 0) | {"dones": np.array([0, 1, 1, 1, 1]), "abs_actions": np.zeros((5, 7))}
    address = write(tmp_path / "a.hdf5", [early])
    made = import_corpus(address, tmp_path / "corpus")
    corpus = open_corpus(tmp_path / "corpus")
    assert corpus.manifest.provenance[0].settings == {"env_args": ENV_ARGS}
    assert corpus.manifest.action.high == (1.0,) * 7
    assert corpus[0].info.metadata == {"demo": "demo_0", "first_done": 1}
    assert "not kept: abs_actions, states, model_file" in made.notes
    assert not any("attributes" in note for note in made.notes)
    # and robomimic's own words about the environment go back as they came
    export_corpus(corpus, f"robomimic:{tmp_path / 'b.hdf5'}")
    with h5py.File(tmp_path / "b.hdf5") as file:
        assert json.loads(file["data"].attrs["env_args"]) == ENV_ARGS


@pytest.mark.parametrize("i", range(3))
def test_what_any_demonstration_loses_is_named(tmp_path: Path, i: int) -> None:
    address = write(tmp_path / "a.hdf5", [recorded(5, n) for n in range(3)])
    with h5py.File(tmp_path / "a.hdf5", "r+") as file:
        demo = file[f"data/demo_{i}"]
        demo["extra"], demo["group/within"], demo["a_link"] = 0, 1, h5py.SoftLink("/nowhere")
        demo.attrs["long"] = np.zeros(5000)
    made = import_corpus(address, tmp_path / "corpus")
    lines = [note for note in made.notes if note.startswith("not kept")]
    names = {name for line in lines for name in line.partition(": ")[2].split(", ")}
    assert names == {"extra", "group", "a_link", "states", "long", "model_file"}
    assert "long" in (lines[0] if i == 0 else lines[1]).partition(": ")[2].split(", ")
    assert len(lines) == (1 if i == 0 else 2)
    assert i == 0 or lines[1] == f"not kept of demo_{i}: long"
    converted = open_corpus(tmp_path / "corpus").manifest.lineage[-1].settings["converted"]
    assert set(lines) <= set(converted)
    planned = import_corpus(address, tmp_path / "more", dry_run=True)
    (line,) = [note for note in planned.notes if note.startswith("not kept")]
    assert {"extra", "group", "a_link"} <= {*line.partition(": ")[2].split(", ")}


def as_robomimic_reads(path: Path, key: str | None = None) -> dict[str, dict[str, Any]]:
    """Its published rules: which demonstrations, in which order, which arrays."""
    with h5py.File(path, "r", swmr=True, libver="latest") as file:
        names = list(file["data"]) if key is None else [n.decode() for n in file[f"mask/{key}"][:]]
        found = {}
        for name in sorted(names, key=lambda name: int(name[5:])):
            demo = file["data"][name]
            arrays: dict[str, Any] = {"steps": int(demo.attrs["num_samples"])}
            for array in ("actions", "rewards", "dones"):
                arrays[array] = demo[array][()].astype("f4")  # an absent one would be zeros
            for group in ("obs", "next_obs"):
                arrays[group] = {k: demo[group][k][()] for k in demo[group]}
            found[name] = arrays
        assert sum(arrays["steps"] for arrays in found.values()) <= file["data"].attrs["total"]
        return found


def test_robomimic_reads_what_is_labeled_and_nothing_else(
    tmp_path: Path, plain_plan: Callable
) -> None:
    one = plain_plan().trajectories[0]
    kinds = ("observed", "missing", "partial", "observed", "missing", "observed")
    plan = plain_plan(
        observations=(*plain_plan().observations, IMAGE, PHYSICS),
        trajectories=tuple(
            {**one, "length": 3 + i, "labels": labels, "terminated": i == 3}
            for i, labels in enumerate(kinds)
        ),
        masks=(0.4,),
    )
    corpus = plan.write(tmp_path / "corpus")
    written = export_corpus(corpus, f"robomimic:{tmp_path / 'a.hdf5'}")
    assert any("3 trajectories without all their actions" in note for note in written.notes)
    read = as_robomimic_reads(tmp_path / "a.hdf5")
    labeled = [i for i, kind in enumerate(kinds) if kind == "observed"]
    assert list(read) == [f"demo_{i}" for i in labeled]
    for i, demo in zip(labeled, read.values(), strict=True):
        trajectory = corpus[i]
        assert demo["steps"] == len(trajectory)
        np.testing.assert_array_equal(demo["actions"], trajectory.actions)
        np.testing.assert_array_equal(demo["rewards"], trajectory.rewards)
        assert demo["dones"].tolist() == [0.0] * (len(trajectory) - 1) + [float(i == 3)]
        assert set(demo["obs"]) == {"position", "z", "pixels"}
        for name, array in trajectory.observations.items():
            flat = array.reshape(len(array), -1) if array.ndim == 1 else array
            np.testing.assert_array_equal(demo["obs"][name], flat[:-1])
            np.testing.assert_array_equal(demo["next_obs"][name], flat[1:])
    (mask,) = corpus.masks().values()
    chosen = [f"demo_{i}" for i in labeled if corpus[i].info.id in mask.labeled]
    assert list(as_robomimic_reads(tmp_path / "a.hdf5", mask.name)) == chosen
    with h5py.File(tmp_path / "a.hdf5") as file:
        assert [file["unlabeled"][f"demo_{i}"].attrs["labels"] for i in (1, 4)] == ["missing"] * 2
        assert "actions" not in file["unlabeled/demo_1"]
        assert file["unlabeled/demo_2/actions"].shape == (int(corpus[2].action_observed.sum()), 2)
        states = file["data/demo_0/states"][()]
    assert corpus[0].physics is not None
    np.testing.assert_array_equal(states, corpus[0].physics[:-1])


def exported(tmp_path: Path, plain_plan: Callable) -> Path:
    corpus = plain_plan().write(tmp_path / "corpus")
    export_corpus(corpus, f"robomimic:{tmp_path / 'a.hdf5'}")
    return tmp_path / "a.hdf5"


def test_filter_keys_of_others_do_not_become_masks(tmp_path: Path, plain_plan: Callable) -> None:
    path = exported(tmp_path, plain_plan)
    with h5py.File(path, "r+") as file:
        file["mask/valid"] = file["mask/mask-0"][()][::-1]
    made = import_corpus(f"robomimic:{path}", tmp_path / "back")
    assert list(open_corpus(tmp_path / "back").masks()) == ["mask-0"]
    assert any("did not write are left out: valid" in note for note in made.notes)
    with h5py.File(path, "r+") as file:
        file["mask/mask-0"][:] = np.array([b"demo_3"] * len(file["mask/mask-0"]))
    made = import_corpus(f"robomimic:{path}", tmp_path / "changed")
    assert not open_corpus(tmp_path / "changed").masks()
    assert any("mask-0 was changed after the export" in note for note in made.notes)


def test_demonstrations_that_were_added_are_refused(tmp_path: Path, plain_plan: Callable) -> None:
    path = exported(tmp_path, plain_plan)
    with h5py.File(path, "r+") as file:
        file.copy("data/demo_0", "data/demo_9")
    with pytest.raises(CorpusError, match=r"demo_9: was added or removed .* remove the group lawm"):
        import_corpus(f"robomimic:{path}", tmp_path / "back")
    with h5py.File(path, "r+") as file:
        del file["lawm"]
    import_corpus(f"robomimic:{path}", tmp_path / "back")
    assert len(open_corpus(tmp_path / "back")) == 5


def test_what_the_file_says_cannot_be_declared(tmp_path: Path, plain_plan: Callable) -> None:
    path = exported(tmp_path, plain_plan)
    with pytest.raises(ConfigError, match="env: is known from the file itself"):
        import_corpus(f"robomimic:{path}", tmp_path / "back", {"env": "walker-walk"})
    with pytest.raises(ConfigError, match=r"let it end in \.hdf5"):
        export_corpus(open_corpus(tmp_path / "corpus"), f"robomimic:{tmp_path / 'a.zip'}")


def changed(**arrays: Any) -> Callable[[Path], None]:
    """The second of three demonstrations with other arrays; None takes one away."""

    def make(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            demo = file["data/demo_1"]
            for name, array in arrays.items():
                if name in demo:
                    del demo[name]
                if array is not None:
                    demo[name] = array

    return make


def edited(change: Callable[[h5py.File], Any]) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            change(file)

    return make


def with_num_samples(number: int) -> Callable[[Path], None]:
    return edited(lambda file: file["data/demo_1"].attrs.modify("num_samples", number))


def link(file: h5py.File) -> None:
    del file["data/demo_1"]
    file["data/demo_1"] = h5py.ExternalLink("/etc/passwd", "/data/demo_1")


def mask(*names: str) -> Callable[[Path], None]:
    return edited(lambda file: file.create_dataset("mask/m", data=np.array(names, "S")))


EEF = "obs/eef_pos"
WRONG = {
    "too few actions": (changed(actions=np.zeros((4, 7))), "actions: has 4 rows where 5 are due"),
    "too many rewards": (changed(rewards=np.zeros(6)), "rewards: has 6 rows where 5 are due"),
    "wide rewards": (changed(rewards=np.zeros((5, 2))), "not one number a row"),
    "NaN done": (changed(actions=np.full((5, 7), np.nan)), "actions: row 0 holds a number that"),
    "NaN observed": (changed(**{EEF: np.full((5, 3), np.inf)}), "eef_pos: row 0 holds a number"),
    "another width": (changed(**{EEF: np.zeros((5, 4))}), r"others of float64 \(3,\)"),
    "another type": (changed(**{EEF: np.zeros((5, 3), "f4")}), "has rows of float32"),
    "another end": (changed(**{EEF: np.zeros((5, 3))}), "row 0 is not row 1 of obs/eef_pos"),
    "no observations": (changed(obs=None), "data/demo_1/obs/.*: is missing"),
    "one more observation": (
        changed(**{"obs/depth": np.zeros((5, 1))}),
        "data/demo_1/obs/depth: is not in the first demonstration; all demonstrations hold",
    ),
    "no next ones": (changed(next_obs=None), "next_obs/.*: is missing"),
    "fewer than counted": (with_num_samples(6), "has 5 rows where num_samples says 6"),
    "a negative count": (with_num_samples(-5), "has 5 rows where num_samples says -5"),
    "dones of other numbers": (changed(dones=np.full(5, 7)), "dones: holds numbers other than 0"),
    "objects": (changed(rewards=["a"] * 5), "rewards: has type object, not numbers"),
    "a link": (edited(link), "data/demo_1: is a link to another place"),
    "another name": (edited(lambda f: f.move("data/demo_1", "data/x")), "is not named like demo_0"),
    "a mask of many": (mask(*["demo_0"] * 9), "mask/m: lists 9 names where 3 can be"),
}


@pytest.mark.parametrize(("make", "message"), WRONG.values(), ids=WRONG.keys())
def test_files_that_are_wrong_are_refused_and_nothing_is_written(
    tmp_path: Path, make: Callable[[Path], None], message: str
) -> None:
    address = write(tmp_path / "a.hdf5", [recorded(5, i) for i in range(3)])
    make(tmp_path / "a.hdf5")
    with pytest.raises(CorpusError, match=message) as caught:
        import_corpus(address, tmp_path / "corpus")
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "a.hdf5") in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a.hdf5"]


@pytest.mark.parametrize(
    "name",
    ["rewards", "next_obs"],
)
def test_what_only_a_later_demonstration_has_is_not_lost(tmp_path: Path, name: str) -> None:
    address = write(tmp_path / "a.hdf5", [recorded(5, i) for i in range(2)])
    with h5py.File(tmp_path / "a.hdf5", "r+") as file:
        del file[f"data/demo_0/{name}"]
    with pytest.raises(CorpusError, match=f"demo_1/{name}: is not in the first demonstration"):
        import_corpus(address, tmp_path / "corpus")


def test_files_without_observations(tmp_path: Path) -> None:
    address = write(tmp_path / "a.hdf5", [recorded(5, 0)])
    with h5py.File(tmp_path / "a.hdf5", "r+") as file:
        del file["data/demo_0/obs"]
    with pytest.raises(CorpusError, match="demo_0/obs: holds no observations; let robomimic's"):
        import_corpus(address, tmp_path / "corpus")


def test_nested_observations_and_attributes(tmp_path: Path) -> None:
    demo = recorded(5, 1) | {"obs/camera/rgb": np.zeros((5, 8, 8, 3), "u1")}
    demo["next_obs/camera/rgb"] = demo["obs/camera/rgb"]
    address = write(tmp_path / "a.hdf5", [demo, demo | {"rewards": np.ones(5)}])
    with h5py.File(tmp_path / "a.hdf5", "r+") as file:
        for i, said in enumerate(("open the drawer", "close it")):
            attributes = file[f"data/demo_{i}"].attrs
            attributes["ep_meta"] = json.dumps({"lang": said})
            attributes["success"], attributes["seed"] = bool(i), 2**63 + i
            attributes["init_state"], attributes["states"] = np.zeros(9), np.zeros(5000)
            attributes["rewards"], attributes["none"] = "none", h5py.Empty("f")
        file["data"].attrs["problem_info"] = json.dumps({"language_instruction": "tidy up"})
        file.attrs["robot"], file.attrs["far"] = np.bytes_("arm"), np.zeros(5000)
        file["data"].attrs["wide"] = np.zeros(5000)
    made = import_corpus(address, tmp_path / "corpus")
    corpus = open_corpus(tmp_path / "corpus")
    assert {spec.name: spec.role for spec in corpus.manifest.observations}["camera.rgb"] == "pixels"
    assert any("camera.rgb" in note for note in made.notes)
    for i, said in enumerate(("open the drawer", "close it")):
        metadata = corpus[i].info.metadata
        assert metadata["ep_meta"] == {"lang": said}
        assert (metadata["success"], metadata["init_state"]) == (bool(i), [0.0] * 9)
        assert corpus[i].info.seed == 2**63 + i
        assert corpus[i].is_rewarded  # an attribute of that name says nothing
    settings = corpus.manifest.provenance[0].settings
    assert settings["problem_info"] == {"language_instruction": "tidy up"}
    assert settings["robot"] == "arm"
    (note,) = [note for note in made.notes if note.startswith("not kept")]
    assert {"none", "states", "model_file", "far", "wide"} <= {
        *note.removeprefix("not kept: ").split(", ")
    }


def test_what_is_wrong_beside_the_demonstrations_costs_nothing(tmp_path: Path) -> None:
    address = write(tmp_path / "a.hdf5", [recorded(5, i) for i in range(3)])
    with h5py.File(tmp_path / "a.hdf5", "r+") as file:
        file["data"].attrs["env_args"] = "{'env_name': 'Lift'}"
        file["mask/train"] = ["demo_0", "demo_2"]  # texts of any length, as h5py writes them
        file["mask/gone"] = np.array(["demo_7"], "S")
    made = import_corpus(address, tmp_path / "corpus")
    corpus = open_corpus(tmp_path / "corpus")
    keys = [t.info.metadata.get("filter_keys") for t in corpus]
    assert keys == [["train"], None, ["train"]]
    assert any("that are not there: gone" in note for note in made.notes)
    export_corpus(corpus, f"robomimic:{tmp_path / 'b.hdf5'}")
    with h5py.File(tmp_path / "b.hdf5") as file:
        assert file["data"].attrs["env_args"] == "{'env_name': 'Lift'}"


def test_a_camera_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    address = write(tmp_path / "a.hdf5", [recorded(5, i) for i in range(2)])
    with h5py.File(tmp_path / "a.hdf5", "r+") as file:
        for group in ("obs", "next_obs"):
            del file[f"data/demo_1/{group}/agentview_image"]
            file[f"data/demo_1/{group}/agentview_image"] = h5py.SoftLink("/nowhere")
    with pytest.raises(CorpusError, match=r"link .*, or leave it out with --without agentview_im"):
        import_corpus(address, tmp_path / "corpus")
    import_corpus(address, tmp_path / "corpus", without=["agentview_image"])
    corpus = open_corpus(tmp_path / "corpus")
    assert [spec.name for spec in corpus.manifest.observations] == ["eef_pos"]
    export_corpus(corpus, f"robomimic:{tmp_path / 'b.hdf5'}")
    with pytest.raises(ConfigError, match="leaves nothing"):
        import_corpus(f"robomimic:{tmp_path / 'b.hdf5'}", tmp_path / "x", without=["eef_pos"])


def test_without_rewards_and_ends_the_last_action_is_all_that_is_lost(tmp_path: Path) -> None:
    demo = {k: v for k, v in recorded(5, 1).items() if k in ("actions", "obs/eef_pos")}
    made = import_corpus(write(tmp_path / "a.hdf5", [demo]), tmp_path / "corpus")
    (trajectory,) = open_corpus(tmp_path / "corpus")
    assert (len(trajectory), trajectory.final_observed) == (4, True)
    assert any("the last step of each demonstration was left out" in note for note in made.notes)
