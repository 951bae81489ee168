"""How much states tell of the data's actions: ``action_snr`` of finished runs, as last logged.

python benchmarks/action_snr.py \
        runs/{claim,unseen}/runs/*/lawm_plus-5pct-seed? \
        --out benchmarks/results/action_snr.json
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from lawm_models.training.run_folder import RunFolder
from lawm_models.training.versions import installed_versions


def main() -> None:
    """Read, print, and write JSON with ``--out``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+", help="run folders")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    command = "python " + " ".join(sys.argv)
    runs = {str(path): last(RunFolder.open(path)) for path in arguments.runs}
    found = {"command": command, "versions": installed_versions(), "runs": runs}
    text = json.dumps(found, indent=2)
    if arguments.out:
        arguments.out.write_text(text + "\n")
    print(text)


def last(run: RunFolder) -> float:
    """The ratio when the training ended."""
    return round([row["action_snr"] for row in run.metrics() if "action_snr" in row][-1], 2)


if __name__ == "__main__":
    main()
