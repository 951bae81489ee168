#!/bin/sh
# d3rlpy 2.8.1, get_minari on a data set of Minari 0.5.4 that is there locally.
# Guess: each episode holds its own observations, each beside the action that followed it. Behaviour: an episode of
# Minari has one observation more than actions; all are strung together and then cut by the number of actions, so the
# observations of episode k (from 0) begin k steps too early, in an episode before it, beside the actions of its own.
# Only the first episode is right. Shapes and counts look so too, and nothing warns.
set -e
python=${PYTHON:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile torch==2.13.0 d3rlpy==2.8.1 gymnasium==1.0.0 \
	"minari[hdf5]==0.5.4" pillow==12.0.0 h5py==3.16.0 numpy==2.2.6
cat >"$folder/show.py" <<'PYTHON'
import importlib.metadata
import warnings

warnings.simplefilter("ignore")  # gym says that it is unmaintained
import gymnasium
import minari
import numpy as np
from d3rlpy.datasets import get_minari
from minari.data_collector import EpisodeBuffer


def episode(number: int) -> EpisodeBuffer:
    """Observation t of episode e is 10 e + t, and so is the action taken there."""
    value = 10 * number + np.arange(5) + 0.5
    return EpisodeBuffer(
        id=number,
        observations=[np.full(3, x, np.float32) for x in value],
        actions=[np.full(1, x, np.float32) for x in value[:-1]],
        rewards=[0.0] * 4,
        terminations=[False] * 4,
        truncations=[False] * 3 + [True],
    )


about = {"author": "a", "author_email": "a@example.org", "code_permalink": "https://example.org", "description": "d"}
env = gymnasium.make("Pendulum-v1")
minari.create_dataset_from_buffers(
    "toy/pendulum-v0", [episode(number) for number in range(4)], env=env, algorithm_name="a", **about
)
read, _ = get_minari("toy/pendulum-v0")
print("d3rlpy", importlib.metadata.version("d3rlpy"), "minari", importlib.metadata.version("minari"))
assert len(read.episodes) == 4
for number, found in enumerate(read.episodes):
    observations, actions = found.observations[:, 0], found.actions[:, 0]
    print(f"episode {number}: observations {observations.tolist()}, actions {actions.tolist()}")
    assert actions.tolist() == [10 * number + t + 0.5 for t in range(4)]
    written = np.concatenate([10 * e + np.arange(5) + 0.5 for e in range(4)])
    assert observations.tolist() == written[4 * number : 4 * number + 4].tolist()
assert read.episodes[3].observations[:, 0].tolist() == [22.5, 23.5, 24.5, 30.5]
PYTHON
MINARI_DATASETS_PATH="$folder/minari" "$folder/venv/bin/python" "$folder/show.py"
