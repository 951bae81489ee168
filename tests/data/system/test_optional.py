"""What a missing package is called, whoever imports it."""

import pytest
from lawm_schemas import ConfigError

from lawm_data.system.optional import optional


def test_a_module_that_is_there() -> None:
    assert optional("json.decoder", "hub", "here").JSONDecoder


@pytest.mark.parametrize(
    ("source", "package", "named"),
    [
        (None, None, "outer"),
        (None, "outer-dist", "outer-dist"),
        ("import inner.part\n", None, "inner"),
    ],
)
def test_what_is_missing_is_named(tmp_path, monkeypatch, source, package, named) -> None:
    """The module itself, or one that it imports; with how to get it, in one line."""
    if source is not None:
        (tmp_path / "outer.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError) as caught:
        optional("outer", "hub", "user/name", package)
    assert str(caught.value) == (f"user/name: needs the package {named}; pip install 'lawm[hub]'")


def test_other_errors_of_a_module_are_its_own(tmp_path, monkeypatch) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ZeroDivisionError):
        optional("broken", "hub", "user/name")
