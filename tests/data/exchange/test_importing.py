from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from lawm_schemas import ArraySpec, ConfigError, CorpusError, Provenance, Role

from lawm_data import Corpus, CorpusWriter, make_mask, open_corpus, save_mask
from lawm_data.corpus.integrity.validate import validate
from lawm_data.exchange import export_corpus, import_corpus
from lawm_data.exchange.formats.d4rl import GROUP


@pytest.fixture
def exported(random_corpus: Callable[..., Corpus], tmp_path: Path) -> Path:
    path = tmp_path / "a.hdf5"
    export_corpus(random_corpus(unlabeled=(2,)), f"d4rl:{path}")
    return path


def test_the_lineage_keeps_the_source_its_checksum_and_the_notes(
    exported: Path, tmp_path: Path
) -> None:
    imported = import_corpus(f"d4rl:{exported}", tmp_path / "back")
    step = open_corpus(tmp_path / "back").manifest.lineage[-1]
    assert step.operation == "import"
    digest = hashlib.sha256(exported.read_bytes()).hexdigest()
    assert step.settings["sha256"] == {"a.hdf5": digest}
    assert step.settings["source"] == imported.source == "d4rl:a.hdf5"
    assert step.settings.get("converted", []) == list(imported.notes)


def test_a_dry_run_knows_what_the_import_makes(exported: Path, tmp_path: Path) -> None:
    planned = import_corpus(f"d4rl:{exported}", tmp_path / "back", dry_run=True)
    assert not (tmp_path / "back").exists()
    made = import_corpus(f"d4rl:{exported}", tmp_path / "back")
    assert planned == made._replace(steps=None, fingerprint=None)
    assert made.fingerprint == open_corpus(tmp_path / "back").fingerprint


def test_a_mask_that_its_seed_does_not_choose_is_left_out(
    random_corpus: Callable[..., Corpus], tmp_path: Path
) -> None:
    corpus = random_corpus(lengths=(3, 4, 5, 6))
    for name, fraction in (("half", 0.5), ("quarter", 0.25)):
        save_mask(corpus, make_mask(corpus, fraction, seed=0, name=name))
    export_corpus(open_corpus(corpus.path), f"d4rl:{tmp_path / 'a.hdf5'}")
    with h5py.File(tmp_path / "a.hdf5", "r+") as file:
        group = file[GROUP]
        about = json.loads(group["about"][()].tobytes())
        about["masks"][0]["fraction"] = 1.0
        del group["about"]
        group["about"] = np.frombuffer(json.dumps(about).encode(), "u1")
    made = import_corpus(f"d4rl:{tmp_path / 'a.hdf5'}", tmp_path / "back")
    changed, sound = (mask["name"] for mask in about["masks"])
    assert made.masks == (sound,)
    assert list(open_corpus(tmp_path / "back").masks()) == [sound]
    assert [note for note in made.notes if note.startswith(f"mask {changed} was changed")]
    assert not validate(tmp_path / "back")


