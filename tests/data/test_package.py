"""Names of the package."""

import subprocess
import sys

import pytest

FUNCTIONS = "from lawm_data import validate, withhold"
MODULES = "import lawm_data.validate, lawm_data.withhold"
CHECK = """
import sys, types
import lawm_data
for function in (validate, withhold):
    name = function.__name__
    assert isinstance(function, types.FunctionType)
    assert getattr(lawm_data, name) is function
    assert getattr(sys.modules[f"lawm_data.{name}"], name) is function
"""


@pytest.mark.parametrize("order", [(FUNCTIONS, MODULES), (MODULES, FUNCTIONS)])
def test_a_function_is_not_hidden_by_its_module(order: tuple[str, str]) -> None:
    subprocess.run([sys.executable, "-c", "\n".join((*order, CHECK))], check=True)
