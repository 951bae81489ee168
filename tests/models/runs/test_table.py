"""Runs side by side, whatever has become of them."""

from pathlib import Path

import pytest
from lawm_schemas import ConfigError

from lawm_models.runs.run import load_run
from lawm_models.runs.table import compare_runs


def test_every_run_has_a_row(written: Path) -> None:
    (written / "a").mkdir()
    (written / "half").rename(written / "a" / "half")
    (written / "broken").mkdir()
    (written / "broken" / "run.json").write_text("{}")
    (written / "broken" / "config.yaml").write_text("corpora: 3")
    run = load_run(written / "whole")
    run.relabel(written / "corpus", name="again")
    (written / "corpus" / "labels" / "damaged").mkdir()
    (written / "corpus" / "labels" / "damaged" / "overlay.json").write_text("{")
    rows = {row.run.relative_to(written).as_posix(): row for row in compare_runs(written)}
    assert list(rows) == ["a/half", "broken", "whole"]
    half, broken, whole = rows.values()
    assert [row.state for row in rows.values()] == ["stopped", "unreadable", "done"]
    assert "config.yaml: corpora" in broken.error
    assert (half.step, half.steps, half.return_mean, half.labels_r2) == (16, 32, None, {})
    assert (whole.step, whole.steps) == (32, 32)
    assert (whole.algorithm, whole.preset, whole.seed) == ("lawm", "demo", 0)
    assert (whole.corpora, whole.masks) == ((str(written / "corpus"),), ("quarter",))
    assert (whole.labeled, whole.trajectories) == (2, 8)
    assert whole.return_mean == run.evaluation.return_mean
    assert whole.labels_r2 == {"again": None, "inferred": pytest.approx(-0.0470857)}


def test_nothing_is_no_run(tmp_path: Path) -> None:
    assert compare_runs(tmp_path) == []
    with pytest.raises(ConfigError, match="no such folder"):
        compare_runs(tmp_path / "nowhere")
