from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lawm_schemas import (
    ArraySpec,
    ConfigError,
    CorpusError,
    LawmError,
    Manifest,
    Mask,
    Overlay,
    Provenance,
    Role,
    load_json,
)

from lawm_data import (
    Corpus,
    CorpusWriter,
    filter_corpus,
    make_mask,
    open_corpus,
    save_mask,
    write_overlay,
)
from lawm_data.corpus.integrity.repair import repair
from lawm_data.corpus.integrity.validate import validate

OBSERVATIONS = (
    ArraySpec(name="position", shape=(2,)),
    ArraySpec(name="camera", shape=(3, 3, 3), dtype="uint8", role=Role.pixels),
)


def flip(path: Path, at: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1 << bit
    path.write_bytes(content)


def shard_of(corpus: Corpus, number: int) -> Path:
    return corpus.path / "shards" / corpus.manifest.shards[number].file


@pytest.mark.parametrize("name", ["steps", "actions", "fields/clock", "table/episode_return"])
def test_a_flipped_bit_is_found_and_named(random_corpus: Callable, name: str) -> None:
    fields = (*OBSERVATIONS, ArraySpec(name="clock", shape=(), dtype="float64"))
    corpus = random_corpus(observations=fields, shards=2)
    ids, shard = corpus.table.id.tolist(), shard_of(corpus, 1)
    with h5py.File(shard, "r") as file:
        data = file[name]
        row = 2 if name.startswith("table") else 7 + 21 + 4
        place = data.id.get_offset() + row * data.dtype.itemsize * int(np.prod(data.shape[1:]))
    flip(shard, place)
    with pytest.raises(CorpusError, match=f"{shard.name}: was altered"):
        open_corpus(corpus.path, verify=True)
    findings = validate(corpus.path)
    assert {finding.severity for finding in findings} == {"error"}
    assert any(finding.where == str(shard) for finding in findings)
    # Lengths in the second shard are 6, 20, 7, 30: the place lies in its third trajectory.
    named = {f.where.split()[-1] for f in findings if ": trajectory " in f.where}
    assert named == {ids[6]}


@pytest.mark.parametrize("keep", [0, 1, 100, -1])
def test_a_truncated_shard_is_found_and_named(random_corpus: Callable, keep: int) -> None:
    corpus = random_corpus(shards=2)
    shard = shard_of(corpus, 0)
    shard.write_bytes(shard.read_bytes()[:keep])
    message = (
        rf"{shard.name}: has \d+ bytes where the manifest says {corpus.manifest.shards[0].bytes}"
    )
    with pytest.raises(CorpusError, match=message):
        open_corpus(corpus.path)
    (finding,) = validate(corpus.path)
    assert (finding.severity, finding.where) == ("error", str(shard))
    assert finding.hint


def test_a_missing_shard_is_found_and_named(random_corpus: Callable) -> None:
    corpus = random_corpus(shards=2)
    shard = shard_of(corpus, 1)
    shard.unlink()
    with pytest.raises(CorpusError, match=f"{shard.name}: is missing"):
        open_corpus(corpus.path)
    assert [(f.where, f.what) for f in validate(corpus.path)] == [(str(shard), "is missing")]


def rewrite(path: Path, **changes: Any) -> None:
    """Change the manifest; its author makes the checksum fit."""
    data = json.loads((path / "corpus.json").read_text()) | changes
    del data["checksum"]
    (path / "corpus.json").write_text(json.dumps(data))


MANIFESTS = {
    "newer": ({"format_version": 2, "new": 1}, "has format version 2; .* up to 1; upgrade lawm"),
    "unknown key": ({"colour": "red"}, "colour"),
    "no specs": ({"observations": []}, "at least one state or pixels"),
    "bad dtype": (
        {"observations": [{"name": "x", "shape": [1], "dtype": "object"}]},
        "'object' is not one of",
    ),
    "path in a name": (
        {"observations": [{"name": "../x", "shape": [1]}]},
        "not a plain name",
    ),
    "negative shape": ({"observations": [{"name": "x", "shape": [-1]}]}, "empty axis"),
    "absurd shape": (
        {"observations": [{"name": "x", "shape": [1 << 62, 1 << 62]}]},
        "elements are more than fit in a step",
    ),
    "no sources": ({"provenance": []}, "table/provenance: trajectory 0 is impossible"),
    "bad licence": ({"licence": 5}, "licence"),
}


@pytest.mark.parametrize(("changes", "message"), MANIFESTS.values(), ids=MANIFESTS.keys())
def test_bad_manifests_are_refused(
    random_corpus: Callable, changes: dict[str, Any], message: str
) -> None:
    path = random_corpus().path
    rewrite(path, **changes)
    with pytest.raises(CorpusError, match=message):
        open_corpus(path)
    with pytest.raises(CorpusError, match=message):
        CorpusWriter.append(path)
    assert "error" in {finding.severity for finding in validate(path)}


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, '{"a": NaN}', "\xff"])
def test_manifests_that_are_not_json_are_refused(random_corpus: Callable, text: str) -> None:
    path = random_corpus().path
    (path / "corpus.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(CorpusError, match=r"corpus\.json: .*restore it from a copy"):
        open_corpus(path)
    assert len(validate(path)) == 1


def test_a_shard_twice_is_refused(random_corpus: Callable) -> None:
    path = random_corpus().path
    data = json.loads((path / "corpus.json").read_text())
    rewrite(path, shards=data["shards"] * 2)
    with pytest.raises(CorpusError, match="lists a shard twice"):
        open_corpus(path)


def test_shards_in_another_order_are_refused(random_corpus: Callable) -> None:
    path = random_corpus(shards=2).path
    data = json.loads((path / "corpus.json").read_text())
    rewrite(path, shards=data["shards"][::-1])
    with pytest.raises(CorpusError, match="not in order"):
        open_corpus(path)


def test_a_false_fingerprint_is_found(random_corpus: Callable) -> None:
    path = random_corpus().path
    rewrite(path, fingerprint="0" * 64)
    for attempt in (lambda: open_corpus(path, verify=True), lambda: CorpusWriter.append(path)):
        with pytest.raises(CorpusError, match="fingerprint differs from the content"):
            attempt()
    assert [finding.what for finding in validate(path)] == [
        "the fingerprint differs from the content"
    ]


def test_places_that_hold_no_corpus(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place, message in (("", "not a corpus"), ("nowhere", "not exist"), ("file", "is a file")):
        with pytest.raises(CorpusError, match=message):
            open_corpus(tmp_path / place)
        (finding,) = validate(tmp_path / place)
        assert finding.severity == "error"


@pytest.mark.parametrize(
    ("name", "row", "value", "message"),
    [
        ("steps", 3, np.nan, "an observation or a reward is not a finite number"),
        ("actions", 0, 0.5, "values are stored for actions that were not observed"),
        ("actions", 8, 1.1, "an action is outside the bounds of the action spec"),
        ("actions", 8, -np.inf, "an action is not a finite number"),
        ("action_observed", 8, 0, "2 actions are observed, its row of the table says otherwise"),
        ("table/episode_return", 0, 0, "its return is not the sum of its rewards"),
    ],
)
def test_values_and_bounds_are_checked_again(
    random_corpus: Callable, name: str, row: int, value: float, message: str
) -> None:
    corpus = random_corpus(partial=(0,))
    with h5py.File(shard_of(corpus, 0), "r+") as file:
        file[name][row] = value
    first = f"trajectory {corpus.table.id[0]}"
    faults = [f.what for f in validate(corpus.path) if f.where.endswith(first)]
    assert message in faults


def test_long_lists_of_findings_are_cut(random_corpus: Callable) -> None:
    corpus = random_corpus()
    with h5py.File(shard_of(corpus, 0), "r+") as file:
        file["table/digest"][:] = 0
    findings = validate(corpus.path)
    assert sum("hash differs" in finding.what for finding in findings) == 5
    assert any(finding.what == "3 more of these" for finding in findings)


def test_copies_and_emptiness_are_worth_knowing(tmp_path: Path) -> None:
    action = ArraySpec(name="action", shape=(1,), role=Role.action)
    with CorpusWriter.create(
        tmp_path / "c", observations=OBSERVATIONS[:1], action=action
    ) as writer:
        assert [finding.severity for finding in validate(tmp_path / "c")] == ["warning"]
        for _ in range(3):
            writer.add(
                {"position": np.zeros((2, 2))}, [0.0], [[0.0]], provenance=Provenance(source="s")
            )
    (finding,) = validate(tmp_path / "c")
    names = open_corpus(tmp_path / "c").table.id[1:].tolist()
    note = f"2 trajectories are copies of others: {', '.join(names)}"
    assert (finding.severity, finding.what) == ("warning", note)


def test_masks_are_checked(random_corpus: Callable) -> None:
    corpus = random_corpus()
    mask = make_mask(corpus, 0.5, 0, "m")
    path = save_mask(corpus, mask)
    stale = mask.model_copy(update={"name": "stale", "corpus": "0" * 64})
    lost = mask.model_copy(update={"name": "lost", "labeled": ("f" * 16,)})
    for other in (stale, lost):
        (path.parent / f"{other.name}.json").write_text(other.to_json())
    (path.parent / "broken.json").write_text("{")
    found = {Path(f.where).stem: f.severity for f in validate(corpus.path)}
    assert found == {"stale": "warning", "lost": "error", "broken": "error"}


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: Any) -> Path:
    """A corpus with one of everything that may lie in its folder."""
    path, rng = tmp_path_factory.mktemp("fuzz") / "corpus", np.random.default_rng(0)
    action = ArraySpec(name="action", shape=(1,), role=Role.action)
    with CorpusWriter.create(path, observations=OBSERVATIONS, action=action) as writer:
        for i in range(3):
            writer.add(
                {"position": rng.random((4, 2)), "camera": rng.integers(0, 256, (4, 3, 3, 3))},
                rng.random(3),
                None if i == 1 else rng.random((3, 1)),
                provenance=Provenance(source="s"),
                metadata={"i": i},
            )
    corpus = open_corpus(path)
    save_mask(corpus, make_mask(corpus, 0.5, 0, "m"))
    one = [(corpus[1].info.id, np.zeros((3, 1)), np.zeros((3, 1)))]
    write_overlay(corpus, one, name="idm", model="0" * 64, algorithm="lawm")
    (path / ".lock").unlink()
    assert validate(path) == []
    return path


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(choice=st.data())
def test_nothing_that_happens_to_a_file_goes_unnoticed(
    pristine: Path, tmp_path_factory: Any, choice: st.DataObject
) -> None:
    path = pristine.parent / "copy"
    shutil.copytree(pristine, path, dirs_exist_ok=True)
    files = sorted(p for p in path.rglob("*") if p.is_file())
    victim = choice.draw(st.sampled_from(files))
    size = victim.stat().st_size
    if choice.draw(st.booleans()):
        victim.write_bytes(victim.read_bytes()[: choice.draw(st.integers(0, size - 1))])
    else:
        flip(victim, choice.draw(st.integers(0, size - 1)), choice.draw(st.integers(0, 7)))
    findings = validate(path)
    for finding in findings:
        assert "\n" not in f"{finding.where} {finding.what} {finding.hint}"
    if victim.suffix == ".h5":
        assert "error" in {finding.severity for finding in findings}
    # Without checksums a reader may or may not notice, but nothing else than this can happen.
    with contextlib.suppress(LawmError):
        assert all(len(trajectory) >= 1 for trajectory in open_corpus(path))


@pytest.mark.parametrize("name", ["corpus.json", "masks/m.json", "labels/idm/overlay.json"])
def test_no_bit_of_what_is_not_data_flips_unnoticed(
    pristine: Path, tmp_path: Path, name: str
) -> None:
    """In every byte one bit: what is said of the data is another, or it is found."""
    path = Path(shutil.copytree(pristine, tmp_path / "copy"))
    file, schema = path / name, {"c": Manifest, "m": Mask, "l": Overlay}[name[0]]
    before, flips = file.read_bytes(), 0
    for at in range(len(before)):
        flip(file, at, at % 8)
        try:
            assert load_json(file) == json.loads(before)  # 1e-5 and 1E-5 are one number
        except (ConfigError, AssertionError):
            with pytest.raises(ConfigError):
                schema.read_json(file)
            if at % 17 == 0:
                assert "error" in {finding.severity for finding in validate(path)}
            flips += 1
        file.write_bytes(before)
    assert flips > 0.9 * len(before)
    assert validate(path) == []


@pytest.mark.parametrize("name", ["corpus.json", "masks/m.json", "labels/idm/overlay.json"])
def test_files_without_a_checksum_are_those_of_before(
    pristine: Path, tmp_path: Path, name: str
) -> None:
    path = Path(shutil.copytree(pristine, tmp_path / "copy"))
    data = json.loads((path / name).read_text())
    del data["checksum"]
    data.pop("chosen_from", None)
    (path / name).write_text(json.dumps(data))
    assert validate(path) == []
    assert open_corpus(path).with_mask("m").with_labels("idm").label_counts()["inferred"] == 1


@pytest.mark.parametrize("by", ["trajectories", "steps"])
@pytest.mark.parametrize("stratify", [None, "return", "source"])
def test_a_mask_shows_what_its_seed_chooses(
    random_corpus: Callable, by: Any, stratify: Any
) -> None:
    """A checksum that fits does not help: the choice is made again."""
    corpus = random_corpus()
    mask = make_mask(corpus, 0.5, 3, "m", by, stratify)
    path = save_mask(corpus, mask)
    assert validate(corpus.path) == []
    other = next(name for name in corpus.table.id.tolist() if name not in mask.labeled)
    for labeled, what in (
        ((*mask.labeled, other), "shows 1 trajectories that its seed does not choose, and lacks 0"),
        (mask.labeled[1:], "shows 0 trajectories that its seed does not choose, and lacks 1"),
        ((other, *mask.labeled[1:]), "shows 1 trajectories"),
        (mask.labeled[::-1], "is not in the order of the corpus"),
    ):
        changed = mask.model_copy(update={"labeled": labeled})
        path.write_text(changed.to_json())
        (finding,) = validate(corpus.path)
        assert (finding.severity, finding.where) == ("error", str(path))
        assert what in finding.what
        # one of before may have been made for a part of the corpus
        path.write_text(changed.model_copy(update={"chosen_from": None}).to_json())
        (finding,) = validate(corpus.path)
        assert finding.severity == "warning"
    path.write_text(mask.model_copy(update={"fraction": 0.75}).to_json())
    assert [finding.severity for finding in validate(corpus.path)] == ["error"]


def test_masks_of_parts_and_masks_that_came_along_are_sound(
    random_corpus: Callable, tmp_path: Path
) -> None:
    corpus = random_corpus()
    save_mask(corpus, make_mask(corpus, 0.75, 0, "whole"))
    save_mask(corpus, make_mask(corpus.filter(corpus.table.length > 5), 0.5, 0, "part"))
    assert validate(corpus.path) == []
    filter_corpus(corpus, "length > 3", tmp_path / "fewer")
    assert {path.stem for path in (tmp_path / "fewer" / "masks").iterdir()} == {"whole", "part"}
    assert validate(tmp_path / "fewer") == []


def test_actions_without_an_overlay_json_are_seen_and_set_aside(copy: Path) -> None:
    (copy / "labels/idm/overlay.json").unlink()
    (found,) = validate(copy)
    assert (found.severity, found.what) == ("error", "has no overlay.json")
    assert repair(copy).backup == copy / "backup-1"
    assert (copy / "backup-1/labels/idm/actions.h5").is_file()
    assert validate(copy) == []
