"""What every schema is: frozen, closed to unknown keys, documented field by field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from lawm_schemas.errors import ConfigError


class Schema(BaseModel):
    """Base of every schema. Field docstrings become the JSON Schema's descriptions."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )

    @classmethod
    def parse(cls, data: Any, where: str) -> Self:
        """Validate plain data; raise one ``ConfigError`` line that names the first bad key."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"]) or cls.__name__
            mend = "correct it"
            if first["type"] == "extra_forbidden":
                known = ", ".join(cls.model_fields)
                mend = f"known keys: {known}" if len(first["loc"]) == 1 else "check its spelling"
            what = first["msg"].removeprefix("Value error, ")
            raise ConfigError(f"{key}: {what}", where, mend) from None

    @classmethod
    def read_json(cls, path: Path) -> Self:
        """Read a JSON file, refusing duplicate keys, NaN and anything the schema does not know."""
        return cls.parse(load_json(path), str(path))

    @classmethod
    def read_yaml(cls, path: Path) -> Self:
        """Read a YAML file of plain data (no tags, no code)."""
        try:
            data = yaml.safe_load(path.read_text())
        except FileNotFoundError:
            raise ConfigError("no such file", str(path), "check the path") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            reason = str(error).splitlines()[0]
            raise ConfigError(f"not YAML: {reason}", str(path), "correct it") from None
        return cls.parse(data, str(path))

    def to_json(self) -> str:
        """Indented JSON with a final newline; keys in the order of the fields."""
        return self.model_dump_json(indent=2) + "\n"

    def to_yaml(self) -> str:
        """Plain YAML in the order of the fields."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


def load_json(path: Path) -> Any:
    """Strict JSON: no duplicate keys, no NaN or Infinity, a clear error for anything else."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        if len(set(names)) != len(names):
            raise ValueError("a key stands twice")
        return dict(pairs)

    def refuse(token: str) -> float:
        raise ValueError(f"{token} is not JSON")

    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    except FileNotFoundError:
        raise ConfigError("no such file", str(path), "check the path") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"not readable as JSON ({error})", str(path), "restore the file from a copy"
        ) from None