def test_an_error_names_the_trajectory(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["observations"] = file["next_observations"] = np.zeros((6, 2), np.float32)
        file["actions"] = np.zeros((6, 1), np.float32)
        file["rewards"] = np.array([0, 0, 0, 0, 1e300, 0])
        file["terminals"] = np.zeros(6, bool)
        file["timeouts"] = np.arange(6) % 3 == 2
    with pytest.raises(CorpusError, match="trajectory 1: "):
        import_corpus(f"d4rl:{tmp_path / 'a.hdf5'}", tmp_path / "back")
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize("format", ["d4rl", "minari", "robomimic", "lerobot"])
def test_any_array_can_be_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    camera = ArraySpec(name="camera", shape=(8, 8, 3), dtype="uint8", role=Role.pixels)
    with CorpusWriter.create(
        tmp_path / "corpus",
        observations=(ArraySpec(name="position", shape=(2,)), camera),
        action=ArraySpec(name="action", shape=(1,), role=Role.action),
    ) as writer:
        arrays = {"position": np.ones((4, 2)), "camera": np.zeros((4, 8, 8, 3), np.uint8)}
        writer.add(arrays, np.ones(3), np.ones((3, 1)), provenance=Provenance(source="test"))
    place = "test/set-v0" if format == "minari" else str(tmp_path / "set.hdf5")
    export_corpus(open_corpus(tmp_path / "corpus"), f"{format}:{place}")
    with pytest.raises(ConfigError, match=r"no (array|feature) 'nose'.* there are .*camera"):
        import_corpus(f"{format}:{place}", tmp_path / "back", without=["nose"])
    assert not (tmp_path / "back").exists()
    made = import_corpus(f"{format}:{place}", tmp_path / "back", without=["camera"])
    back = open_corpus(tmp_path / "back", verify=True)
    assert [spec.name for spec in back.manifest.observations] == ["position"]
    assert format == "lerobot" or "left out: camera" in made.notes


def _robomimic(place: Path, arrays: list[np.ndarray]) -> str:
    with h5py.File(place, "w") as file:
        for i, array in enumerate(arrays):
            demo = file.create_group(f"data/demo_{i}")
            demo["actions"], demo["rewards"], demo["obs/x"] = array, np.zeros(4), np.ones((4, 1))
    return "actions"


def _d3rlpy(place: Path, arrays: list[np.ndarray]) -> str:
    with h5py.File(place, "w") as file:
        for i, array in enumerate(arrays):
            file[f"observations_{i}"], file[f"actions_{i}"] = array, np.zeros((4, 1))
            file[f"rewards_{i}"], file[f"terminated_{i}"] = np.zeros((4, 1)), False
    return "observation"


def _files(action: str, name: str) -> Callable[[Path, list[np.ndarray]], str]:
    def write(place: Path, arrays: list[np.ndarray]) -> str:
        place.mkdir()
        for i, array in enumerate(arrays):
            zeros, ones = np.zeros(4, np.float32), np.ones(4, np.float32)
            known = {action: zeros[:, None], "reward": zeros, "discount": ones}
            np.savez(place / f"{i}.npz", **known, **{name: array})
        return name

    return write


SECOND: dict[str, Callable[[Path, list[np.ndarray]], str]] = {
    "robomimic": _robomimic,
    "d3rlpy": _d3rlpy,
    "dreamer": _files("action", "vector"),
    "aime": _files("pre_action", "vector"),
    "exorl": _files("action", "observation"),
}


@pytest.mark.parametrize("format", SECOND)
@pytest.mark.parametrize("number", [0.5, 1 / 3, 1 << 24, (1 << 24) + 1])
def test_what_is_of_another_type_later_is_never_rounded_in_silence(
    format: str, number: Any, tmp_path: Path
) -> None:
    """The first trajectory is of float32, so that the array is; the others have a wider type."""
    wide = np.full((4, 2), number)
    name = SECOND[format](tmp_path / "set", [np.ones((4, 2), np.float32), wide, wide])
    address, out = f"{format}:{tmp_path / 'set'}", tmp_path / "corpus"
    if number == (1 << 24) + 1:
        with pytest.raises(CorpusError, match=r"trajectory 1: .*: 16777217 at .* not fit float32"):
            import_corpus(address, out)
        return
    told = [note for note in import_corpus(address, out).notes if "rounded" in note]
    expected = [f"{name}: float64 numbers were rounded to float32"] if number == 1 / 3 else []
    assert told == expected
    kept = open_corpus(out).manifest.lineage[-1].settings["converted"]
    assert [note for note in kept if "rounded" in note] == expected


def test_rewards_that_are_rounded_are_named(tmp_path: Path) -> None:
    for rewards in ([0.1, 0.2, 0.3], [1, (1 << 24) + 1, 3]):
        array = np.array(rewards)
        with h5py.File(tmp_path / "a.hdf5", "w") as file:
            file["observations"] = file["next_observations"] = np.zeros((3, 2), np.float32)
            file["actions"], file["rewards"] = np.zeros((3, 1), np.float32), array
            file["terminals"], file["timeouts"] = np.zeros(3, bool), np.arange(3) == 2
        made = import_corpus(f"d4rl:{tmp_path / 'a.hdf5'}", tmp_path / array.dtype.name)
        assert f"rewards: {array.dtype.name} numbers were rounded to float32" in made.notes
        (one,) = open_corpus(made.path)
        np.testing.assert_array_equal(one.rewards, array.astype(np.float32))
