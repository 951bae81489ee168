from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

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
