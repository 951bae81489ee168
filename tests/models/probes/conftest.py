"""A linear system, whose figures are known."""

import sys
from pathlib import Path

# What stands beside the tests, which are no package, is found there.
sys.path += [str(Path(__file__).parent)]
from linear_system import linear

__all__ = ["linear"]
