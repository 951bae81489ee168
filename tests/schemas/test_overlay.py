"""An overlay says what it is of, and nothing of what is no secret need be known."""

import pytest
from documents import require_refused, require_round_trip
from lawm_schemas import Overlay

OVERLAY = {
    "name": "idm",
    "corpus": "c",
    "model": "0" * 64,
    "algorithm": "lawm",
    "created": "2026-01-01T00:00:00+00:00",
    "trajectories": 3,
    "sha256": "0" * 64,
}


@pytest.mark.parametrize(
    ("change", "words"),
    [({"name": "a/b"}, "name"), ({"trajectories": -1}, "trajectories"), ({"r2": "high"}, "r2")],
)
def test_bad_overlays_are_refused(change: dict, words: str) -> None:
    require_refused(Overlay, OVERLAY, change, words)


def test_errors_are_kept_to_the_last_digit() -> None:
    errors = [0.1, 1 / 3, 1e-17]
    document = require_round_trip(Overlay, {**OVERLAY, "nmse_per_dimension": errors})
    assert document.nmse_per_dimension == tuple(errors)
