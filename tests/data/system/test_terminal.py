from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lawm_data.system import terminal as show
from lawm_data.system.terminal import Bars


def test_tables_take_text_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    show.facts({"shape": "action[1]", "odd": "[bold]x[/]"}, title="runs/[a]")
    show.grid(["name", "n"], [["[red]", 1], ["b", 1000]])
    out = capsys.readouterr().out
    for word in ("action[1]", "[bold]x[/]", "runs/[a]", "[red]", "1,000"):
        assert word in out
    assert not [row for row in out.splitlines() if row != row.rstrip()]


words = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=90)


@settings(max_examples=50)
@given(
    rows=st.lists(st.tuples(words, words, st.integers()), min_size=1, max_size=4),
    header=st.booleans(),
    title=st.none() | words.filter(str.strip),
)
def test_a_table_looks_the_same_without_rich(
    rows: list[tuple[str, str, int]], header: bool, title: str | None
) -> None:
    sides = ["left", "left", "right" if header else "left"]

    def drawn(how: str, *rest: bool) -> list[str]:
        cells = [[name, what, show.text(number)] for name, what, number in rows]
        out = StringIO()
        with redirect_stdout(out):
            getattr(show, how)(cells, sides, header, title, *rest)
        return out.getvalue().splitlines()

    assert drawn("_table") == drawn("_by_rich", False)


def test_bars_without_a_terminal_are_a_few_lines_on_stderr(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Bars() as bars:
        bars.start("model", 1000)
        bars.advance(400, {})
        for _ in range(600):
            bars.advance(1, {"loss": 1.5})
        bars.start("agent", 10)
        bars.reach(10)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "model: 400 of 1,000",
        "model: 1,000 of 1,000  loss 1.5",
        "agent: 10 of 10",
    ]


def test_bars_tell_the_time_left_from_what_this_process_did(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(show, "SPARSE", 0.0)
    now = 0.0
    monkeypatch.setattr(show.time, "monotonic", lambda: now)
    with Bars() as bars:
        bars.start("model", 100)
        bars.reach(60)
        now = 10.0
        bars.reach(70)
    assert capsys.readouterr().err.splitlines()[-1] == "model: 70 of 100, 0:00:30 left"


def test_a_title_is_one_line_however_narrow_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    title = f"corpora/[b]{'long' * 60}@5pct"
    show.facts({"a": 1}, title)
    show.grid(["a"], [[1]], title)
    assert capsys.readouterr().out.splitlines().count(title) == 2


def test_paths_are_relative_below_the_current_folder(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert show.near(tmp_path / "a" / "b") == "a/b"
    for other in ("a/b", "hf://user/name@main", str(tmp_path), f"{tmp_path}-2/a"):
        assert show.near(other) == other


def test_a_listing_fits_the_terminal(capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    show.listing([("a.key=1", "what it means " * 5), ("other", "short")])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith("    ")] == ["a.key=1", "other"]
    assert max(map(len, lines)) <= 30
    assert " ".join(" ".join(lines[1:-2]).split()) == ("what it means " * 5).strip()
