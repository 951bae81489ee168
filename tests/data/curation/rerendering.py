"""Laws of ``rerender``: pictures as collecting would have drawn them, and all else as it was."""

import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lawm_cli import data_app
from lawm_schemas import Drawing
from lawm_schemas.outputs import OUTPUTS

from lawm_data import CorpusWriter, open_corpus
from lawm_data.corpus.integrity.validate import validate

PROGRAM = str(Path(sys.executable).with_name("lawm-data"))
SMALL = ("--action-repeat", "100", "--trajectories", "4")


@pytest.fixture
def data(run: Callable) -> Callable[..., str]:
    """Runs ``lawm-data``; ``code`` is what it must end with."""

    def call(*words: object, code: int = 0) -> str:
        done = run("lawm-data", *words)
        assert done.code == code, done.err
        return done.err

    return call


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four trajectories of reacher, whose goal is not in the state, with a mask of two of them."""
    path = str(tmp_path_factory.mktemp("states") / "reacher")
    assert data_app.main(["collect", "--env", "reacher-easy", *SMALL, "--out", path]) == 0
    assert data_app.main(["mask", path, "--fraction", "0.5", "--name", "half"]) == 0
    return Path(path)


def files(path: Path) -> dict[str, bytes]:
    return {str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*") if f.is_file()}


def test_pictures_are_those_that_collecting_draws(data, states: Path, tmp_path: Path) -> None:
    drawn, collected = tmp_path / "drawn", tmp_path / "collected"
    for words in ((), ("--draw", "shadows")):
        data("collect", "--env", "reacher-easy", *SMALL, "--pixels", 24, *words, "--out", collected)
        data("rerender", states, "--size", 24, *words, "--out", drawn)
        one, other = open_corpus(drawn), open_corpus(collected)
        assert one.manifest.observations == other.manifest.observations
        for a, b in zip(one, other, strict=True):
            assert np.array_equal(a.observations["pixels"], b.observations["pixels"])
            assert a.observations["pixels"].std() > 5
        shutil.rmtree(drawn)
        shutil.rmtree(collected)


def test_everything_else_is_as_it_was(data, states: Path, tmp_path: Path) -> None:
    out = tmp_path / "drawn"
    data("rerender", states, "--size", 16, "--camera", "fixed", "--out", out)
    before, after = open_corpus(states), open_corpus(out)
    assert before.table.id.tolist() == after.table.id.tolist()
    assert before.manifest.provenance == after.manifest.provenance
    assert after.manifest.observations[:-1] == before.manifest.observations
    assert after.manifest.observations[-1].drawing == Drawing(by="fast", camera="fixed")
    step = after.manifest.lineage[-1]
    assert (step.operation, step.parents) == ("rerender", (before.root_fingerprint,))
    for a, b in zip(before, after, strict=True):
        assert a.actions is not None
        assert b.actions is not None
        assert a.physics is not None
        assert b.physics is not None
        for one, other in ((a.actions, b.actions), (a.rewards, b.rewards), (a.physics, b.physics)):
            assert np.array_equal(one, other)
        assert all(np.array_equal(a.observations[k], b.observations[k]) for k in a.observations)
        assert a.info == b.info
    half, same = before.with_mask("half"), after.with_mask("half")
    assert (half.withheld == same.withheld).all()
    assert not validate(out)
    assert not list(tmp_path.glob("*.parts")) + list(tmp_path.glob(".tmp*"))
    # and once more, over the pictures that are there
    again = tmp_path / "again"
    data("rerender", out, "--size", 8, "--out", again)
    names = [spec.name for spec in open_corpus(again).manifest.observations]
    assert names == [spec.name for spec in after.manifest.observations]


def test_through_a_mask_nothing_hidden_is_written(data, states: Path, tmp_path: Path) -> None:
    data("rerender", states, "--size", 16, "--mask", "half", "--out", tmp_path / "m")
    data("rerender", states, "--size", 16, "--out", tmp_path / "whole")
    masked, whole = open_corpus(tmp_path / "m"), open_corpus(tmp_path / "whole")
    hidden = open_corpus(states).with_mask("half").withheld
    assert hidden.sum() == 2
    assert (masked.table.num_observed[hidden] == 0).all()
    assert "physics" not in [spec.name for spec in masked.manifest.observations]
    for a, b in zip(masked, whole, strict=True):
        assert np.array_equal(a.observations["pixels"], b.observations["pixels"])


@pytest.mark.slow
def test_the_same_bytes_by_workers_and_after_kills(data, tmp_path: Path) -> None:
    states, moments = tmp_path / "states", random.Random(0)
    collect = ("collect", "--env", "walker-walk", "--action-repeat", 20, "--trajectories", 6)
    data(*collect, "--out", states)
    words = ("rerender", states, "--size", 40, "--draw", "shadows", "--out")
    data(*words, tmp_path / "once")
    expected = files(tmp_path / "once")
    data(*words, tmp_path / "workers", "--workers", 2)
    assert files(tmp_path / "workers") == expected
    out, kept, kills = tmp_path / "killed", 0, 0
    parts = out.with_name("killed.parts")
    while kills < 2:
        process = subprocess.Popen([PROGRAM, *map(str, words), str(out)], stderr=subprocess.DEVNULL)
        while process.poll() is None and sum(f.is_file() for f in parts.rglob("0*")) <= kept:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        if process.wait() != -signal.SIGKILL:
            break
        kills += 1
        assert not out.exists()
        there = sum(f.is_file() for f in parts.rglob("[0-9]*[0-9]"))
        assert there >= kept  # nothing that was drawn is lost
        kept = there
    assert kills
    assert "goes on" in data("info", out, code=2)
    data(*words, out)
    assert files(out) == expected
    assert not parts.exists()


def test_without_states_the_actions_are_replayed(data, tmp_path: Path) -> None:
    bare, whole = tmp_path / "bare", tmp_path / "whole"
    collect = ("collect", "--env", "walker-walk", *SMALL, "--out")
    data(*collect, bare, "--no-physics")
    data(*collect, whole)
    data("mask", bare, "--fraction", 0.5, "--name", "half")
    for path in (bare, whole):
        data("rerender", path, "--size", 16, "--out", tmp_path / f"{path.name}-drawn")
    one, other = (open_corpus(tmp_path / f"{name}-drawn") for name in ("bare", "whole"))
    for a, b in zip(one, other, strict=True):
        assert np.array_equal(a.observations["pixels"], b.observations["pixels"])
    # what is hidden, or is not what happened, draws nothing
    there, out = sorted(tmp_path.iterdir()), tmp_path / "new"
    rerender = ("rerender", "--size", 16, "--out", out)
    hidden = data(*rerender, bare, "--mask", "half", code=2)
    assert "not every action is shown to replay it; collect it again, without --no-phys" in hidden
    wrong = tmp_path / "wrong"
    first = open_corpus(bare)[0]
    with CorpusWriter.create(
        wrong,
        observations=first.manifest.observations,
        action=first.manifest.action,
        environment=first.manifest.environment,
    ) as writer:
        assert first.actions is not None
        moved = np.where(np.arange(len(first))[:, None] == 3, 0, first.actions)
        source = first.manifest.provenance[0]
        writer.add(
            dict(first.observations), first.rewards, moved, provenance=source, seed=first.info.seed
        )
    assert "a replay differs at observation 4 in orientations" in data(*rerender, wrong, code=2)
    assert sorted(tmp_path.iterdir()) == sorted([*there, wrong])


def test_what_cannot_be_drawn_is_one_line_and_leaves_nothing(
    data, states: Path, tmp_path: Path
) -> None:
    def seedless(name: str, seeds: tuple[int | None, ...]) -> Path:
        source = open_corpus(states)
        with CorpusWriter.create(
            tmp_path / name,
            observations=source.manifest.observations,
            action=source.manifest.action,
            environment=source.manifest.environment,
        ) as writer:
            for t, seed in zip(source, seeds, strict=False):
                arrays = t.arrays(source.manifest.observations)
                place = source.manifest.provenance[0]
                writer.add(arrays, t.rewards, t.actions, provenance=place, seed=seed)
        return tmp_path / name

    some, none = seedless("some", (1, None, 2**40)), seedless("none", (None,))
    homeless = tmp_path / "homeless"
    data("edit", states, "--set", "env=null", "--out", homeless)
    there = sorted(tmp_path.iterdir())
    out = tmp_path / "deep" / "new"
    for words, line in (
        ((states, "--size", 7), "greater than or equal to 8"),
        ((states, "--size", 5000), "less than or equal to 4096"),
        ((states, "--size", 16, "--camera", 9), "no such camera"),
        ((states, "--size", 16, "--camera", "nobody"), "no such camera"),
        ((states, "--size", 16, "--mask", "none"), "no such mask"),
        ((some, "--size", 16), "2 of 3 trajectories have no seed of a reset"),
        ((none, "--size", 16), "collect it again"),
        ((homeless, "--size", 16), "names no environment"),
    ):
        said = data("rerender", *words, "--out", out, code=2)
        assert line in said
        assert "Traceback" not in said
        assert sorted(tmp_path.iterdir()) == there
    # the remedy that is named works
    data("filter", some, "seed <= 4294967295", "--out", tmp_path / "seeded")
    data("rerender", tmp_path / "seeded", "--size", 16, "--out", out)
    assert len(open_corpus(out)) == 1
    assert "already there" in data("rerender", states, "--size", 16, "--out", out, code=2)


def test_a_dry_run_writes_nothing(run: Callable, states: Path, tmp_path: Path) -> None:
    words = ("rerender", states, "--size", 16, "--dry-run", "--json", "--out", tmp_path / "new")
    said = OUTPUTS["lawm-data rerender"].model_validate_json(
        run("lawm-data", *words).out, strict=True
    )
    assert {"trajectories": 4, "size": 16, "drawing": "fast"}.items() <= said.model_dump().items()
    assert not list(tmp_path.iterdir())
