#!/bin/sh
# Minari 0.5.4 with pyarrow 21.0.0, data sets in the formats "arrow" and "parquet".
# Guess: an episode reads back as long as it was written, in each of the three formats.
# Behaviour: episodes are paired with the record batches that Arrow gives, and it gives at most 32768 rows at a time: an
# episode of 40000 steps is cut to 32767 and its rest takes the place of the next one, under its id and without a
# warning; the last episodes are never given. total_steps is still right, and "hdf5" reads all as written.
set -e
python=${PYTHON:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile "minari[hdf5]==0.5.4" gymnasium==1.2.3 pyarrow==21.0.0 h5py==3.16.0 \
	pillow==12.0.0 numpy==2.2.6
cat >"$folder/show.py" <<'PYTHON'
import importlib.metadata
import warnings

import gymnasium
import minari
import numpy as np
from minari.data_collector import EpisodeBuffer

lengths = [40000, 10, 20]
space = gymnasium.spaces.Box(-9, 9, (1,), np.float32)


def episode(number: int, steps: int) -> EpisodeBuffer:
    return EpisodeBuffer(
        id=number,
        observations=np.full((steps + 1, 1), number, np.float32),
        actions=np.zeros((steps, 1), np.float32),
        rewards=np.ones(steps),
        terminations=np.zeros(steps, bool),
        truncations=np.arange(steps) == steps - 1,
    )


print("minari", importlib.metadata.version("minari"), "pyarrow", importlib.metadata.version("pyarrow"))
for form in ("hdf5", "arrow", "parquet"):
    episodes = [episode(number, steps) for number, steps in enumerate(lengths)]
    with warnings.catch_warnings():  # of the author and so on, which are left out
        warnings.simplefilter("ignore")
        minari.create_dataset_from_buffers(
            f"toy/{form}-v0", episodes, observation_space=space, action_space=space, data_format=form
        )
    warnings.simplefilter("error")
    dataset = minari.load_dataset(f"toy/{form}-v0")
    found = [(int(read.id), len(read), np.unique(read.observations).tolist()) for read in dataset]
    print(f"{form}: {dataset.total_steps} steps; (id, steps, observations) {found}")
    assert dataset.total_steps == sum(lengths)
    if form == "hdf5":
        assert found == [(0, 40000, [0]), (1, 10, [1]), (2, 20, [2])]
    else:
        assert found == [(0, 32767, [0]), (1, 40000 - 32768, [0]), (2, 10, [1])]
PYTHON
MINARI_DATASETS_PATH="$folder/minari" "$folder/venv/bin/python" "$folder/show.py"
