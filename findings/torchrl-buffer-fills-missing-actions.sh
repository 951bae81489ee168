#!/bin/sh
# TorchRL 0.14.1 (tensordict 0.14.3), a TensorDictReplayBuffer with LazyMemmapStorage or LazyTensorStorage.
# Guess: a trajectory that lacks a key of those before it, as one without recorded actions, is refused, or its rows say
# that nothing is there. Behaviour, without a warning: with labeled ones first, LazyMemmapStorage reads its actions as
# zero, LazyTensorStorage as what lay in memory before (seen: 4.6e-41, 5872.0, 4.6e-41); with unlabeled ones first,
# LazyMemmapStorage drops the actions of those that have some, and LazyTensorStorage puts zeros in front of them.
set -e
python=${PYTHON:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0 torchrl==0.14.1 tensordict==0.14.3 numpy==2.2.6
cat >"$folder/show.py" <<'PYTHON'
import sys
import warnings
from pathlib import Path

import torch
from tensordict import TensorDict
from torchrl.data import LazyMemmapStorage, LazyTensorStorage, TensorDictReplayBuffer

warnings.simplefilter("error")
labeled = TensorDict({"observation": torch.full((3, 2), 1.0), "action": torch.full((3, 1), 0.5)}, [3])
unlabeled = TensorDict({"observation": torch.full((3, 2), 2.0)}, [3])
storages = {
    "LazyMemmapStorage": lambda name: LazyMemmapStorage(10, scratch_dir=Path(sys.argv[1]) / name),
    "LazyTensorStorage": lambda name: LazyTensorStorage(10),
}
for storage, make in storages.items():
    for order, pair in {"labeled first": (labeled, unlabeled), "unlabeled first": (unlabeled, labeled)}.items():
        buffer = TensorDictReplayBuffer(storage=make(order))
        for trajectory in pair:
            buffer.extend(trajectory.clone())
        rows = buffer[:]
        actions = rows["action"].ravel().tolist() if "action" in rows.keys() else "no such key"
        print(f"{storage}, {order}: observations {rows['observation'][:, 0].tolist()}, actions {actions}")
        assert rows["observation"].shape == (6, 2)
        known, unknown = [0.5] * 3, [0.0] * 3
        if storage == "LazyMemmapStorage":
            assert actions == (known + unknown if order == "labeled first" else "no such key")
        elif order == "labeled first":
            assert len(actions) == 6 and actions[:3] == known
        else:
            assert actions == unknown + known
PYTHON
"$folder/venv/bin/python" "$folder/show.py" "$folder"
