"""Work is shell commands: they can say what they did, count their calls and kill their worker."""

import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from lawm_schemas import ConfigError

from lawm_data.system.workers import BACKENDS, Executor, executor

PREPARE = partial(partial, subprocess.getoutput)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A Ray cluster on this machine."""
    ray = pytest.importorskip("ray")
    options = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    ray.init(address="local", num_cpus=2, **options)
    yield
    ray.shutdown()


@pytest.fixture(params=["processes", "ray"])
def run(request: pytest.FixtureRequest) -> Executor:
    if request.param == "ray":
        request.getfixturevalue("cluster")
    return executor(request.param)


def fatal(folder: Path, times: int) -> str:
    """A command that kills its worker so many times, and then says how often it was called."""
    calls = folder / "calls"
    count = f"echo >> {calls}; test $(wc -l < {calls}) -gt {times} || kill -9 $PPID"
    return f"{count}; sleep 0.1; wc -l < {calls}"


def test_every_backend_is_tested() -> None:
    assert set(BACKENDS.names()) == {"processes", "ray"}


def test_everything_is_done_once(run: Executor, tmp_path: Path) -> None:
    items = [f"echo {i} | tee -a {tmp_path}/done" for i in range(7)]
    beats = []
    results = list(run(PREPARE, items, 2, lambda: beats.append(1)))
    assert sorted(results) == [str(i) for i in range(7)]
    assert sorted((tmp_path / "done").read_text().split()) == sorted(results)
    assert beats


def test_more_workers_than_work(run: Executor) -> None:
    assert list(run(PREPARE, ["echo 1"], 2)) == ["1"]
    assert list(run(PREPARE, [], 2)) == []


def test_dead_worker_is_replaced_and_costs_its_item_alone(run: Executor, tmp_path: Path) -> None:
    others = [f"sleep 0.3; echo x | tee -a {tmp_path}/others" for _ in range(3)]
    assert sorted(run(PREPARE, [fatal(tmp_path, 1), *others], 2)) == ["2", "x", "x", "x"]
    assert (tmp_path / "others").read_text() == "x\n" * 3


def test_item_that_kills_every_worker_is_given_up(run: Executor, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"3 workers died at the same piece of work \(.+\); give"):
        list(run(PREPARE, [fatal(tmp_path, 9)], 2))
    assert (tmp_path / "calls").read_text() == "\n" * 3


def test_an_item_that_nobody_survives_need_not_stop_the_others(
    run: Executor, tmp_path: Path
) -> None:
    items = [fatal(tmp_path, 9), *(f"echo {i}" for i in range(3))]
    results = list(run(PREPARE, items, 1, None, lambda item, died: (item, bool(died))))
    assert results == [(items[0], True), "0", "1", "2"]


def test_what_an_item_raises_is_raised_here(run: Executor) -> None:
    # The same error, with the line that the command shows, not one about workers.
    with pytest.raises(ConfigError, match=r"^--backend: no backend 'nowhere'; known") as caught:
        list(run(partial(partial, executor), ["nowhere"], 1))
    assert caught.value.where == "--backend"


def test_work_is_drawn_when_a_worker_is_free(run: Executor) -> None:
    drawn = []

    def items() -> Iterator[str]:
        for i in range(100):
            drawn.append(i)
            yield f"echo {i}"

    results = run(PREPARE, items(), 1)
    assert next(results) == "0"
    assert len(drawn) == 2
    getattr(results, "close")()  # noqa: B009 - generators have it, iterators do not


def test_unknown_backend() -> None:
    with pytest.raises(ConfigError, match=r"no backend 'dask'; known ones: processes, ray"):
        executor("dask")
