"""Corpora that are described in another way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lawm_schemas import ArraySpec, ConfigError, CorpusError, LawmError, Role

from lawm_data import Corpus, make_mask, open_corpus, save_mask
from lawm_data.corpus.integrity.validate import validate
from lawm_data.corpus.rate import step_seconds
from lawm_data.curation.edit import edit_corpus, parse_bounds, parse_pairs

FIELDS = (
    ArraySpec(name="position", shape=(2,)),
    ArraySpec(name="count", shape=(), dtype="int16"),
    ArraySpec(name="camera", shape=(3, 3, 3), dtype="uint8", role=Role.pixels),
)


@pytest.fixture
def filmed(random_corpus: Callable) -> Corpus:
    return random_corpus("filmed", observations=FIELDS, partial=(2,), unlabeled=(4,))


def test_only_the_description_changes(corpus: Corpus, tmp_path: Path) -> None:
    """Names, types and bounds; ids, numbers, sources, masks and inferred actions stay."""
    made = edit_corpus(
        corpus,
        tmp_path / "new",
        rename={"position": "joints", "action": "torque"},
        dtype={"joints": "float64"},
        bounds={"action": ((-2.0,), (1.0, 2.0, 3.0))},
        settings={"env": "walker-walk", "action_repeat": 2, "fps": 20, "licence": "MIT"},
    )
    new = open_corpus(made.path, verify=True)
    assert validate(made.path) == []
    assert (made.masks, made.overlays, made.left) == (("half",), ("idm",), ())
    assert new.with_mask("half").mask.labeled == corpus.with_mask("half").mask.labeled
    position, *rest = new.manifest.observations
    assert (position.name, position.dtype) == ("joints", "float64")
    assert tuple(rest) == corpus.manifest.observations[1:]
    action = new.manifest.action
    assert (action.name, action.low, action.high) == ("torque", (-2.0,) * 3, (1.0, 2.0, 3.0))
    environment = new.manifest.environment
    assert environment is not None
    assert (environment.suite, environment.task) == ("dm_control", "walker-walk")
    assert environment.action_repeat == 2
    assert new.manifest.licence == "MIT"
    assert step_seconds(new.manifest) == 1 / 20
    step = new.manifest.lineage[-1]
    assert (step.operation, step.parents) == ("edit", (corpus.fingerprint,))
    assert step.settings["rename"] == {"position": "joints", "action": "torque"}
    for ours, before in zip(new.with_labels("idm"), corpus.with_labels("idm"), strict=True):
        assert ours.info == before.info
        assert np.array_equal(ours.observations["joints"], before.observations["position"])
        assert np.array_equal(ours.rewards, before.rewards)
        assert np.array_equal(ours.action_observed, before.action_observed)
        assert np.array_equal(ours.actions, before.actions)


def test_fields_are_dropped_and_put_in_order(filmed: Corpus, tmp_path: Path) -> None:
    made = edit_corpus(filmed, tmp_path / "a", drop=["camera"], fields=["count", "position"])
    assert [s.name for s in open_corpus(made.path).manifest.observations] == ["count", "position"]
    assert made.left == ("array camera: was not asked for",)
    made = edit_corpus(filmed, tmp_path / "b", rename={"camera": "wrist"}, fields=["wrist"])
    for ours, before in zip(open_corpus(made.path), filmed, strict=True):
        assert list(ours.observations) == ["wrist"]
        assert np.array_equal(ours.observations["wrist"], before.observations["camera"])


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "int32", "bool"])
def test_a_type_that_cannot_hold_the_numbers_is_refused(
    filmed: Corpus, tmp_path: Path, dtype: str
) -> None:
    """Whole numbers go into every type that has them all, and floats are never cut."""
    counts = np.concatenate([t.observations["count"] for t in filmed])
    fits = np.array_equal(counts.astype(dtype).astype("int16"), counts)
    if fits:
        made = edit_corpus(filmed, tmp_path / "new", dtype={"count": dtype})
        found = np.concatenate([t.observations["count"] for t in open_corpus(made.path)])
        assert (found.dtype, found.tolist()) == (np.dtype(dtype), counts.tolist())
    else:
        with pytest.raises(CorpusError, match=f"trajectory .*: count: -?[0-9]+ is no {dtype}"):
            edit_corpus(filmed, tmp_path / "new", dtype={"count": dtype})
    with pytest.raises(CorpusError, match=r"position: .* is no int32"):
        edit_corpus(filmed, tmp_path / "other", dtype={"position": "int32"})
    assert (tmp_path / "new").exists() == fits
    assert not (tmp_path / "other").exists()


def test_lost_actions_become_missing(random_corpus: Callable, tmp_path: Path) -> None:
    corpus = random_corpus(partial=(2,), unlabeled=(4,))
    save_mask(corpus, make_mask(corpus, 0.5, 0, "half"))
    shown = set(corpus.masks()["half"].labeled)
    made = edit_corpus(corpus, tmp_path / "new", missing_where="length > 8")
    new = open_corpus(made.path, verify=True)
    assert validate(made.path) == []
    lost = {t.info.id for t in corpus if len(t) > 8}
    assert set(new.masks()["half"].labeled) == shown - lost
    content = b"".join(p.read_bytes() for p in made.path.rglob("*.h5"))
    for ours, before in zip(new, corpus, strict=True):
        if len(before) > 8:
            assert (ours.labels, ours.actions) == ("missing", None)
            rows = () if before.actions is None else before.actions[before.action_observed]
            assert not any(row.tobytes() in content for row in rows)
        else:
            assert np.array_equal(ours.action_observed, before.action_observed)
        assert np.array_equal(ours.observations.state, before.observations.state)
    assert new.manifest.lineage[-1].settings["missing"] == 4
    with pytest.raises(CorpusError, match="is true of no trajectory with actions"):
        edit_corpus(new, tmp_path / "again", missing_where="length > 8")


def test_a_dry_run_says_what_would_be(filmed: Corpus, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"rename": {"count": "n"}, "missing_where": "length > 8"}
    planned = edit_corpus(filmed, tmp_path / "new", **asked, dry_run=True)
    assert not (tmp_path / "new").exists()
    done = edit_corpus(filmed, tmp_path / "new", **asked)
    assert done._replace(fingerprint=None) == planned


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "nothing is to be changed"),
    "no array": ({"rename": {"x": "y"}}, "no array 'x'; there are position, count, camera, action"),
    "one name": ({"rename": {"count": "position"}}, "two arrays would have one name"),
    "no name": ({"rename": {"count": "a b"}}, "is not a plain name"),
    "no type": ({"dtype": {"count": "float128"}}, "'float128' is not one of"),
    "pixels": ({"dtype": {"camera": "float32"}}, "pixels are uint8 or uint16"),
    "no action": ({"drop": ["action"]}, "actions cannot be dropped"),
    "nothing left": ({"drop": ["position", "count", "camera"]}, "no observation would be left"),
    "no field": ({"fields": ["x"]}, "no observation 'x'"),
    "a field twice": ({"fields": ["count", "count"]}, "names an array twice"),
    "too many bounds": ({"bounds": {"action": ((0.0, 0.0), (1.0,))}}, "has 3 elements"),
    "no room": ({"bounds": {"action": ((1.0,), (1.0,))}}, "LOW is not below HIGH"),
    "outside": ({"bounds": {"action": ((-0.1,), (0.1,))}}, r"is outside \[-0.1, 0.1\]"),
    "no setting": ({"settings": {"task": 1}}, "no setting 'task'; settings: env, action_repeat"),
    "no such env": ({"settings": {"env": "walker-fly"}}, "walker-fly"),
    "a repeat alone": ({"settings": {"action_repeat": 2}}, "belongs to an environment"),
    "no rate": ({"settings": {"fps": 0}}, "is 0; give a number above 0"),
    "no licence": ({"settings": {"licence": 3}}, "is 3; give a name"),
}


@pytest.mark.parametrize(("asked", "words"), WRONG.values(), ids=WRONG.keys())
def test_what_makes_no_sense_is_refused_in_one_line(
    filmed: Corpus, tmp_path: Path, asked: dict[str, Any], words: str
) -> None:
    with pytest.raises(LawmError, match=words) as caught:
        edit_corpus(filmed, tmp_path / "new", **asked)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "new").exists()


def test_bounds_and_pairs_are_read_as_they_are_shown() -> None:
    assert parse_bounds(["a=-1:1", "b=-1,-2:1,2e0", "c=none"]) == {
        "a": ((-1.0,), (1.0,)),
        "b": ((-1.0, -2.0), (1.0, 2.0)),
        "c": None,
    }
    for wrong in ("a", "a=", "=1", "a=1", "a=1:2:3", "a=x:y", "a=nan:1", "a=-inf:1"):
        with pytest.raises(ConfigError, match="is not NAME="):
            parse_bounds([wrong])
    with pytest.raises(ConfigError, match="is there twice"):
        parse_pairs("--rename", ["a=b", "a=c"])
