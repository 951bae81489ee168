"""The declared outputs of the commands."""

import inspect

from lawm_schemas import Schema, outputs


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
