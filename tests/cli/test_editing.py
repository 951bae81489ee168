"""``lawm-data edit``, ``mask`` by what trajectories are, and edits that other commands print."""

from __future__ import annotations

import re
import shlex
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lawm_schemas import ArraySpec, EnvironmentInfo, LawmError, Provenance, Role

from lawm_data import Corpus, CorpusWriter, Loader, merge_corpora, open_corpus
from lawm_data.corpus.agreement import rate_notes
from lawm_data.corpus.integrity.validate import validate

PASTED = re.compile(r"lawm-data edit (.*?--out \S+)")


def write(path: Path, observations: Any, *, lost: tuple[int, ...] = (), **given: Any) -> Corpus:
    rng, action = np.random.default_rng(len(path.name)), {"shape": (2,), **given.pop("action", {})}
    spec = ArraySpec(name=action.pop("name", "action"), role=Role.action, **action)
    with CorpusWriter.create(path, observations=observations, action=spec, **given) as writer:
        for i in range(4):
            arrays = {
                s.name: rng.integers(0, 9, (13, *s.shape)).astype(s.dtype) for s in observations
            }
            actions = rng.uniform(-1, 1, (12, 2)) * (i not in lost)
            writer.add(arrays, rng.random(12), actions, provenance=Provenance(source=path.name))
    return open_corpus(path)


def fields(*names: str, dtype: str = "float32") -> tuple[ArraySpec, ...]:
    return tuple(
        ArraySpec(name=name, shape=(3 if "q" in name else 2,), dtype=dtype) for name in names
    )


CAMERA = ArraySpec(name="camera", shape=(8, 8, 3), dtype="uint8", role=Role.pixels)
ONE = {"low": (-1.0,) * 2, "high": (1.0,) * 2}
KINDS: dict[str, dict[str, Any]] = {
    "plain": {"observations": fields("qpos", "goal"), "action": ONE},
    "ordered": {"observations": fields("goal", "qpos"), "action": ONE},
    "renamed": {
        "observations": fields("q", "target", dtype="float64"),
        "action": {**ONE, "name": "torque", "dtype": "float64"},
        "environment": EnvironmentInfo(task="walker-walk"),
    },
    "generic": {
        "observations": fields("observation"),
        "environment": EnvironmentInfo(task="walker-run", action_repeat=2),
    },
    "state": {"observations": fields("state", dtype="float64"), "action": ONE},
    "filmed": {
        "observations": (*fields("qpos"), CAMERA),
        "action": {"low": (-2.0, -1.0), "high": (1.0, 2.0)},
        "environment": EnvironmentInfo(suite="gym", task="Nowhere-v0"),
    },
}


def refusal(join: Any, views: list[Corpus]) -> str | None:
    """Why corpora do not go together, or None."""
    try:
        join(views)
    except LawmError as error:
        return str(error)
    return None


def joined(run: Any, views: list[Corpus], join: Any) -> None:
    """Do every edit that is offered; what still cannot go together fails."""
    for _ in range(4):
        refused = refusal(join, views)
        if refused is None:
            return
        commands = PASTED.findall(refused)
        assert commands, refused
        for command in commands:
            words = shlex.split(command)
            assert run("lawm-data", "edit", *words).code == 0
            edited = {words[0]: open_corpus(words[-1])}
            views = [edited.get(str(view.path), view) for view in views]
    raise AssertionError("the edits lead nowhere")


@pytest.mark.parametrize(("one", "two"), [(a, b) for a, b in product(KINDS, KINDS) if a < b])
@pytest.mark.parametrize("how", ["merge", "train"])
def test_the_edit_that_is_printed_brings_corpora_together(
    run: Any, tmp_path: Path, one: str, two: str, how: str
) -> None:
    views = [write(tmp_path / name, **dict(KINDS[name])) for name in (one, two)]

    def join(views: list[Corpus]) -> None:
        if how == "merge":
            merge_corpora(views, tmp_path / "out", common=True)
        else:
            Loader([(view, 1.0) for view in views], 4, 3).next()

    if {one, two} & {"generic", "state"} and {one, two} & {"filmed"}:
        # vectors of 2 and of 3 numbers have nothing in common that could be renamed
        with pytest.raises(LawmError, match=r"shares no observation|the state is"):
            join(views)
        return
    joined(run, views, join)
    if how == "merge":
        assert validate(tmp_path / "out") == []
        assert len(open_corpus(tmp_path / "out")) == 8


