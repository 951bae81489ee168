"""The documentation says what the program does."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from lawm_cli import app, data_app
from lawm_cli.demo import unpack_corpus
from typer.main import get_command

from lawm_data import make_mask, open_corpus, save_mask
from lawm_models.algorithms import ALGORITHMS

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
PROGRAMS = {"lawm": app, "lawm-data": data_app}


def commands() -> list[str]:
    return [
        f"{program} {command.name or command.callback.__name__}"
        for program, module in PROGRAMS.items()
        for command in module.app.registered_commands
    ]


def sections() -> dict[str, str]:
    text = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
    parts = re.split(r"^## (lawm.*)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def anchors(page: Path) -> set[str]:
    """What a link can name behind a #: the headings, in lower case and with hyphens."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", path.read_text("utf-8")):
        if not target.startswith("https://"):
            page = path.parent / target if target else path
            assert page.exists(), target
            assert not anchor or anchor in anchors(page), (target, anchor)


def test_every_command_is_documented() -> None:
    assert sorted(sections()) == sorted(commands())


def test_every_algorithm_is_documented() -> None:
    text = (ROOT / "docs" / "algorithms.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## (\w+)$", text, flags=re.MULTILINE)
    assert sorted(sections) == ALGORITHMS.ours()
    for name in ALGORITHMS.ours():
        assert f"- `{name}`, {ALGORITHMS.summary(name)}\n" in text
    group: Any = get_command(app.app)
    train = group.commands["train"]
    screen = train.get_help(train.context_class(train))
    assert all(re.search(rf"\b{name}\b", screen) for name in ALGORITHMS.names())


def test_readme_names_only_what_exists() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^(lawm(?:-data)? [\w-]+)", text, flags=re.MULTILINE))
    assert named
    assert named <= set(commands())
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert set(re.findall(r"make (\w+)", text)) <= set(targets)


def test_readme_reads_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    reads = "".join(line for line in block.splitlines(True) if "lawm_models" not in line)
    corpus = unpack_corpus(tmp_path / "corpora" / "cs")
    whole = open_corpus(corpus)
    save_mask(whole, make_mask(whole, 0.05, 0, "5pct"))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(reads.partition("\nrun = ")[0], names)
    assert names["batch"].action.shape[:2] == names["batch"].action_mask.shape == (64, 50)


def command_lines(path: Path) -> list[tuple[str, bool]]:
    """The command lines of a document; those within a sentence may be incomplete (False)."""
    text = path.read_text("utf-8").replace("\\\n", " ")
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    whole = re.findall(
        r"^(?:\$ )?(lawm(?:-data)? [a-z-].*)$", "\n".join(blocks), flags=re.MULTILINE
    )
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    parts = re.findall(r"`(lawm(?:-data)? [^`|]+)", prose)
    return [(line, True) for line in whole] + [(line, False) for line in parts]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_commands_in_documents_are_understood(path: Path) -> None:
    for line, complete in command_lines(path):
        program, name, *words = shlex.split(line, comments=True)
        group: Any = get_command(PROGRAMS[program].app)
        if name.startswith("-"):
            continue
        try:
            group.commands[name].make_context(name, words)
        except Exception as error:
            told = getattr(error, "format_message", error.__repr__)()
            assert not complete, (line, told)
            assert re.match("Missing|.*requires an argument", told), (line, told)


def test_every_page_is_in_the_table_of_contents() -> None:
    text = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert pages == set(re.findall(r"\]\(([\w-]+\.md)\)", text))
