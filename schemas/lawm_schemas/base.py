"""What every schema is: frozen, closed to unknown keys, documented field by field."""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import math
from collections.abc import Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lawm_schemas.errors import ConfigError
from lawm_schemas.plain_json import load_json

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic_core import CoreSchema

LARGEST = 1 << 24
MOST = 1000
Size = Annotated[int, Field(ge=1, le=LARGEST)]
"""Of a batch, a window or a layer. The limit is beyond any memory: more is a typing error."""
Count = Annotated[int, Field(ge=1, le=MOST)]
"""Of layers, networks or threads, each of which is made by itself."""


class Fault(NamedTuple):
    """Something that a schema does not take."""

    key: tuple[int | str, ...]
    """Keys and places in lists that lead to it."""
    what: str
    """What is wrong there, a short clause."""
    hint: str
    """What to do about it."""

    def error(self, where: str) -> ConfigError:
        """The same as an error.

        Args:
            where: the file, or the part of it, that the keys are in.
        """
        name = ".".join(map(str, self.key))
        return ConfigError(f"{name}: {self.what}" if name else self.what, where, self.hint)


CHECKSUM = "checksum"
"""Key of a file's checksum of everything else in it."""


def _with_checksum(schema: dict[str, Any]) -> None:
    """Add the key to a JSON Schema: it belongs to the file, and not to what the file says."""
    schema["properties"][CHECKSUM] = {
        "description": "SHA-256 of the rest as JSON with sorted keys, without spaces and in ASCII.",
        "pattern": "^[0-9a-f]{64}$",
        "title": "Checksum",
        "type": "string",
    }


class Schema(BaseModel):
    """Base of every schema. Field docstrings become the JSON Schema's descriptions."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    @classmethod
    def descriptions(cls) -> dict[str, str]:
        """What the docstrings of the fields say, by field.

        From the source, and only when somebody asks: pydantic would read it for every command.
        """
        found = {}
        for schema in (c for c in reversed(cls.__mro__) if issubclass(c, Schema)):
            with suppress(OSError):  # there is no source, as for what was typed in a session
                (made,) = ast.parse(dedent(inspect.getsource(schema))).body
                assert isinstance(made, ast.ClassDef)
                for field, text in pairwise(made.body):
                    match field, text:
                        case ast.AnnAssign(ast.Name(name)), ast.Expr(ast.Constant(str(said))):
                            found[name] = inspect.cleandoc(said)
        return found

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """The JSON Schema with the descriptions of the fields."""
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema)["properties"]
        for name, said in cls.descriptions().items():
            properties[cls.model_fields[name].alias or name].setdefault("description", said)
        return schema

    @classmethod
    def parse(cls, data: Any, where: str) -> Self:
        """Validate plain data; raise one ``ConfigError`` line that names the first bad key."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            key, what, hint = cls._fault(error.errors()[0])
            raise ConfigError(
                f"{'.'.join(map(str, key)) or cls.__name__}: {what}", where, hint
            ) from None

    @classmethod
    def faults(cls, data: Any) -> list[Fault]:
        """Everything that is wrong with plain data; nothing when ``parse`` would take it."""
        try:
            cls.model_validate(data)
        except ValidationError as error:
            return [cls._fault(one) for one in error.errors()]
        return []

    @classmethod
    def _fault(cls, error: Any) -> Fault:
        key, hint = error["loc"], "correct it"
        if error["type"] == "extra_forbidden":
            known = ", ".join(cls.model_fields)
            hint = f"known keys: {known}" if len(key) == 1 else "check its spelling"
        if error["type"] == "string_type" and isinstance(error["input"], int | float):
            hint = "put it in quotes"  # a name such as 1e5, which YAML takes for a number
        what = error["msg"].removeprefix("Value error, ")
        if error["type"] == "model_type":
            what = f"should be keys with values, not {str(error['input'])[:20]!r}"
        return Fault(key, what, hint)

    @classmethod
    def read_json(cls, path: Path) -> Self:
        """Read a JSON file, refusing duplicate keys, NaN and anything the schema does not know."""
        return cls.parse(load_json(path), str(path))

    @classmethod
    def read_yaml(cls, path: Path) -> Self:
        """Read a YAML file, refusing duplicate keys and anything the schema does not know."""
        from lawm_schemas.plain_yaml import read_yaml

        return cls.parse(read_yaml(path), str(path))

    def to_json(self) -> str:
        """Indented JSON with a final newline; keys in the order of the fields."""
        return self.model_dump_json(indent=2) + "\n"

    def to_yaml(self) -> str:
        """Plain YAML in the order of the fields."""
        from lawm_schemas.plain_yaml import dump_yaml

        return dump_yaml(self.model_dump(mode="json"))


ALTERED = "was altered: its checksum differs"
"""What is wrong with a file that is not what was written."""


class Checksummed(Schema):
    """A schema whose files carry a checksum of everything else in them.

    Files that were written before there was one have none, and are taken as they are.
    """

    model_config = ConfigDict(json_schema_extra=_with_checksum)

    @classmethod
    def parse(cls, data: Any, where: str, checked: bool = True) -> Self:
        """As ``Schema.parse``.

        Args:
            data: plain data.
            where: the file, for messages.
            checked: refuse what does not fit its checksum.
        """
        if not isinstance(data, dict) or CHECKSUM not in data:
            return super().parse(data, where)
        rest = {key: value for key, value in data.items() if key != CHECKSUM}
        parsed = super().parse(rest, where)
        if checked and data[CHECKSUM] != checksum_of(rest):
            raise ConfigError(ALTERED, where, "restore the file from a copy")
        return parsed

    def to_json(self) -> str:
        """As ``Schema.to_json``, with the checksum as the last key."""
        data = json.loads(super().to_json())
        return json.dumps(data | {CHECKSUM: checksum_of(data)}, indent=2, ensure_ascii=False) + "\n"


def checksum_of(data: Mapping[str, Any]) -> str:
    """SHA-256 of plain data, however they are indented and ordered."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def plain(value: Any) -> Any:
    """The same value out of what JSON knows: NumPy, paths and schemas become plain data."""
    if isinstance(value, BaseModel):
        return plain(value.model_dump(mode="json"))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value
