"""Published tables, read by the ``datasets`` library, which knows nothing of this package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import Hub

from lawm_data import Corpus
from lawm_data.exchange.hub import push

READ = """
import json, datasets
datasets.disable_progress_bars()
steps = datasets.load_dataset("user/rich", split="train")
rows = datasets.load_dataset("user/rich", "trajectories", split="train")
torch = steps.with_format("torch")[:]
first = next(iter(datasets.load_dataset("user/rich", split="train", streaming=True)))
print(json.dumps({
    "configs": datasets.get_dataset_config_names("user/rich"),
    "steps": len(steps),
    "ids": rows["id"][:],
    "first": [steps[0]["action"], first["action"]],
    "features": {name: type(feature).__name__ for name, feature in steps.features.items()},
    "shapes": {name: list(getattr(value, "shape", ())) for name, value in torch.items()},
    "numbers": (~torch["action"].isnan()).all(-1).tolist(),
    "observed": torch["action_observed"].tolist(),
    "camera": steps.with_format("numpy")[5]["observation.camera"].tolist(),
}))
"""


def test_plain_datasets_read_it(hub: Hub, rich: Corpus, tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    push(rich, "user/rich")
    # Its settings are read when it is imported, so it runs in a process of its own.
    done = subprocess.run(
        [sys.executable, "-c", READ], capture_output=True, text=True, env=os.environ, check=False
    )
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout.splitlines()[-1])
    steps = int(rich.table.length.sum())
    assert read["configs"] == ["steps", "trajectories"]
    assert read["steps"] == steps
    assert read["ids"] == rich.table.id.tolist()
    # The first trajectory has no actions: no number is made up, and arrays can be made.
    assert read["first"] == [[None] * 3] * 2
    assert read["shapes"]["action"] == [steps, 3]
    assert read["shapes"]["observation.count"] == [steps, 2, 2]
    assert read["shapes"]["observation.camera"] == [steps, 3, 4, 3]
    assert read["features"]["observation.camera"] == "Image"
    assert read["numbers"] == read["observed"]
    assert read["camera"] == rich[0].observations["camera"][5].tolist()
