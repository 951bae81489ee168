"""The declared outputs of the commands, and the page that is made of them (``json_page``)."""

import inspect
import re

import pytest
from lawm_schemas import Schema, json_page, outputs

SECTIONS = dict(part.split("\n", 1) for part in json_page.page().split("\n## ")[1:])


def test_the_page_in_the_documentation_is_that_of_the_declarations() -> None:
    text = json_page.PAGE.read_text(encoding="utf-8")
    assert text == json_page.page(), "run: python -m lawm_schemas.json_page"


@pytest.mark.parametrize("command", outputs.OUTPUTS)
def test_every_key_is_on_the_page(command: str) -> None:
    text, seen = SECTIONS[command], {command}
    while more := set(re.findall(r"keys of \[(.*?)\]", text)) - seen:
        text, seen = text + "".join(SECTIONS[other] for other in more), seen | more
    schema = outputs.OUTPUTS[command].model_json_schema()
    for described in (schema, *schema.get("$defs", {}).values()):
        for key in described.get("properties", {}):
            assert re.search(rf"[`.]{key}(\[\]|\.NAME)*\??`", text), key


def test_every_declaration_is_of_some_command() -> None:
    declared = {
        name
        for name, value in inspect.getmembers(outputs, inspect.isclass)
        if issubclass(value, Schema) and value.__module__ == outputs.__name__
    }
    used = set()
    for schema in outputs.OUTPUTS.values():
        used |= {base.__name__ for base in schema.__mro__}
        used |= set(schema.model_json_schema().get("$defs", {}))
    assert declared <= used | {"Fault"}  # what ``Finding`` extends
