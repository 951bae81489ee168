"""Features on disk: whole or not there, checked, and known to what looks at a corpus."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lawm_schemas import ConfigError, CorpusError

from lawm_data import CorpusWriter, open_corpus
from lawm_data.corpus.features import (
    ABOUT,
    ARRAYS,
    ENCODER,
    FEATURES,
    PARTS,
    free_features,
    read_feature_set,
)
from lawm_data.corpus.integrity.repair import repair
from lawm_data.corpus.integrity.validate import validate
from lawm_data.corpus.store import open_store
from lawm_data.curation.derive import derive
from lawm_data.exchange.hub.published_files import companions
from lawm_data.inspection.summary import summarize


@pytest.fixture
def path(random_corpus: Callable, write_features: Callable) -> Path:
    corpus = random_corpus(shards=2)
    write_features(corpus.path, "f")
    return corpus.path


def errors(path: Path) -> list[str]:
    return [finding.what for finding in validate(path) if finding.severity == "error"]


def rows_of(path: Path, name: str) -> dict[str, np.ndarray]:
    return {
        t.info.id: t.observations.state for t in open_corpus(path).observing(f"features:{name}")
    }


def test_they_are_sound_and_summed_up(path: Path) -> None:
    assert validate(path) == []
    found = summarize(open_corpus(path))["features"]["f"]
    assert (found["width"], found["algorithm"], found["current"]) == (5, "autoencoder", True)


def spoil(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("file", [ABOUT, ARRAYS, ENCODER])
@pytest.mark.parametrize("damage", [spoil, Path.unlink])
def test_damage_is_found_refused_and_set_aside(
    path: Path, file: str, damage: Callable[[Path], None]
) -> None:
    """A folder without its ``features.json`` is no features at all, and in nobody's way."""
    damage(path / FEATURES / "f" / file)
    with pytest.raises((CorpusError, ConfigError)):
        open_corpus(path).observing("features:f")
    if (file, damage) != (ABOUT, Path.unlink):
        assert errors(path)
        repair(path)
        assert not (path / FEATURES / "f").exists()
    assert errors(path) == []


def test_those_of_an_earlier_corpus_are_a_warning(path: Path) -> None:
    first = open_corpus(path)[0]
    with CorpusWriter.append(path) as writer:
        rewards = first.rewards + 1
        writer.add(
            first.observations, rewards, first.actions, provenance=first.manifest.provenance[0]
        )
    assert [f.severity for f in validate(path)] == ["warning"]
    assert not summarize(open_corpus(path))["features"]["f"]["current"]
    assert not repair(path).changes


def test_features_in_the_making_are_left_over(path: Path) -> None:
    (path / FEATURES / f".g{PARTS}").mkdir()
    assert "is left over" in validate(path)[0].what
    repair(path)
    assert validate(path) == []
    assert rows_of(path, "f")


def test_a_name_is_free_or_refused(path: Path) -> None:
    store = open_store(path)
    fields = [spec.name for spec in store.manifest.observations]
    assert free_features(path, "g", fields, replace=False) == path / FEATURES / "g"
    assert free_features(path, "f", fields, replace=True) == path / FEATURES / "f"
    with pytest.raises(CorpusError, match=r"have this name; .* replace them \(--replace\)"):
        free_features(path, "f", fields, replace=False)
    with pytest.raises(ConfigError, match="is the name of a field of the corpus"):
        free_features(path, "height", fields, replace=False)
    with pytest.raises(ConfigError, match="cannot be the name of features"):
        free_features(path, "../f", fields, replace=False)


def test_those_of_another_corpus_are_refused(
    path: Path, random_corpus: Callable, write_features: Callable
) -> None:
    other = random_corpus("other", seed=1).path
    write_features(other, "f")
    shutil.rmtree(path / FEATURES)
    shutil.copytree(other / FEATURES, path / FEATURES)
    with pytest.raises(CorpusError, match=r"belong to corpus .*; make them again"):
        open_corpus(path).observing("features:f")