def test_frame_rates_that_differ_are_said(run: Any, tmp_path: Path) -> None:
    """What lasts another time in one of them is not the same step, whoever is right."""
    views = [write(tmp_path / name, fields("qpos"), action=ONE) for name in ("one", "other")]
    for view, fps in zip(views, (20, 30), strict=True):
        words = ("edit", view.path, "--set", f"fps={fps}", "--out", f"{view.path}-{fps}")
        assert run("lawm-data", *words).code == 0
    rated = [str(tmp_path / "one-20"), str(tmp_path / "other-30")]
    told = run("lawm-data", "merge", *rated, "--out", tmp_path / "plain").out
    what = f"{rated[1]}: has 30 steps a second, and {rated[0]} 20; a step means another time"
    assert f"note: {what}" in told
    assert "left behind" not in told
    (warned,) = rate_notes([open_corpus(tmp_path / "plain")])
    assert f"{tmp_path / 'plain'}: has 20 and 30 steps a second; a step means another" in warned
    assert run("lawm-data", "edit", *shlex.split(PASTED.findall(warned)[0])).code == 0
    assert rate_notes([open_corpus(tmp_path / "plain-edited")]) == []
    told = run("lawm-data", "merge", *rated, "--common", "--out", tmp_path / "a", "--json").json
    assert told["left"] == []
    (note,) = told["said"]
    assert f"{rated[1]}: has 30 steps a second, and {rated[0]} 20" in note
    assert run("lawm-data", "edit", *shlex.split(PASTED.findall(note)[0])).code == 0
    rated[1] += "-edited"
    told = run("lawm-data", "merge", *rated, "--common", "--out", tmp_path / "b", "--json").json
    assert told["said"] == []
    told = run(
        "lawm-data", "merge", rated[0], tmp_path / "other", "--common", "--out", tmp_path / "c"
    )
    assert told.code == 0  # one that says nothing goes with any


def test_lost_actions_are_seen_and_called_missing(run: Any, tmp_path: Path) -> None:
    write(tmp_path / "a", fields("qpos"), lost=(1, 3), action=ONE)
    warned = run("lawm-data", "info", tmp_path / "a").out
    assert "warning: the actions of 2 trajectories are all zero, and count as observed" in warned
    assert (
        "the actions of 2 trajectories are all zero"
        in run("lawm-data", "validate", tmp_path / "a").out
    )
    assert run("lawm-data", "edit", *shlex.split(PASTED.findall(warned)[0])).code == 0
    edited = tmp_path / "a-edited"
    assert open_corpus(edited).label_counts()["missing"] == 2
    assert "warning" not in run("lawm-data", "info", edited).out
    assert validate(edited) == []
    assert run("lawm-data", "info", edited, "--json").json["inert_actions"] == {
        "zero": 0,
        "constant": 0,
    }


def test_a_mask_by_what_trajectories_are(run: Any, tmp_path: Path) -> None:
    corpus = write(tmp_path / "a", fields("qpos"), lost=(1, 3), action=ONE)
    words = ("mask", corpus.path, "--where", "actions == 'varied'", "--name", "good", "--json")
    result = run("lawm-data", *words).json
    assert (result["labeled"], result["fraction"], result["where"]) == (
        2,
        0.5,
        "actions == 'varied'",
    )
    (tmp_path / "ids").write_text("\n".join(told_ids := corpus.table.id[:3].tolist()))
    words = ("mask", corpus.path, "--ids", tmp_path / "ids", "--name", "three")
    assert run("lawm-data", *words).code == 0
    assert list(corpus.with_mask("three").mask.labeled) == told_ids
    for odd in ((), ("--fraction", "0.5", "--where", "length > 0"), ("--ids", "x", "--seed", "1")):
        refused = run("lawm-data", "mask", corpus.path, "--name", "no", *odd)
        assert (refused.code, refused.err.count("\n")) == (2, 1)
