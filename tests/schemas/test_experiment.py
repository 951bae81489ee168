"""A configuration is complete, and its stages follow each other."""

import pytest
from documents import require_refused, require_round_trip
from hypothesis import given
from hypothesis import strategies as st
from lawm_schemas import ExperimentConfig

CONFIG = {"corpora": [{"path": "c"}], "algorithm": {"name": "bc"}, "steps": {"agent": 1}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"corpora": []}, "corpora"),
        ({"corpora": [{"path": "c", "weight": 0}]}, r"corpora\.0\.weight"),
        ({"corpora": [{"path": "c", "mask": ""}]}, r"corpora\.0\.mask"),
        ({"steps": {"agent": -1}}, r"steps\.agent is negative"),
        ({"labeled_ratio": 1.5}, "labeled_ratio"),
        ({"window": 0}, "window"),
        ({"seed": -1}, "seed"),
        ({"window": 2**31}, "window"),
        ({"batch_size": 2**63}, "batch_size"),
        ({"batches": {"agent": {"batch_size": 10**40}}}, r"batches\.agent\.batch_size"),
        ({"threads": 10**6}, "threads"),
    ],
)
def test_bad_configurations_are_refused(change: dict, words: str) -> None:
    require_refused(ExperimentConfig, CONFIG, change, words)


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 99), min_size=1, max_size=5))
def test_steps_before_a_stage_add_up(steps: dict[str, int]) -> None:
    config = require_round_trip(ExperimentConfig, {**CONFIG, "steps": steps})
    before = 0
    for stage, count in steps.items():
        assert config.steps_before(stage) == before
        before += count
