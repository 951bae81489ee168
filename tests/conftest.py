"""Settings of all tests: shapes are checked, and examples are the same every time.

A small corpus and run are made by commands, which run in this process.
``egl`` is for tests that draw: they are skipped only where MuJoCo alone cannot draw either.

Shape annotations of ``lawm_models`` are checked while tests run, and only then: jaxtyping
instruments every function as its module is imported; a call with a wrong shape raises
``jaxtyping.TypeCheckError``. Types that are not arrays are pyright's business.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
from beartype import beartype
from hypothesis import settings
from jaxtyping import AbstractArray, install_import_hook

CHECKED = "lawm_models"
DRAW = """
import mujoco
scene = "<mujoco><worldbody><light/><geom type='box' size='1 1 .1'/></worldbody></mujoco>"
model = mujoco.MjModel.from_xml_string(scene)
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
with mujoco.Renderer(model, 16, 16) as renderer:
    renderer.update_scene(data)
    if not renderer.render().std():
        raise SystemExit("the picture is empty")
"""

# No deadline: a slow machine is not a wrong result.
settings.register_profile("lawm", deadline=None, derandomize=True, database=None)
settings.load_profile("lawm")


def check_shapes(function: Callable) -> Callable:
    """The function, with its array annotations enforced and every other annotation ignored."""
    annotations = function.__annotations__
    arrays = {name: hint for name, hint in annotations.items() if _mentions_array(hint)}
    if not arrays:
        return function
    function.__annotations__ = {**dict.fromkeys(annotations, Any), **arrays}
    return beartype(function)


@pytest.fixture(scope="session")
def egl() -> dict[str, str]:
    """Environment variables of a process that draws with EGL.

    In a process of its own, without a line of ours: a renderer is chosen when MuJoCo is first
    imported, and a defect of ours must not look like a machine that cannot draw.
    """
    variables = {**os.environ, "MUJOCO_GL": "egl"}
    command = [sys.executable, "-c", DRAW]
    drawn = subprocess.run(command, capture_output=True, text=True, env=variables)
    if drawn.returncode:
        lines = drawn.stderr.strip().splitlines() or [f"exit status {drawn.returncode}"]
        why = f"bare MuJoCo cannot draw with EGL on this machine: {lines[-1]}"
        # where it draws, the tests run and may fail
        pytest.skip(why)  # reason: the machine has no graphics driver; DRAW runs no line of ours
    return variables


@pytest.fixture(scope="session")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A C compiler, tried without a line of ours, whose defects must not look like its absence."""
    name = os.environ.get("CC") or "cc"
    folder = tmp_path_factory.mktemp("compiler")
    (folder / "one.c").write_text("int one(void) { return 1; }\n")
    command = [*shlex.split(name), "-shared", "-fPIC", "one.c", "-o", "one.so"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        why = done.stderr if done.returncode else ""
    except OSError as error:
        why = str(error)
    if why:
        # where it compiles this, the tests run and may fail
        pytest.skip(f"no C compiler on this machine: {why}")  # reason: training goes on without one
    return name


DRAWN = """
import sys
import numpy as np
from lawm_schemas import Provenance
from lawm_data import CorpusWriter, make_mask, open_corpus, save_mask
from lawm_data.envs import suites as envs
env, draws = envs.make("cartpole-swingup", pixels=16, action_repeat=40), np.random.default_rng(0)
with CorpusWriter.create(
    sys.argv[1], observations=env.observations, action=env.action, environment=env.info
) as writer:
    for seed in range(6):
        rows, rewards, actions = [env.reset([seed])], [], []
        for _ in range(10):
            actions.append(draws.uniform(-1, 1, (1, 1)).astype(np.float32))
            step = env.step(actions[-1])
            rows.append(step.observations)
            rewards.append(step.reward[0])
        tape = {name: np.stack([row[name][0] for row in rows]) for name in rows[0]}
        writer.add(
            tape, rewards, np.concatenate(actions), provenance=Provenance(source="s"), seed=seed
        )
corpus = open_corpus(sys.argv[1])
save_mask(corpus, make_mask(corpus, 0.5, seed=0, name="half"))
"""


@pytest.fixture(scope="session")
def drawn_once(egl: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("drawn") / "corpus"
    command = [sys.executable, "-c", DRAWN, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env=egl)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture
def quick_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """How much of the state features tell is not looked at where they are made, but in test_probe.

    Its full 2000 steps take longer than all else that is done with features.
    """
    from lawm_models.runs import probe

    monkeypatch.setattr(probe, "STEPS", 20)


@pytest.fixture
def drawn(drawn_once: Path, quick_probe: None, tmp_path: Path) -> Path:
    """A corpus with pictures that dm_control drew: six trajectories of 10 steps, mask ``half``."""
    return Path(shutil.copytree(drawn_once, tmp_path / "drawn"))


@pytest.fixture
def run_where_it_draws(egl: dict[str, str]) -> Callable[..., None]:
    """Runs the tests of a file in a process that draws with EGL, as ``egl`` says.

    More words go to pytest.
    """

    def call(file: Path, *more: str) -> None:
        words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", str(file), *more)
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True, env=egl)
        assert done.returncode == 0, done.stdout

    return call


TINY = ("steps.agent=3", "batch_size=4", "window=5", "evaluation_episodes=1")


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out, parse_constant=pytest.fail)


