import inspect
import json
from pathlib import Path
from typing import Any

import lawm_schemas
import pytest
from lawm_schemas import Checksummed, Schema, json_schema

CHECKOUT = Path(__file__).resolve().parents[2] / "schemas" / "json"


@pytest.mark.parametrize("name", json_schema.DOCUMENTS)
def test_generated_schema_does_not_drift(name: str) -> None:
    texts = (CHECKOUT / f"{name}.schema.json").read_text(), json_schema.document(name)
    on_disk, generated = (without_defaults(json.loads(text)) for text in texts)
    assert on_disk == generated, "run: python -m lawm_schemas.json_schema"


def without_defaults(schema: Any) -> Any:
    """A schema without saying that what is not closed is open, as pydantic does since 2.11."""
    if isinstance(schema, list):
        return [without_defaults(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    default = ("additionalProperties", True)
    return {k: without_defaults(part) for k, part in schema.items() if (k, part) != default}


def test_no_stale_schema_is_left() -> None:
    files = {path.name for path in CHECKOUT.iterdir()}
    assert files == {f"{name}.schema.json" for name in json_schema.DOCUMENTS}


def test_writing_deletes_the_schema_of_a_document_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "gone.schema.json").write_text("{}")
    written = json_schema.write(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(written)


def test_every_schema_stands_in_some_document() -> None:
    public = {
        name
        for name, value in inspect.getmembers(lawm_schemas, inspect.isclass)
        if issubclass(value, Schema) and value not in (Schema, Checksummed)
    }
    described = set()
    for name in json_schema.DOCUMENTS:
        schema = json.loads(json_schema.document(name))
        described |= {schema["title"], *schema.get("$defs", {})}
    assert public <= described


@pytest.mark.parametrize("name", json_schema.DOCUMENTS)
def test_schema_is_closed_and_every_field_is_described(name: str) -> None:
    schema = json.loads(json_schema.document(name))
    objects = [schema, *schema.get("$defs", {}).values()]
    for described in objects:
        if "properties" not in described:
            continue
        assert described["additionalProperties"] is False
        for field, spec in described["properties"].items():
            assert spec.get("description"), f"{described['title']}.{field} has no docstring"
