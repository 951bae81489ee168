"""``lawm-data collect`` with snapshots, seeds and workers."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import small_agents

from lawm_data import open_corpus
from lawm_models.collection.collector import agent_folder, collect_learning

ENV = ["--env", "cartpole-swingup"]
RANDOM = ["collect", *ENV, "--action-repeat", "40", "--num-envs", "2"]
CONFIG = small_agents.CONFIG.model_copy(update={"first_updates": 1, "updates": 1})


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of ten trajectories; its agent has one snapshot."""
    out = tmp_path_factory.mktemp("collected") / "learned"
    collect_learning("dreamer", "cartpole-swingup", out, 10, 0, 40, CONFIG, processes=1)
    return out


@pytest.fixture
def learned(collected: Path, tmp_path: Path) -> Path:
    """A copy of them."""
    shutil.copytree(agent_folder(collected), tmp_path / "learned.agent")
    return Path(shutil.copytree(collected, tmp_path / "learned"))


def test_snapshots_top_up_a_collection_once(run, learned: Path) -> None:
    agent = f"{agent_folder(learned)}@snapshots"
    words = ("collect", *ENV, "--agent", agent, "--append", "--out", learned, "--workers", 1)
    result = run("lawm-data", *words, "--trajectories", 3, "--json").json
    assert result["trajectories"] == 13
    result = run("lawm-data", *words, "--trajectories", 3, "--json").json
    assert result["trajectories"] == 13  # the same command goes on, and there is nothing left
    assert run("lawm-data", *words, "--trajectories", 3, "--seed", 1).code == 0
    info = run("lawm-data", "info", learned, "--json").json
    assert info["sources"] == {"dreamer": 10, "dreamer@snapshots": 6}
    assert run("lawm-data", "validate", learned, "--json").json["findings"] == []
    origins = [(p.origin, p.seed) for p in open_corpus(learned).manifest.provenance]
    assert origins == [("training", 0), ("rollout", 0), ("rollout", 1)]


def test_snapshots_alone(run, learned: Path, tmp_path: Path) -> None:
    agent = f"{agent_folder(learned)}@snapshots:1:10"
    words = ("collect", *ENV, "--agent", agent, "--out", tmp_path / "c", "--workers", 1)
    assert run("lawm-data", *words, "--trajectories", 2, "--json").json["trajectories"] == 2
    # Other shares would be another collection.
    result = run("lawm-data", *words, "--trajectories", 3)
    assert (result.code, "is a corpus of another collection" in result.err) == (2, True)


def test_seeds_collect_what_each_would_alone(run, require_documented, tmp_path: Path) -> None:
    words = (*RANDOM, "--trajectories", 3, "--out")
    many = run("lawm-data", *words, tmp_path / "c", "--seeds", "4,7", "--workers", 2, "--json").json
    assert set(many) == {"corpora"}
    assert [Path(one["path"]).name for one in many["corpora"]] == ["c-4", "c-7"]
    for one in many["corpora"]:
        require_documented("lawm-data collect", one)
        out = tmp_path / f"alone-{one['seed']}"
        alone = run("lawm-data", *words, out, "--seed", one["seed"], "--json").json
        assert alone["fingerprint"] == one["fingerprint"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--seed", 0, "--seeds", "1,2"), "--seeds and --seed: do not go together; give one"),
        (("--seed", 3, "--seeds", "1"), "--seeds and --seed: do not go together; give one"),
        (("--deterministic",), "--deterministic: does not go with --agent random; leave it out"),
        (("--noise",), "--noise: does not go with --agent random; leave it out"),
        (("--agent", "dreamer", "--deterministic"), "--deterministic: does not go with --agent d"),
        (("--agent", "dreamer", "--noise"), "--noise: does not go with --agent dreamer"),
    ],
)
def test_nothing_that_is_asked_for_is_ignored(
    run, tmp_path: Path, words: tuple, message: str
) -> None:
    result = run("lawm-data", *RANDOM, "--trajectories", 1, *words, "--out", tmp_path / "c")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert message in result.err
    assert not list(tmp_path.iterdir())


def test_learning_agents_collect_for_several_seeds(run, tmp_path: Path) -> None:
    words = ("collect", *ENV, "--agent", "dreamer", "--action-repeat", 40, "--trajectories", 2)
    result = run("lawm-data", *words, "--out", tmp_path / "c", "--seeds", 3)
    assert result.code == 0
    assert "c-3" in result.out
    alone = run("lawm-data", *words, "--out", tmp_path / "alone", "--seed", 3, "--json").json
    assert open_corpus(tmp_path / "c-3").fingerprint == alone["fingerprint"]
    assert agent_folder(tmp_path / "c-3").is_dir()


