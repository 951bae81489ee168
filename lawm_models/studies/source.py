"""Where studies are found: files, and those in the package."""

from __future__ import annotations

from lawm_schemas import Study
from lawm_schemas.errors import several

from lawm_models.studies import packaged as box


def read_study(word: str) -> Study:
    """A study from a file, or one in the package by its name.

    Raises:
        ConfigError: there is none; ``SeveralErrors`` tells everything that the schema refuses.
    """
    data = box.read("studies", word, "study")
    faults = Study.faults(data)
    if faults:
        raise several([fault.error(word) for fault in faults])
    return Study.model_validate(data)
