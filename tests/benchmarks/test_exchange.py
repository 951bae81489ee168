"""The benchmark of formats runs for every one that can be written."""

import json
import subprocess
import sys
from pathlib import Path

from lawm_data.exchange.formats import FORMATS

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "exchange.py"


def test_exchange_measures_every_format(tmp_path: Path) -> None:
    out = tmp_path / "exchange.json"
    words = [sys.executable, str(SCRIPT), "--megabytes", "0", "--folder", str(tmp_path)]
    done = subprocess.run([*words, "--out", str(out)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    measured = json.loads(out.read_text())
    writable = [name for name in FORMATS.names() if FORMATS.load(name).ABOUT.writes]
    expected = [(name, verb) for name in writable for verb in ("export", "import")]
    assert [(row["format"], row["verb"]) for row in measured["rows"]] == expected
    assert measured["corpus_bytes"] > 0
    for row in measured["rows"]:
        numbers = ("ratio", "mb_s", "seconds", "cpu_seconds", "peak_mib", "bytes")
        assert all(row[name] > 0 for name in numbers)
    assert [path.name for path in tmp_path.iterdir()] == ["exchange.json"]