def test_killed_collection_goes_on_with_its_workers(run, tmp_path: Path) -> None:
    out = tmp_path / "c"
    code = "import sys; from lawm_cli.data_app import main; sys.exit(main())"
    words = [*RANDOM, "--trajectories", str(10**6), "--workers", "2", "--out", str(out)]
    process = subprocess.Popen([sys.executable, "-c", code, *words], stderr=subprocess.DEVNULL)
    while not (out / "corpus.json").exists() or not len(open_corpus(out)):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = len(open_corpus(out))
    words = (*RANDOM, "--trajectories", there + 2, "--json", "--out")
    again = run("lawm-data", *words, out, "--workers", 1).json
    assert again["trajectories"] == there + 2
    quiet = run("lawm-data", *words, tmp_path / "quiet").json
    assert again["fingerprint"] == quiet["fingerprint"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--workers 0", "--workers"),
        ("--backend nowhere", "no backend 'nowhere'; known ones: processes, ray"),
        ("--seeds 0,x", "'0,x' is not a list of different seeds"),
        ("--seeds 1,1", "'1,1' is not a list of different seeds"),
        ("--seeds=", "an argument is empty"),
        ("--seeds 0,1 --backend nowhere", "no backend 'nowhere'"),
        ("--seeds 0,1 --agent nobody --workers 1", "--agent nobody: no such agent"),
        ("--agent dreamer --workers 2", "give several --seeds"),
        ("--agent nobody@snapshots", "nobody: holds no collecting agent"),
        ("--agent {learned}.agent@snapshots:1", "give FOLDER@snapshots"),
        ("--agent {learned}.agent@snapshots:11:99", "no snapshot of rounds 11 to 99"),
        ("--agent {learned}.agent@snapshots --action-repeat 9 --append --out {learned}", "not"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    run, learned: Path, tmp_path: Path, words: str, line: str
) -> None:
    before = sorted(tmp_path.rglob("*")), open_corpus(learned).fingerprint
    given = words.format(learned=learned).split()
    result = run("lawm-data", "collect", *ENV, "--out", tmp_path / "new", *given)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1), result.err
    assert line in result.err
    assert (sorted(tmp_path.rglob("*")), open_corpus(learned).fingerprint) == before


def test_physics_is_recorded_unless_it_is_not_wanted(run, tmp_path: Path) -> None:
    words = ("collect", "--env", "cartpole-swingup", "--trajectories", 2, "--action-repeat", 50)
    for out, more in (("with", ()), ("without", ("--no-physics",))):
        assert run("lawm-data", *words, "--out", tmp_path / out, *more).code == 0
    whole, rest = (open_corpus(tmp_path / name) for name in ("with", "without"))
    assert [s.name for s in whole.manifest.observations][-1] == "physics"
    for one, other in zip(whole, rest, strict=True):
        assert other.physics is None
        assert (one.observations.state == other.observations.state).all()
        assert (one.rewards == other.rewards).all()
    result = run("lawm-data", *words, "--out", tmp_path / "without", "--append")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "physics[4]), choose" in result.err.replace(";", ",")
    report = run("lawm-data", "validate", tmp_path / "without", "--replay", "--json").json
    assert report["replay"]["skipped"] == {"no physics states were recorded": 2}


def test_pictures_are_drawn_as_the_corpus_says(run_where_it_draws: Callable[..., None]) -> None:
    run_where_it_draws(Path(__file__).with_name("collecting_pictures.py"))


def test_drawing_goes_with_pictures(run, tmp_path: Path) -> None:
    result = run("lawm-data", *RANDOM, "--draw", "fast", "--out", tmp_path / "c")
    assert (result.code, "--draw: goes with --pixels" in result.err) == (2, True)
    assert not (tmp_path / "c").exists()


@pytest.mark.skipif(find_spec("pygame") is not None, reason="pygame is there")
@pytest.mark.parametrize("agent", ["random", "dreamer"])
def test_what_cannot_be_drawn_leaves_nothing_in_the_way(run, tmp_path: Path, agent: str) -> None:
    """Gymnasium's own environments are drawn by a package that nobody has to have."""
    pytest.importorskip("gymnasium")
    pendulum = ("--env", "gym:Pendulum-v1", "--trajectories", 1)
    words = ("collect", *pendulum, "--agent", agent, "--out", tmp_path / "out")
    result = run("lawm-data", *words, "--pixels", 8)
    assert result.code == 2
    assert 'pygame is not installed; pip install "gymnasium[' in result.err.splitlines()[-1]
    assert not list(tmp_path.iterdir())
    if agent == "random":
        assert run("lawm-data", *words).code == 0
        drawn = ("rerender", tmp_path / "out", "--size", 8, "--out", tmp_path / "drawn")
        result = run("lawm-data", *drawn)
        assert result.code == 2
        assert 'pygame is not installed; pip install "gymnasium[' in result.err
        assert [path.name for path in tmp_path.iterdir()] == ["out"]
