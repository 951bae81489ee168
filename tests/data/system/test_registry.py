"""Members by name: ours, those of other packages, and those that cannot be used."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lawm_schemas import ConfigError

from lawm_data.envs.suites import SUITES
from lawm_data.exchange.formats import FORMATS
from lawm_data.system.registry import Registry, other_packages
from lawm_data.system.workers import BACKENDS
from lawm_models.algorithms import ALGORITHMS
from lawm_models.collection.agents import AGENTS
from lawm_models.networks.constraints import CONSTRAINTS
from lawm_models.networks.encoders import ENCODERS
from lawm_models.studies.packaged import STUDIES
from lawm_models.studies.recipes.packaged import RECIPES
from lawm_models.training.presets import PRESETS

ALL = (
    *(ALGORITHMS, CONSTRAINTS, ENCODERS, FORMATS, SUITES),
    *(BACKENDS, AGENTS, PRESETS, STUDIES, RECIPES),
)
WORKING = "'''Threads of this process.'''\ndef executor(): return map\n"
Install = Callable[..., object]


def brings(install: Install, distribution: str, **modules: str) -> None:
    """Install a package with backends of these names and contents."""
    package = distribution.split()[0]
    install(
        distribution,
        {f"{package}/{name}.py": text for name, text in modules.items()},
        {"lawm.workers": {name: f"{package}.{name}" for name in modules}},
    )


@pytest.mark.parametrize("registry", ALL, ids=lambda registry: registry.kind)
def test_what_is_ours_is_there_and_described(registry: Registry) -> None:
    assert registry.ours()
    assert set(registry.ours()) <= set(registry.names())
    for name in registry.ours():
        assert registry.load(name) is not None
        assert registry.find(name).package is None
        assert registry.summary(name)
        assert "\n" not in registry.summary(name)


@pytest.mark.parametrize("registry", ALL, ids=lambda registry: registry.kind)
def test_an_unknown_name_is_told_the_nearest(registry: Registry) -> None:
    name = registry.ours()[-1]
    with pytest.raises(ConfigError, match=f"no {registry.kind} '{name}x'; nearest: {name}; known"):
        registry.load(f"{name}x")
    with pytest.raises(ConfigError, match="known ones: ") as caught:
        registry.load("_protocol")
    assert "\n" not in str(caught.value)
    assert "_protocol" not in registry


def test_a_member_of_another_package_is_one_of_all(install: Install) -> None:
    before = BACKENDS.names()
    brings(install, "lab 1.0", threads=WORKING)
    assert BACKENDS.names() == sorted([*before, "threads"])
    assert "threads" in BACKENDS
    assert BACKENDS.load("threads").executor() is map
    assert BACKENDS.find("threads").package == "lab 1.0"
    assert BACKENDS.summary("threads") == "Threads of this process (lab 1.0)"
    assert BACKENDS.faults() == []
    assert other_packages() == {"lab": "1.0"}


def test_listing_imports_no_member(install: Install) -> None:
    brings(install, "lab 1.0", threads=f"{WORKING}raise SystemExit('imported')")
    program = (
        "import sys\n"
        "from lawm_data.system.workers import BACKENDS\n"
        "print(*map(BACKENDS.summary, BACKENDS.names()))\n"
        "assert not {'lab.threads', 'lawm_data.system.workers.ray'} & {*sys.modules}"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "Threads of this process (lab 1.0)" in done.stdout, done.stderr
    assert done.returncode == 0, done.stderr


NAMES = st.sets(st.sampled_from(["processes", "ray", "threads", "slurm", "mpi"]))


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(one=NAMES, other=NAMES)
def test_a_name_means_one_thing(install: Install, one: set[str], other: set[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", list(sys.path))
        ours = set(BACKENDS.ours())
        for package, names in (("one", one), ("other", other)):
            brings(install, f"{package} 1.0", **dict.fromkeys(names, WORKING))
        assert set(BACKENDS.names()) == ours | (one ^ other)
        for name in ours:
            assert BACKENDS.find(name).package is None
        for name in (one ^ other) - ours:
            assert BACKENDS.find(name).package == f"{'one' if name in one else 'other'} 1.0"
        for name in (one & other) - ours:
            with pytest.raises(ConfigError, match=f"backend '{name}': ") as caught:
                BACKENDS.load(name)
            assert "one 1.0" in str(caught.value)
            assert "other 1.0" in str(caught.value)
        refused = ((one | other) & ours) | (one & other)
        faults = [str(fault) for fault in BACKENDS.faults()]
        assert len(faults) == len(refused)
        for name in refused:
            (line,) = [line for line in faults if f"'{name}'" in line]
            assert "\n" not in line
            assert "1.0" in line


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "import nowhere_to_be_found",
            "ModuleNotFoundError: No module named 'nowhere_to_be_found'",
        ),
        ("def executor(:", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise RuntimeError('a\\nb')", "RuntimeError: a"),
        ("", "TypeError: lab.broken.executor is no Callable"),
    ],
)
def test_a_broken_member_is_one_line_and_hides_nothing(
    install: Install, text: str, reason: str
) -> None:
    known = BACKENDS.names()
    brings(install, "lab 1.0", broken=text, threads=WORKING)
    with pytest.raises(ConfigError) as caught:
        BACKENDS.load("broken")
    line = str(caught.value)
    assert line.startswith(f"backend 'broken' of lab 1.0: cannot be used ({reason}")
    assert "\n" not in line
    assert "\n" not in BACKENDS.summary("broken")
    members, faults = BACKENDS.load_all()
    assert sorted(members) == sorted([*known, "threads"])
    assert [str(fault) for fault in faults] == [line]


def test_yaml_files_of_another_package(install: Install) -> None:
    files = {"lab/mine/quick.yaml": "description: a moment\nlike: small\nalgorithms: {bc: {}}\n"}
    install("lab 1.0", files, {"lawm.presets": {"any": "lab.mine"}})
    assert PRESETS.names() == sorted([*PRESETS.ours(), "quick"])
    assert PRESETS.load("quick")["like"] == "small"
    assert PRESETS.summary("quick") == "a moment (lab 1.0)"


def test_a_folder_that_is_not_there_is_one_line(install: Install) -> None:
    install("lab 1.0", {}, {"lawm.presets": {"any": "lab.nowhere"}})
    assert PRESETS.names() == PRESETS.ours()
    (fault,) = PRESETS.faults()
    assert str(fault).startswith("preset 'any' of lab 1.0: cannot be used (ModuleNotFoundError: ")
    with pytest.raises(ConfigError) as caught:
        PRESETS.load("quick")
    assert [line.partition(":")[0] for line in caught.value.lines] == [
        "no preset 'quick'; known ones",
        "preset 'any' of lab 1.0",
    ]


def test_a_file_is_as_good_as_a_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("like: small\n")
    assert PRESETS.load(str(path)) == {"like": "small"}
