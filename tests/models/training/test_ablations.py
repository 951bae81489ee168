"""Every row of docs/ablations.md is a configuration of its own that can be trained."""

import re
from pathlib import Path

import pytest
from lawm_schemas import ExperimentConfig

from lawm_models import presets
from lawm_models.experiment import resolve

PAGE = Path(__file__).resolve().parents[3] / "docs" / "ablations.md"
ROWS = [
    tuple(re.findall(r"`--set ([^`]+)`", line))
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if "`--set " in line
]


def configuration(assignments):
    data = presets.load("small", "lawm") | {"corpora": [{"path": "corpus"}]}
    return resolve(ExperimentConfig.parse(presets.override(data, assignments), "test"))


def flat(value, path=()):
    """The leaves of nested plain data by their dotted names."""
    if not isinstance(value, dict):
        return {".".join(path): value}
    return {k: v for name, item in value.items() for k, v in flat(item, (*path, name)).items()}


def test_there_are_rows():
    assert len(ROWS) > 30
    assert len(set(ROWS)) == len(ROWS)


@pytest.mark.parametrize("assignments", ROWS, ids=" ".join)
def test_row_changes_what_it_names_and_nothing_else(assignments):
    before, after = (flat(configuration(a).model_dump(mode="json")) for a in ((), assignments))
    named = {assignment.partition("=")[0] for assignment in assignments}
    changed = {name for name in after if after[name] != before[name]}
    # supervision is named where a row needs it, and the preset has it already
    assert changed <= named
    assert named - changed <= {"algorithm.settings.model.inverse_supervision"}
    assert changed
