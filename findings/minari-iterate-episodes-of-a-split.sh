#!/bin/sh
# Minari 0.5.4, MinariDataset.iterate_episodes(indices) of a data set that split_dataset or filter_episodes gave.
# Guess: indices count the episodes of that data set, as its len and its [] do. Behaviour: they count those of the whole
# file: for i in range(len(test)) walks through the first episodes that were recorded, whichever part they are in. Here
# the loop over the 3 episodes of the test part gives 3 of the training part. test[i] gives the right ones.
set -e
python=${PYTHON:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile "minari[hdf5]==0.5.4" gymnasium==1.2.3 h5py==3.16.0 \
	pillow==12.0.0 numpy==2.2.6
cat >"$folder/show.py" <<'PYTHON'
import importlib.metadata
import warnings

import gymnasium
import minari
import numpy as np
from minari.data_collector import EpisodeBuffer

space = gymnasium.spaces.Box(-9, 9, (1,), np.float32)


def episode(number: int) -> EpisodeBuffer:
    """Of the reward 1 in its only step where its number is even."""
    return EpisodeBuffer(
        id=number,
        observations=np.full((2, 1), number, np.float32),
        actions=np.zeros((1, 1), np.float32),
        rewards=np.array([float(number % 2 == 0)]),
        terminations=np.array([False]),
        truncations=np.array([True]),
    )


def numbers(episodes) -> list[int]:
    return [int(read.observations[0, 0]) for read in episodes]


with warnings.catch_warnings():  # of the author and so on, which are left out
    warnings.simplefilter("ignore")
    recorded = minari.create_dataset_from_buffers(
        "toy/recorded-v0", [episode(number) for number in range(8)], observation_space=space, action_space=space
    )
warnings.simplefilter("error")
print("minari", importlib.metadata.version("minari"))
train, test = minari.split_dataset(recorded, [5, 3], seed=1)
good = recorded.filter_episodes(lambda read: bool(read.rewards.sum() > 0))
assert sorted(numbers(train) + numbers(test)) == list(range(8)) and numbers(good) == [0, 2, 4, 6]
for name, part in {"train": train, "test": test, "good": good}.items():
    one_by_one = numbers(part[i] for i in range(len(part)))
    iterated = numbers(part.iterate_episodes(range(len(part))))
    print(f"{name}: [i] gives {one_by_one}, iterate_episodes of the same indices {iterated}")
    assert one_by_one == numbers(part) and iterated == list(range(len(part))) and iterated != one_by_one
seen = set(numbers(test.iterate_episodes(range(len(test)))))
print(f"of the training part among the {len(seen)} iterated for the test: {sorted(seen & set(numbers(train)))}")
assert len(seen & set(numbers(train))) == 3
PYTHON
MINARI_DATASETS_PATH="$folder/minari" "$folder/venv/bin/python" "$folder/show.py"
