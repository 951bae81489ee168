#!/bin/sh
# d3rlpy 2.8.1, MDPDataset and ReplayBuffer from float32 actions of two dimensions.
# Guess: float actions are continuous; the space is that of all episodes. Behaviour: the first episode alone decides, and
# by its values: if all are whole numbers, as of a bang-bang policy or of zeros where actions were not recorded, the
# whole dataset is discrete, with max + 1 actions (seen: DISCRETE, size 1 with actions below 1, size 2 with some at 1).
# With the same episodes in another order it is continuous, size 2. Only a line of the log says which.
set -e
python=${PYTHON:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0 d3rlpy==2.8.1 numpy==2.2.6
cat >"$folder/show.py" <<'PYTHON'
import importlib.metadata
import warnings

warnings.simplefilter("ignore")  # gym says that it is unmaintained
import d3rlpy
import numpy as np

generator = np.random.default_rng(0)
recorded = generator.uniform(-0.9, 0.9, (5, 2)).astype(np.float32)
missing = np.zeros((5, 2), np.float32)
bang_bang = np.sign(recorded)


def made(*episodes: np.ndarray) -> tuple[str, int]:
    actions = np.concatenate(episodes)
    ends = np.tile([0.0, 0.0, 0.0, 0.0, 1.0], len(episodes)).astype(np.float32)
    observations = np.zeros((len(actions), 3), np.float32)
    dataset = d3rlpy.dataset.MDPDataset(observations, actions, ends, np.zeros_like(ends), timeouts=ends)
    info = dataset.dataset_info
    return info.action_space.name, info.action_size


found = {
    "recorded first": made(recorded, missing),
    "missing first": made(missing, recorded),
    "bang-bang first": made(bang_bang, recorded),
    "bang-bang later": made(recorded, bang_bang),
}
print("d3rlpy", importlib.metadata.version("d3rlpy"), found)
assert found == {
    "recorded first": ("CONTINUOUS", 2),
    "missing first": ("DISCRETE", 1),
    "bang-bang first": ("DISCRETE", 2),
    "bang-bang later": ("CONTINUOUS", 2),
}
PYTHON
"$folder/venv/bin/python" "$folder/show.py"
