"""What commands print is held to what is declared of them."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lawm_schemas.outputs import OUTPUTS

# The smallest networks of every algorithm stand beside the tests of models, which are no package.
sys.path.append(str(Path(__file__).resolve().parents[1] / "models"))


@pytest.fixture
def require_documented() -> Callable[[str, dict[str, Any]], None]:
    """Check that a command printed what is declared of it: every key, and of the right type."""

    def check(command: str, printed: dict[str, Any]) -> None:
        read = OUTPUTS[command].model_validate_json(json.dumps(printed), strict=True)
        assert read.model_dump(mode="json", by_alias=True) == printed

    return check
