#!/bin/sh
# Minari 0.5.4, create_dataset_from_buffers with observations whose shape is not that of the space, such as pictures with
# channels last under a space with channels first.
# Guess: they are refused when the data set is written, or when it is read. Behaviour: the HDF5 storage, which is the usual
# one, takes them without a word, and reads them as they were written: no observation is in the space that the data set
# declares. The Arrow storage refuses the same buffers. So it depends on the storage whether the declared shape can be
# trusted, and a reader that reshapes by it scrambles pictures.
set -e
python=${PYTHON:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile "minari[hdf5,arrow]==0.5.4" gymnasium==1.2.3 h5py==3.16.0 \
	pillow==12.0.0 numpy==2.2.6
cat >"$folder/show.py" <<'PYTHON'
import importlib.metadata
import warnings

import gymnasium
import minari
import numpy as np
from minari.data_collector import EpisodeBuffer

declared = gymnasium.spaces.Box(0, 255, (3, 8, 8), np.uint8)
actions = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
pictures = np.arange(4 * 8 * 8 * 3, dtype=np.uint16).astype(np.uint8).reshape(4, 8, 8, 3)


def written(name: str, storage: str) -> minari.MinariDataset:
    """A data set of one episode of three steps."""
    episode = EpisodeBuffer(
        observations=pictures,
        actions=np.zeros((3, 1), np.float32),
        rewards=[0.0, 0.0, 0.0],
        terminations=[False, False, False],
        truncations=[False, False, True],
    )
    with warnings.catch_warnings():  # of the author and so on, which are left out
        warnings.simplefilter("ignore")
        return minari.create_dataset_from_buffers(
            name, [episode], observation_space=declared, action_space=actions, data_format=storage
        )


print("minari", importlib.metadata.version("minari"))
with warnings.catch_warnings():
    warnings.simplefilter("error")
    written_as_hdf5 = written("toy/hdf5-v0", "hdf5")
    read = written_as_hdf5[0].observations
print(f"hdf5: declared {written_as_hdf5.observation_space.shape}, read {read.shape[1:]}, nothing said")
assert written_as_hdf5.observation_space.shape == (3, 8, 8)
assert read.shape == (4, 8, 8, 3) and np.array_equal(read, pictures)
assert not any(written_as_hdf5.observation_space.contains(picture) for picture in read)
try:
    written("toy/arrow-v0", "arrow")
except AssertionError:
    print("arrow: refused")
else:
    raise SystemExit("arrow: no longer refused")
PYTHON
MINARI_DATASETS_PATH="$folder/minari" "$folder/venv/bin/python" "$folder/show.py"