def test_a_part_and_a_merger_keep_them(
    path: Path, random_corpus: Callable, write_features: Callable, tmp_path: Path
) -> None:
    """With every number where its trajectory is now, those under a new id too."""
    other = random_corpus("other", seed=1)
    write_features(other.path, "f")
    views = [open_corpus(path)[[5, 0, 3]], other]
    derived = derive(views, tmp_path / "out", operation="merge", settings={})
    assert derived.features == ("f",)
    assert validate(tmp_path / "out") == []
    before = [rows_of(path, "f")[i] for i in views[0].table.id]
    before += [rows_of(other.path, "f")[i] for i in other.table.id]
    for one, rows in zip(rows_of(tmp_path / "out", "f").values(), before, strict=True):
        np.testing.assert_array_equal(one, rows)


def test_what_stays_behind_is_named(
    path: Path, random_corpus: Callable, write_features: Callable, tmp_path: Path
) -> None:
    other = random_corpus("other", seed=1)
    views = [open_corpus(path), other]
    left = derive(views, tmp_path / "a", operation="merge", settings={}).left
    assert left == (f"features f: {other.path} has none; make them again",)
    write_features(other.path, "f", seed=1)
    left = derive(views, tmp_path / "b", operation="merge", settings={}).left
    assert left == ("features f: the corpora's features of this name differ in encoder_sha256",)
    assert "features f: are not published" in companions(open_corpus(path)).left


def test_a_view_of_a_part_of_the_observations_is_not_derived_from(
    path: Path, tmp_path: Path
) -> None:
    view = open_corpus(path).observing("features:f")
    with pytest.raises(ConfigError, match="shows a part of the observations"):
        derive([view], tmp_path / "out", operation="filter", settings={})
    assert not (tmp_path / "out").exists()


def test_a_repair_keeps_those_of_what_is_kept(path: Path, disk) -> None:
    before, corpus = rows_of(path, "f"), open_corpus(path)
    about = path / FEATURES / "f" / ABOUT
    info = read_feature_set(about.parent).model_copy(update={"probe": {"height": 0.9}})
    about.write_text(info.to_json())
    gone = corpus.table.id[0]
    file = disk.shard(path, 0)
    disk.flip(file, disk.place(file, "steps", 0))
    done = repair(path)
    assert [loss.id for loss in done.lost] == [gone]
    assert "keeps 7 of 8 trajectories" in [change.what for change in done.changes]
    after = rows_of(path, "f")
    assert after.keys() == before.keys() - {gone}
    for name, rows in after.items():
        np.testing.assert_array_equal(rows, before[name])
    assert read_feature_set(about.parent).probe == {}  # it was of what is lost, too
    assert validate(path) == []
    assert repair(path).changes == []
    assert done.backup is not None
    assert (done.backup / FEATURES / "f" / ARRAYS).is_file()


def test_a_repair_says_that_those_of_other_trajectories_are_to_be_made_again(
    path: Path, random_corpus: Callable, write_features: Callable, disk
) -> None:
    """One of which they have none, for instance because its id is another one now."""
    other = random_corpus("other", seed=1)
    write_features(other.path, "f")
    shutil.rmtree(path / FEATURES)
    shutil.copytree(other.path / FEATURES, path / FEATURES)
    about = path / FEATURES / "f" / ABOUT
    corpus = open_corpus(path).root_fingerprint
    info = read_feature_set(about.parent).model_copy(update={"corpus": corpus})
    about.write_text(info.to_json())
    disk.flip(disk.shard(path, 0), disk.place(disk.shard(path, 0), "steps", 0))
    said = "is of the corpus as it was: stays, to be made again"
    assert said in [change.what for change in repair(path).changes]
    assert [finding.severity for finding in validate(path)] == ["warning"]
    assert repair(path).changes == []
