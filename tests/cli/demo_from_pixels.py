"""The demo from pixels, tiny."""

from pathlib import Path

import pytest
from lawm_cli import demo, report

from lawm_data import open_corpus
from lawm_data.curation.derive import filter_corpus
from lawm_data.curation.shipped import unpack_corpus
from lawm_data.system.terminal import Bars

from .test_demo import TINY


def test_the_demo_from_pixels_does_the_whole_job(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], quick_probe: None
) -> None:
    out = tmp_path / "out"
    whole = open_corpus(unpack_corpus(tmp_path / "whole"))
    filter_corpus(whole.filter([0, 1]), "length > 0", out / "states")
    tiny = [*TINY[:3], "evaluate_every=3", *TINY[4:]]  # episodes are drawn, and take their time
    small = {"steps.encoder": 2, "batch_size": 2, "algorithm.settings.encoder.depth": 2}
    made = []
    for _ in range(2):  # the second time everything is there
        with Bars() as bars:
            made.append(demo.run_demo(out, 0, tiny, bars, demo.Pixels(16, "ae", small)))
    assert made[0] == made[1]
    corpus = open_corpus(out / "corpus")
    assert len(corpus) == 2
    assert set(made[0]["probe"]) == {"position", "velocity"}
    assert made[0]["labels"]["trajectories"] == 1
    assert made[0]["dream"].read_bytes().startswith(b"\x89PNG")
    report.demo(made[0])
    assert "dream.png" in capsys.readouterr().out
