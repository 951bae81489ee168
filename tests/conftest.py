"""Settings of all tests: shapes are checked, and examples are the same every time.

Shape annotations of ``lawm_models`` are checked while tests run, and only then: jaxtyping
instruments every function as its module is imported; a call with a wrong shape raises
``jaxtyping.TypeCheckError``. Types that are not arrays are pyright's business.
"""

import sys
from collections.abc import Callable
from typing import Any, get_args

from beartype import beartype
from hypothesis import settings
from jaxtyping import AbstractArray, install_import_hook

CHECKED = "lawm_models"

# No deadline: a slow machine is not a wrong result.
settings.register_profile("lawm", deadline=None, derandomize=True, database=None)
settings.load_profile("lawm")


def check_shapes(function: Callable) -> Callable:
    """The function, with its array annotations enforced and every other annotation ignored."""
    annotations = function.__annotations__
    arrays = {name: hint for name, hint in annotations.items() if _mentions_array(hint)}
    if not arrays:
        return function
    function.__annotations__ = {**dict.fromkeys(annotations, Any), **arrays}
    return beartype(function)


def _mentions_array(hint: Any) -> bool:
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return True
    return any(_mentions_array(part) for part in get_args(hint))


if CHECKED in sys.modules:
    raise RuntimeError(f"{CHECKED} was imported before its shapes could be checked")
install_import_hook(CHECKED, f"sys.modules[{__name__!r}].check_shapes")
