#!/bin/sh
# Minari 0.5.4, combine_datasets with data sets that were made with jpeg_encoding=False, to be without loss.
# Guess: the new one is as they are, its pixels those that were written. Behaviour: it is made anew with the default, so
# each observation goes through JPEG: here in maps of the class numbers 0 to 4 about half of the pixels come back as
# another number, up to 6, in the shape and type that they had. Nothing warns; only metadata.json says so.
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

maps = gymnasium.spaces.Box(0, 255, (64, 64), np.uint8)
actions = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
classes = np.random.default_rng(0).integers(0, 5, (4, 16, 16), np.uint8).repeat(4, 1).repeat(4, 2)  # 5 of them
episode = EpisodeBuffer(
    id=0,
    observations=classes,
    actions=np.zeros((3, 1), np.float32),
    rewards=np.zeros(3),
    terminations=np.zeros(3, bool),
    truncations=np.array([False, False, True]),
)
with warnings.catch_warnings():  # of the author and so on, which are left out
    warnings.simplefilter("ignore")
    made = minari.create_dataset_from_buffers(
        "toy/made-v0", [episode], observation_space=maps, action_space=actions, jpeg_encoding=False
    )
warnings.simplefilter("error")
combined = minari.combine_datasets([made], "toy/combined-v0")
print("minari", importlib.metadata.version("minari"))
before, after = made[0].observations, combined[0].observations
for name, found in {"made": before, "combined": after}.items():
    wrong = (found != classes).mean()
    print(f"{name}: {found.dtype} {found.shape}, values {np.unique(found).tolist()}, {wrong:.0%} of the pixels differ")
assert (before == classes).all() and before.dtype == after.dtype and before.shape == after.shape
assert (after != classes).mean() > 0.1 and after.max() > 4
assert made.storage.jpeg_encoding is False and combined.storage.jpeg_encoding is True
PYTHON
MINARI_DATASETS_PATH="$folder/minari" "$folder/venv/bin/python" "$folder/show.py"
