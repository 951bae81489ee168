#!/bin/sh
# skrl 2.1.1, RandomMemory.save and then load in a memory of the same size with the same tensors.
# Guess: the memory that has loaded holds and samples what was saved. Behaviour: load raises nothing and changes nothing
# that is read: the length is 0, sample of 2 gives 0 rows, and sample_all gives all 4 rows, of nan and False. The data
# lies in attributes that nothing else looks at (_tensor_NAME). So for "pt" and for "npz".
set -e
python=${PYTHON:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile torch==2.13.0 gymnasium==1.2.3 numpy==2.2.6 packaging==25.0 \
	tqdm==4.67.1 tensorboard==2.21.0
"$folder/venv/bin/pip" install -q --no-compile --no-deps skrl==2.1.1
cat >"$folder/show.py" <<'PYTHON'
import importlib.metadata
import sys
import warnings
from pathlib import Path

import torch
from skrl.memories.torch import RandomMemory

warnings.simplefilter("error")
names = ["observations", "terminated"]


def memory() -> RandomMemory:
    made = RandomMemory(memory_size=4, num_envs=1, device="cpu")
    made.create_tensor("observations", size=2, dtype=torch.float32)
    made.create_tensor("terminated", size=1, dtype=torch.bool)
    return made


saved = memory()
for step in range(4):
    saved.add_samples(observations=torch.full((1, 2), step + 1.0), terminated=torch.tensor([[step == 3]]))
print("skrl", importlib.metadata.version("skrl"))
for form in ("pt", "npz"):
    folder = Path(sys.argv[1], form)
    saved.save(str(folder), format=form)
    (file,) = folder.rglob(f"*.{form}")
    loaded = memory()
    loaded.load(str(file))
    for name, found in {"saved": saved, "loaded": loaded}.items():
        observations, terminated = (tensor[:, 0].tolist() for tensor in found.sample_all(names)[0])
        rows = len(found.sample(names, batch_size=2)[0][0])
        print(f"{form}, {name}: length {len(found)}, sample of 2 has {rows}, all {observations}, {terminated}")
        whole = ([1.0, 2.0, 3.0, 4.0], [False, False, False, True])
        if name == "saved":
            assert (observations, terminated) == whole and len(found) == 4 and rows == 2
        else:
            assert all(value != value for value in observations) and terminated == [False] * 4
            assert len(found) == 0 and rows == 0
            assert found._tensor_observations[:, 0, 0].tolist() == whole[0]
PYTHON
"$folder/venv/bin/python" "$folder/show.py" "$folder"
