"""Documents of every schema."""

import sys
from pathlib import Path

# The helpers stand beside the tests, which are no package.
sys.path.append(str(Path(__file__).parent))
