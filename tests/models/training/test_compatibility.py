"""What an earlier version wrote is opened, evaluates and infers the same numbers.

Its batches depended on hidden actions, and no longer do, so that no training of it goes on.

They are compared as closely as other processors round.
"""

from pathlib import Path

import numpy as np
import pytest
from lawm_schemas import ConfigError

from lawm_data import open_corpus, read_overlay, validate
from lawm_data.corpus.overlay import LABELS
from lawm_models.runs.audit import audit
from lawm_models.runs.relabel import relabel
from lawm_models.training.evaluate import evaluate
from lawm_models.training.run_folder import RunFolder
from lawm_models.training.trainer import train

pytest.importorskip("gymnasium")


def test_corpus_is_sound_with_its_mask_and_labels(written: Path) -> None:
    corpus = open_corpus(written / "corpus", verify=True)
    assert validate(corpus.path) == []
    assert (len(corpus), corpus.table.length.sum()) == (8, 1600)
    view = corpus.with_mask("quarter").with_labels("inferred")
    assert view.label_counts() == {"observed": 2, "withheld": 0, "missing": 0, "inferred": 6}


def test_finished_run_evaluates_to_the_same_returns(written: Path) -> None:
    found = evaluate(written / "whole", episodes=2, seed=0)
    assert found.environment == "gym:Pendulum-v1"
    assert found.returns == pytest.approx((-973.0969758, -887.4502448), rel=1e-5)
    assert found.return_mean == pytest.approx(-930.2736103, rel=1e-5)


def test_finished_run_infers_the_same_actions(written: Path) -> None:
    corpus = open_corpus(written / "corpus").with_mask("quarter")
    before = read_overlay(corpus.path / LABELS / "inferred")
    found = relabel(written / "whole", corpus.path, "again", truth_from_withheld=True)
    assert found["r2"] == pytest.approx(before.r2, rel=1e-4)
    for old, new in zip(corpus.with_labels("inferred"), corpus.with_labels("again"), strict=True):
        assert old.labels is new.labels
        np.testing.assert_allclose(old.actions, new.actions, rtol=1e-4, atol=1e-6)


def test_killed_run_is_refused_in_a_line_that_says_why(written: Path) -> None:
    half = RunFolder.open(written / "half")
    before = {path: path.stat().st_mtime_ns for path in half.path.rglob("*")}
    with pytest.raises(ConfigError, match="whose batches depended on hidden actions"):
        train(half.config, half.path)
    assert {path: path.stat().st_mtime_ns for path in half.path.rglob("*")} == before


def test_finished_run_is_left_as_it_is(written: Path) -> None:
    whole = RunFolder.open(written / "whole")
    assert train(whole.config, whole.path).is_finished()  # nothing is left to do


def test_run_gives_its_world_model_to_no_other(written: Path) -> None:
    whole = RunFolder.open(written / "whole")
    with pytest.raises(ConfigError, match="whose batches depended on hidden actions"):
        train(whole.config, written / "again", begin_from=whole.path)
    assert not (written / "again").exists()


def test_audit_says_that_hidden_actions_chose_the_batches(written: Path) -> None:
    result = audit(RunFolder.open(written / "whole"), steps=1)
    failed = [check["name"] for check in result["checks"] if not check["passed"]]
    assert failed == ["loader of the newest checkpoint"]
