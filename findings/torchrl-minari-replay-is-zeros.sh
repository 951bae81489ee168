#!/bin/sh
# TorchRL 0.14.1 (tensordict 0.14.3) on a data set of Minari 0.5.4.
# Guess: MinariExperienceReplay holds the steps of the data set; its log counts the episodes that it has read.
# Behaviour: shapes, types and the number of steps are right, and every number is zero, without a warning: observations,
# actions, rewards, ends, even the episode's. They are read, and then memmap_like makes a map of zeros in their place.
# PersistentTensorDict.from_h5 on the same file has them.
set -e
python=${PYTHON:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0 torchrl==0.14.1 tensordict==0.14.3 "minari[hdf5]==0.5.4" \
	gymnasium==1.2.3 pillow==12.0.0 numpy==2.2.6 h5py==3.16.0
cat >"$folder/show.py" <<'PYTHON'
import sys
from pathlib import Path

import gymnasium
import minari
from minari.data_collector import EpisodeBuffer
from tensordict import PersistentTensorDict
from torchrl.data.datasets import MinariExperienceReplay

env = gymnasium.make("Pendulum-v1")
env.observation_space.seed(0)
env.action_space.seed(0)


def episode(number):
    return EpisodeBuffer(
        id=number,
        seed=number,
        observations=[env.observation_space.sample() for _ in range(6)],
        actions=[env.action_space.sample() for _ in range(5)],
        rewards=[1.0, 2.0, 3.0, 4.0, 5.0],
        terminations=[False] * 5,
        truncations=[False] * 4 + [True],
    )


about = {"author": "a", "author_email": "a@example.org", "code_permalink": "https://example.org", "description": "d"}
buffers = [episode(number) for number in range(3)]
minari.create_dataset_from_buffers("toy/pendulum-v0", buffers, env=env, algorithm_name="random", **about)
root = Path(sys.argv[1])
file = root / "minari/toy/pendulum-v0/data/main_data.hdf5"
written = PersistentTensorDict.from_h5(file).to_tensordict()["episode_2"]
replay = MinariExperienceReplay(
    "toy/pendulum-v0", batch_size=4, root=root / "torchrl", download="force", load_from_local_minari=True
)
read = replay[:]
print(f"{len(replay)} steps")
names = ("observation", "action", "episode", ("next", "observation"), ("next", "reward"), ("next", "truncated"))
for name in names:
    print(f"  {name}: {tuple(read[name].shape)}, largest magnitude {read[name].double().abs().max().item()}")
print(f"rewards of the last episode in the file: {written['rewards'].tolist()}")
assert len(replay) == 15
assert all((read[name] == 0).all() for name in names)
assert written["rewards"].tolist() == [1, 2, 3, 4, 5]
PYTHON
MINARI_DATASETS_PATH="$folder/minari" "$folder/venv/bin/python" "$folder/show.py" "$folder"
