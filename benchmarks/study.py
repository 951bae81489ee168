"""What a recipe's study holds: seconds of every step, and the columns of the paper's Table 4.

The study has been built before, in one sitting or several:

    lawm-data build two-cores --out corpora/two-cores
    python benchmarks/study.py two-cores --folder corpora/two-cores \
        --out benchmarks/results/study.json
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from lawm_data import open_corpus, summarize
from lawm_models.training.versions import installed_versions

SHOWN = ("trajectories", "steps", "fingerprint", "returns", "sources", "by_source", "masks")


def main() -> None:
    """Parse arguments, ask the study what it holds and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("recipe")
    parser.add_argument("--folder", type=Path, required=True, help="where the study was built")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    words = ["lawm-data", "build", arguments.recipe, "--out", str(arguments.folder)]
    listed = subprocess.run([*words, "--dry-run", "--json"], stdout=subprocess.PIPE, check=True)
    steps = json.loads(listed.stdout)["steps"]
    text = json.dumps(_described(steps, words, arguments.folder), indent=2) + "\n"
    if arguments.out:
        arguments.out.write_text(text)
    print(text)


def _described(steps: list[dict[str, Any]], words: list[str], folder: Path) -> dict[str, Any]:
    unfinished = [step["name"] for step in steps if step["state"] != "done"]
    finals = [s["name"] for s in steps if "/" not in s["name"] and "@" not in s["name"]]
    return {
        "command": " ".join(words),
        "unfinished": unfinished,
        "minutes": round(sum(step["seconds"] or 0 for step in steps) / 60, 1),
        "missing": sum(step["missing"] or 0 for step in steps),
        "steps": [
            {key: step[key] for key in ("name", "trajectories", "missing", "seconds")}
            for step in steps
        ],
        "corpora": {name: _corpus(folder / name) for name in finals if name not in unfinished},
        "machine": {"processor": platform.processor() or platform.machine()},
        "python": sys.version.split()[0],
        "versions": installed_versions(),
    }


def _corpus(path: Path) -> dict[str, Any]:
    summary = summarize(open_corpus(path))
    return {key: summary[key] for key in SHOWN}


if __name__ == "__main__":
    main()
