import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from lawm_cli import errors
from lawm_schemas import ConfigError

from lawm_data import open_corpus

RAISES = {
    "refused": ConfigError("is wrong", "there", "mend\nit"),
    "full": OSError(errno.ENOSPC, "No space left on device", "/some/file"),
    "interrupted": KeyboardInterrupt(),
    "defect": ZeroDivisionError("one\ntwo"),
    "memory": MemoryError("Unable to allocate 8 GiB"),
}


@pytest.fixture
def app() -> typer.Typer:
    """A program whose commands raise, one for each way to fail."""
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)

    def command(error: BaseException):
        def fail(number: int = 0) -> None:
            raise error

        return fail

    for name, error in RAISES.items():
        app.command(name)(command(error))
    app.command("exit")(command(typer.Exit(1)))
    app.command("fine")(lambda: None)

    @app.command("torch")
    def _() -> None:
        import torch

        torch.empty(1 << 60)

    return app


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        ("refused", 2, "prog: there: is wrong; mend it"),
        ("full", 2, "prog: /some/file: no space left on the device; free some space and run it"),
        ("interrupted", 130, "prog: interrupted"),
        ("defect", 70, "prog: defect: ZeroDivisionError: one two; set LAWM_TRACEBACK=1"),
        ("memory", 2, "prog: the memory is not enough (Unable to allocate 8 GiB); ask for less"),
        ("torch", 2, "prog: the memory is not enough ("),
        ("nothing", 2, "prog: No such command 'nothing'; see prog --help"),
        ("fine --number 1", 2, "prog: No such option"),
        ("refused --number x", 2, "prog: Invalid value for '--number'"),
        ("exit", 1, ""),
        ("fine", 0, ""),
    ],
)
def test_every_failure_is_one_line_and_a_code(
    app: typer.Typer, capsys: pytest.CaptureFixture[str], words: str, code: int, line: str
) -> None:
    assert errors.run(app, "prog", words.split()) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(line)
    assert err.count("\n") == bool(line)


def test_defect_shows_its_traceback_when_asked(
    app: typer.Typer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(errors.TRACEBACK, "1")
    with pytest.raises(ZeroDivisionError, match="one"):
        errors.run(app, "prog", ["defect"])


def test_no_command_shows_the_help_screen(
    app: typer.Typer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert errors.run(app, "prog", []) == 2
    assert "Usage: prog" in capsys.readouterr().err


def shell(line: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHON": sys.executable}
    command = ["bash", "-c", f"set -o pipefail; {line}"]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


RUN = "import sys; from lawm_cli.entry import lawm_data; sys.exit(lawm_data())"
MAIN = "import sys; from lawm_cli.data_app import main; sys.exit(main(sys.argv[1:]))"
NOWHERE = "lawm-data: nowhere: does not exist; check the path\n"
needs_full = pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="needs the device that is always full"
)


@needs_full
@pytest.mark.parametrize("code", [RUN, MAIN])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_full_disk_under_the_output_is_one_line(made: Path, code: str, unbuffered: str) -> None:
    """However much of it is left to the last moment."""
    program = f"PYTHONUNBUFFERED={unbuffered} \"$PYTHON\" -c '{code}'"
    for words in ("info", "info --json", "info --help"):
        done = shell(f"{program} {words} {made / 'corpus'} > /dev/full")
        assert done.returncode == 2
        assert done.stderr == "lawm-data: stdout: no space left on the device; all else was done\n"
    done = shell(f"{program} info nowhere > /dev/full")
    assert (done.returncode, done.stderr) == (2, NOWHERE)


@needs_full
def test_what_cannot_be_told_is_done_all_the_same(made: Path, tmp_path: Path) -> None:
    words = f"filter {made / 'corpus'} 'length > 0' --out"
    for number, rest in enumerate((">/dev/full", "2>/dev/full", ">&-", "2>&-", ">&- 2>&- <&-")):
        out = tmp_path / str(number)
        done = shell(f"\"$PYTHON\" -c '{RUN}' {words} {out} {rest}")
        assert done.returncode == (2 if rest == ">/dev/full" else 0), done.stderr
        assert "all else was done" in done.stderr or rest != ">/dev/full"
        assert len(open_corpus(out, verify=True)) == len(open_corpus(made / "corpus"))


def test_closed_streams_are_the_null_device(made: Path) -> None:
    for rest in ("2>&-", "2>&- <&-"):
        done = shell(f"\"$PYTHON\" -c '{RUN}' info nowhere {rest}")
        assert (done.returncode, done.stdout, done.stderr) == (2, "", "")
    done = shell(f"\"$PYTHON\" -c '{RUN}' info nowhere >&-")
    assert (done.returncode, done.stderr) == (2, NOWHERE)
    done = shell(f"\"$PYTHON\" -c '{RUN}' info {made / 'corpus'} >&-")
    assert (done.returncode, done.stderr) == (0, "")


def test_reader_that_stops_reading_is_no_error(made: Path) -> None:
    code = (
        "import sys, time; from lawm_cli import data_app; time.sleep(0.5);"
        'sys.exit(data_app.main(["info", sys.argv[1]]))'
    )
    done = shell(f"\"$PYTHON\" -c '{code}' {made / 'corpus'} | true")
    assert (done.returncode, done.stderr) == (141, "")
