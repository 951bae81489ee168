"""The documentation says what the program does."""

import importlib.util
import re
from pathlib import Path

import pytest
from lawm_cli import app, data_app

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
PROGRAMS = {"lawm": app, "lawm-data": data_app}


def commands() -> list[str]:
    return [
        f"{program} {command.callback.__name__}"
        for program, module in PROGRAMS.items()
        for command in module.app.registered_commands
    ]


def sections() -> dict[str, str]:
    text = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
    parts = re.split(r"^## (lawm.*)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
        if not target.startswith("https://"):
            assert (path.parent / target).exists(), target


def test_every_command_is_documented() -> None:
    assert sorted(sections()) == sorted(commands())


def test_readme_names_only_what_exists() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for program, command in re.findall(r"^(lawm(?:-data)?) (\w+)", text, flags=re.MULTILINE):
        if program in PROGRAMS and command != "networks":
            assert f"{program} {command}" in [*commands(), "lawm_cli commands"]
    for target in re.findall(r"make (\w+)", text):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


def test_readme_tables_are_made_from_the_results() -> None:
    spec = importlib.util.spec_from_file_location("table", ROOT / "benchmarks/readme_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert module.with_tables(text) == text, "run python benchmarks/readme_table.py"
