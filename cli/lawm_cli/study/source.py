"""Where studies are found: files, and those in the package."""

from __future__ import annotations

from lawm_schemas import ConfigError, Study
from lawm_schemas.errors import several

from lawm_cli import box


def shipped() -> list[str]:
    """Names of the studies in the package."""
    return box.names("studies")


def read_study(word: str) -> Study:
    """A study from a file, or one in the package by its name.

    Raises:
        ConfigError: there is none; ``SeveralErrors`` tells everything that the schema refuses.
    """
    data = box.read("studies", word, "study")
    faults = Study.faults(data)
    if faults:
        raise several([fault_of(word, *fault) for fault in faults])
    return Study.model_validate(data)


def fault_of(where: str, key: tuple[int | str, ...], what: str, mend: str) -> ConfigError:
    """What a schema does not take, as an error."""
    name = ".".join(map(str, key))
    return ConfigError(f"{name}: {what}" if name else what, where, mend)
