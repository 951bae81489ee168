"""The documentation says what the program does."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lawm_cli import app, data_app
from typer.main import get_command

from lawm_data import make_mask, open_corpus, save_mask
from lawm_data.curation.shipped import unpack_corpus
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


# What makes the trainings in documents a matter of seconds; it is put into their ``configure``.
TINY = {
    "steps.model": 4,
    "steps.agent": 2,
    "batch_size": 4,
    "window": 8,
    "evaluation_episodes": 1,
    "algorithm.settings.model.rssm": {"deter": 8, "stoch": 4, "hidden": 8},
    "algorithm.settings.model.embed": 8,
    "algorithm.settings.model.units": 8,
    "algorithm.settings.model.latent_action": {"units": 8},
    "algorithm.settings.agent.units": 8,
}
STUDY = """
preset: small
corpora: {cs: {path: corpora/cs}}
algorithms: {bc: {settings: {steps.agent: 2, evaluation_episodes: 1}}}
labels: [0.05]
"""


def tiny(configure: Callable, *corpora: str, settings: Any = None, **options: Any) -> Any:
    """A call of ``configure`` with tiny settings."""
    return configure(*corpora, settings={**(settings or {}), **TINY}, **options)


@pytest.mark.filterwarnings("ignore:.*isinstance:FutureWarning")  # torch's own, while it loads
@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_python_in_documents_runs(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The blocks of a page, one after another, beside the corpus and the study that they name."""
    whole = open_corpus(unpack_corpus(tmp_path / "corpora" / "cs"))
    save_mask(whole, make_mask(whole, 0.05, 0, "5pct"))
    (tmp_path / "study.yaml").write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    fields = {spec.name: np.zeros(spec.shape) for spec in whole.manifest.state}
    names: dict[str, Any] = {"__name__": "__main__", "tiny": tiny, "observation": fields}
    text = (ROOT / page).read_text(encoding="utf-8")
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(block.replace("configure(", "tiny(configure, "), names)
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
            message = getattr(error, "format_message", error.__repr__)()
            assert not complete, (line, message)
            assert re.match("Missing|.*requires an argument", message), (line, message)


def test_every_page_is_in_the_table_of_contents() -> None:
    text = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert pages == set(re.findall(r"\]\(([\w-]+\.md)\)", text))
