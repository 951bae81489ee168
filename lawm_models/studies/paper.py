"""What the paper reports: Table 1 of arXiv 2512.10016."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from lawm_schemas import load_yaml


class Reported(NamedTuple):
    """A number of the paper, on the scale of 0 to 100."""

    mean: float
    """Mean over seeds of the normalised return."""
    std: float
    """Standard deviation over seeds; the paper does not say of which kind."""


@cache
def table1() -> dict[tuple[str, str, float | str], Reported]:
    """Every number by data set, algorithm and label budget (0.05, or ``all`` of an oracle)."""
    data = document()
    return {
        (name, algorithm, labels): Reported(*numbers)
        for name, row in data["rows"].items()
        for (algorithm, labels), numbers in zip(data["columns"], row, strict=True)
    }


def datasets() -> list[str]:
    """Names of the paper's data sets, such as ``walker-walk/medium``."""
    return sorted(document()["rows"])


@cache
def document() -> dict[str, Any]:
    """The file as it is."""
    text = (files("lawm_models.studies") / "paper.yaml").read_text(encoding="utf-8")
    return load_yaml(text, "paper.yaml")
