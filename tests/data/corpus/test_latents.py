"""Latent actions on disk: whole or not there, checked, and never taken for actions."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lawm_schemas import ConfigError, CorpusError

from lawm_data import CorpusWriter, make_mask, open_corpus, save_mask
from lawm_data.corpus.integrity.repair import repair
from lawm_data.corpus.integrity.validate import validate
from lawm_data.corpus.latents import (
    ABOUT,
    ARRAYS,
    LATENTS,
    LatentActions,
    free_latents,
    read_latent_set,
)
from lawm_data.corpus.mask import mask_sha256
from lawm_data.curation.derive import derive
from lawm_data.inspection.summary import summarize


@pytest.fixture
def path(random_corpus: Callable, write_latents: Callable) -> Path:
    corpus = random_corpus(shards=2)
    write_latents(corpus.path, "z", codes=7, horizon=2)
    return corpus.path


def errors(path: Path) -> list[str]:
    return [finding.what for finding in validate(path) if finding.severity == "error"]


def test_they_are_sound_and_summed_up(path: Path) -> None:
    assert validate(path) == []
    found = summarize(open_corpus(path))["latents"]["z"]
    assert (found["width"], found["codes"], found["constraint"], found["current"]) == (
        *(3, 7, "vq"),
        True,
    )


def test_a_part_has_its_own(path: Path) -> None:
    whole = open_corpus(path).with_latents("z")
    values = [t.latents.values for t in whole]
    assert [len(v) for v in values] == [len(t) - 1 for t in whole]
    assert not np.array_equal(values[0][0], values[1][0])
    for part in (whole[[3, 0]], pickle.loads(pickle.dumps(whole[[3, 0]]))):
        for place, t in zip((3, 0), part, strict=True):
            np.testing.assert_array_equal(t.latents.values, values[place])
    assert open_corpus(path)[0].latents is None


def test_where_there_is_none_stands_no_number() -> None:
    found = LatentActions(np.ones((2, 3), np.float32), np.array([4, 0], np.int32))
    np.testing.assert_array_equal(found.known(3), [True, True, False])
    np.testing.assert_array_equal(np.isnan(found.filled(3, np.nan)[:, 0]), [False, False, True])
    np.testing.assert_array_equal(found.filled_codes(3), [4, 0, -1])


def test_a_table_shows_them_beside_the_actions(path: Path) -> None:
    trajectory = open_corpus(path).with_latents("z")[0]
    columns = trajectory.columns()
    names = [name for name in columns if name.startswith("latent_action")]
    assert names == [f"latent_action[{i}]" for i in range(3)]
    column = columns[names[1]]
    np.testing.assert_array_equal(column.values[:-1], trajectory.latents.values[:, 1])
    assert column.missing.tolist() == [False] * (len(trajectory) - 1) + [True]


def test_they_are_no_labels(path: Path) -> None:
    with pytest.raises(CorpusError, match=r"are latent actions, not actions; .*--latents"):
        open_corpus(path).with_labels("z")
    view = open_corpus(path)
    assert view.with_latents("z").label_counts() == view.label_counts()


def test_a_mask_stays_and_hides_the_fingerprint(path: Path) -> None:
    whole = open_corpus(path)
    view = whole.with_mask(make_mask(whole, 0.5, seed=0, name="half")).with_latents("z")
    assert view.label_counts()["withheld"]
    assert view.latents is not None
    assert view.latents.corpus == whole.unlabeled_fingerprint


def spoil(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("file", [ABOUT, ARRAYS])
@pytest.mark.parametrize("damage", [spoil, Path.unlink])
def test_damage_is_found_refused_and_set_aside(
    path: Path, file: str, damage: Callable[[Path], None]
) -> None:
    damage(path / LATENTS / "z" / file)
    with pytest.raises(CorpusError):
        open_corpus(path).with_latents("z")
    if (file, damage) != (ABOUT, Path.unlink):
        assert errors(path)
        repair(path)
        assert not (path / LATENTS / "z").exists()
    assert errors(path) == []


def without_checksum(about: Path) -> str:
    return about.read_text().partition(',\n  "checksum"')[0] + "\n}"


def test_a_constraint_without_a_name_is_damage(path: Path) -> None:
    """As in a set that another program wrote."""
    about = path / LATENTS / "z" / ABOUT
    about.write_text(without_checksum(about).replace('"name": "vq"', '"nom": "vq"'))
    with pytest.raises(CorpusError, match="constraint"):
        open_corpus(path).with_latents("z")
    found = summarize(open_corpus(path))
    assert found["latents"] == {}
    assert found["damaged"]


def test_those_of_an_earlier_corpus_are_a_warning(path: Path) -> None:
    first = open_corpus(path)[0]
    with CorpusWriter.append(path) as writer:
        rewards = first.rewards + 1
        writer.add(
            first.observations, rewards, first.actions, provenance=first.manifest.provenance[0]
        )
    assert [f.severity for f in validate(path)] == ["warning"]
    assert not summarize(open_corpus(path))["latents"]["z"]["current"]
    with pytest.raises(CorpusError, match=r"belong to corpus .*; infer them again"):
        open_corpus(path).with_latents("z")
    assert not repair(path).changes


def test_those_of_other_trajectories_are_refused(
    path: Path, random_corpus: Callable, write_latents: Callable
) -> None:
    """Also where they say that they are of this corpus."""
    other = random_corpus("other", seed=1, lengths=(2, 3)).path
    write_latents(other, "z")
    shutil.rmtree(path / LATENTS)
    shutil.copytree(other / LATENTS, path / LATENTS)
    about = path / LATENTS / "z" / ABOUT
    text = without_checksum(about)
    text = text.replace(open_corpus(other).root_fingerprint, open_corpus(path).root_fingerprint)
    about.write_text(text)
    with pytest.raises(CorpusError, match="are not of the trajectories of the corpus"):
        open_corpus(path).with_latents("z")
    assert errors(path)


def test_a_name_is_free_or_refused(path: Path) -> None:
    assert free_latents(path, "z", replace=True) == path / LATENTS / "z"
    with pytest.raises(CorpusError, match=r"have this name; .* replace them \(--replace\)"):
        free_latents(path, "z")
    with pytest.raises(ConfigError, match="cannot be the name of latent actions"):
        free_latents(path, "../z")


def test_a_derived_corpus_says_that_they_stay(path: Path, tmp_path: Path) -> None:
    view = open_corpus(path)[[0, 2]]
    left = derive([view], tmp_path / "out", operation="filter", settings={}).left
    assert left == ("latent actions z: infer them again",)


def test_a_repair_keeps_those_of_what_is_kept(path: Path, disk) -> None:
    """And what was inferred under a mask goes with what is left of it."""
    corpus = open_corpus(path)
    mask = make_mask(corpus, 0.5, seed=0, name="half")
    save_mask(corpus, mask)
    about = path / LATENTS / "z" / ABOUT
    update = {"mask": "half", "mask_sha256": mask_sha256(mask)}
    about.write_text(read_latent_set(about.parent).model_copy(update=update).to_json())
    before = {t.info.id: t.latents for t in corpus.with_latents("z")}
    gone = corpus.table.id.tolist().index(mask.labeled[0])
    file = disk.shard(path, int(corpus.index.shard[gone]))
    disk.flip(file, disk.place(file, "steps", int(corpus.index.row[gone])))
    assert len(repair(path).lost) == 1
    after = open_corpus(path)
    found = {t.info.id: t.latents for t in after.with_latents("z")}
    assert found.keys() == before.keys() - {mask.labeled[0]}
    for name, latents in found.items():
        np.testing.assert_array_equal(latents.values, before[name].values)
        np.testing.assert_array_equal(latents.codes, before[name].codes)
    left = after.masks()["half"]
    assert left.labeled == mask.labeled[1:]
    assert read_latent_set(about.parent).mask_sha256 == mask_sha256(left)
    assert validate(path) == []
    assert repair(path).changes == []
