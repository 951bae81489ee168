"""What a run leaves behind is enough to load it without its corpus."""

import pytest
from documents import require_refused, require_round_trip
from lawm_schemas import Evaluation, RunRecord
from lawm_schemas.run import TakenStages

RECORD = {
    "command": "lawm train",
    "started": "2026-01-01T00:00:00+00:00",
    "device": "cpu",
    "versions": {"lawm": "0"},
    "corpora": [{"path": "c", "fingerprint": "0" * 64, "trajectories": 6, "labeled": 2}],
    "state": [{"name": "position", "shape": [3]}],
    "action": {"name": "action", "shape": [2], "role": "action"},
}
EVALUATION = {
    "return_mean": 1.5,
    "return_std": 0.5,
    "normalized": None,
    "episodes": 2,
    "returns": [1.0, 2.0],
    "seed": 0,
    "environment": "dm_control:walker-walk",
}
TAKEN = {"run": "r", "stages": ["model"], "sha256": "0" * 64, "versions": {}}


def test_a_record_knows_the_arrays_and_what_was_taken_over() -> None:
    record = require_round_trip(RunRecord, {**RECORD, "taken": TAKEN})
    assert sum(spec.size for spec in record.state) == 3
    assert record.taken == TakenStages.parse(TAKEN, "")


@pytest.mark.parametrize(
    ("change", "words"),
    [({"episodes": 0}, "episodes"), ({"return_mean": float("inf")}, "return_mean")],
)
def test_bad_evaluations_are_refused(change: dict, words: str) -> None:
    require_refused(Evaluation, EVALUATION, change, words)


def test_nothing_taken_over_is_no_record_of_it() -> None:
    require_refused(TakenStages, TAKEN, {"stages": []}, "stages")