def main_of(program: str) -> Callable[[list[str]], int]:
    """A program; imported when it is used, since shapes are checked from the first import on."""
    from lawm_cli import app, data_app

    return app.main if program == "lawm" else data_app.main


def words_of(line: str) -> list[str]:
    return [word for setting in TINY for word in ("--set", setting)] if line == "TINY" else [line]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Run a command line, given as words; ``TINY`` stands for the settings of a tiny training."""

    def call(program: str, *words: object) -> Result:
        capsys.readouterr()
        code = main_of(program)([part for word in words for part in words_of(str(word))])
        return Result(code, *capsys.readouterr())

    return call


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``corpus``: six trajectories of 25 steps with mask ``third``; ``run``: a tiny training."""
    folder = tmp_path_factory.mktemp("made")
    collect = "collect --env cartpole-swingup --trajectories 6 --num-envs 3 --action-repeat 40"
    assert main_of("lawm-data")([*collect.split(), "--out", str(folder / "corpus")]) == 0
    mask = f"mask {folder}/corpus --fraction 0.34 --name third"
    assert main_of("lawm-data")(mask.split()) == 0
    train = f"train --corpus {folder}/corpus@third --algorithm bc --preset demo --out {folder}/run"
    assert main_of("lawm")([*train.split(), *words_of("TINY")]) == 0
    return folder


@pytest.fixture
def corpus(made: Path, tmp_path: Path) -> Path:
    """A copy of the corpus."""
    return Path(shutil.copytree(made / "corpus", tmp_path / "corpus"))


@pytest.fixture
def trained(made: Path, tmp_path: Path) -> Path:
    """A copy of the run; its corpus is in ``made``."""
    return Path(shutil.copytree(made / "run", tmp_path / "run"))


@pytest.fixture
def install(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Path]]:
    """Puts a package on the path as pip would: ``install("name 1.0", files, points)``.

    ``files`` are texts by path; ``points`` are modules by name, by group of entry points.
    """

    def call(
        distribution: str, files: Mapping[str, str], points: Mapping[str, Mapping[str, str]]
    ) -> Path:
        site = tmp_path_factory.mktemp("site")
        name, version = distribution.split()
        info = f"{name.replace('-', '_')}-{version}.dist-info"
        groups = (
            f"[{group}]\n" + "".join(f"{key} = {module}\n" for key, module in modules.items())
            for group, modules in points.items()
        )
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        whole = {f"{info}/METADATA": metadata, f"{info}/entry_points.txt": "\n".join(groups)}
        for path, text in {**files, **whole}.items():
            (site / path).parent.mkdir(parents=True, exist_ok=True)
            (site / path).write_text(text)
        monkeypatch.syspath_prepend(site)
        monkeypatch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)
        packages.update(path.partition("/")[0] for path in files)
        return site

    packages: set[str] = set()
    yield call
    for name in list(sys.modules):  # another test's package may have the same name
        if name.partition(".")[0] in packages:
            del sys.modules[name]


def _mentions_array(hint: Any) -> bool:
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return True
    return any(_mentions_array(part) for part in get_args(hint))


if CHECKED in sys.modules:
    raise RuntimeError(f"{CHECKED} was imported before its shapes could be checked")
if os.environ.get("SHAPES") != "unchecked":  # checks take a third of the time of whole runs
    install_import_hook(CHECKED, f"sys.modules[{__name__!r}].check_shapes")
