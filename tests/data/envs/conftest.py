"""What tests of environments share."""

from pathlib import Path

import numpy as np
import pytest

from lawm_data.system.video import write_video


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve frames, each brighter than the one before, and brighter to the right."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    ramp = np.broadcast_to(np.arange(64)[:, None], (40, 64, 3))
    write_video(path, [(ramp + 12 * t).astype(np.uint8) for t in range(12)], 25)
    return path
