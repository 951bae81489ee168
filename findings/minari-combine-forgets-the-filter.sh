#!/bin/sh
# Minari 0.5.4, combine_datasets with data sets that filter_episodes or split_dataset gave.
# Guess: the new data set holds the episodes of those that it is given. Behaviour: it holds all that lie in their files:
# of one filtered to its 2 good episodes out of 6 all 6, of a training part without its test part both, and of two parts
# of one data set each episode twice. Nothing warns, and each part on its own counts and reads as it should.
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
    """Of return 3 times its number."""
    return EpisodeBuffer(
        id=number,
        observations=np.zeros((4, 1), np.float32),
        actions=np.zeros((3, 1), np.float32),
        rewards=np.full(3, float(number)),
        terminations=np.zeros(3, bool),
        truncations=np.array([False, False, True]),
    )


def returns(dataset: minari.MinariDataset) -> list[int]:
    return sorted(int(read.rewards.sum()) for read in dataset)


with warnings.catch_warnings():  # of the author and so on, which are left out
    warnings.simplefilter("ignore")
    recorded = minari.create_dataset_from_buffers(
        "toy/recorded-v0", [episode(number) for number in range(6)], observation_space=space, action_space=space
    )
warnings.simplefilter("error")
good = recorded.filter_episodes(lambda read: bool(read.rewards.sum() >= 12))
train, test = minari.split_dataset(recorded, [4, 2], seed=0)
print("minari", importlib.metadata.version("minari"))
print(f"returns of the good ones {returns(good)}, of train {returns(train)}, of test {returns(test)}")
assert returns(good) == [12, 15] and len(train) == 4 and len(test) == 2
assert sorted(returns(train) + returns(test)) == [0, 3, 6, 9, 12, 15]
everything = [0, 3, 6, 9, 12, 15]
for name, parts in {"good": [good], "train": [train], "both": [train, test]}.items():
    combined = minari.combine_datasets(parts, f"toy/{name}-v0")
    print(f"{name} combined: returns {returns(combined)}")
    assert returns(combined) == sorted(everything * len(parts))
PYTHON
MINARI_DATASETS_PATH="$folder/minari" "$folder/venv/bin/python" "$folder/show.py"
