"""The page of JSON keys is made of the declared outputs."""

import re

import pytest
from lawm_schemas import json_page, outputs

HEAD, *PARTS = json_page.PAGE.read_text(encoding="utf-8").split("\n## ")
SECTIONS = dict(part.split("\n", 1) for part in PARTS)


def test_the_page_in_the_documentation_is_that_of_the_declarations() -> None:
    text = json_page.PAGE.read_text(encoding="utf-8")
    assert text == json_page.page(), "run: python -m lawm_schemas.json_page"


@pytest.mark.parametrize("command", outputs.OUTPUTS)
def test_every_key_is_on_the_page(command: str) -> None:
    text, seen = HEAD + SECTIONS[command], {command}
    while more := set(re.findall(r"keys of \[(.*?)\]", text)) - seen:
        text, seen = text + "".join(SECTIONS[other] for other in more), seen | more
    schema = outputs.OUTPUTS[command].model_json_schema()
    for described in (schema, *schema.get("$defs", {}).values()):
        for key in described.get("properties", {}):
            assert re.search(rf"[`.]{key}(\[\]|\.NAME)*\??`", text), key
