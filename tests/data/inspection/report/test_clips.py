"""Films of trajectories."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from pathlib import Path

from report_corpora import corpus_with, report


def test_corpus_that_cannot_be_drawn_has_a_page_that_says_so(tmp_path: Path) -> None:
    text = report(corpus_with(tmp_path / "c"), tmp_path / "page.html", clips=2)
    assert "No moving pictures: neither physics states nor camera images" in text


def test_physics_state_is_drawn(corpus: Path, tmp_path: Path, egl: dict[str, str]) -> None:
    code = "import sys; from lawm_cli.data_app import main; sys.exit(main())"
    words = ["report", corpus, "--out", tmp_path / "page.html", "--clips", 1, "--json"]
    command = [sys.executable, "-c", code, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=egl)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert (result["clips"], result["clips_problem"]) == (1, None)
    (film,) = re.findall(r"data:video/mp4;base64,([\w+/=]+)", text)
    assert base64.b64decode(film)[4:8] == b"ftyp"
    assert "No moving pictures" not in text
