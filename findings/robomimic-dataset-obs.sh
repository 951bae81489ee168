#!/bin/sh
# robomimic 0.3.0: rollout() with return_obs, as run_trained_agent calls it with --dataset_obs.
# Guess: recording pictures changes neither them nor what the policy sees. Behaviour: each is scaled in place
# for the record, so from step 2 on the policy is given values up to 255 instead of up to 1, and the recorded
# obs, scaled twice, are not the next_obs of the step before. Shown without a simulator and training.
set -e
python=${PYTHON:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0 numpy==2.2.6 h5py==3.14.0 six==1.17.0 termcolor==3.1.0 tqdm==4.67.1
"$folder/venv/bin/pip" install -q --no-deps robomimic==0.3.0
cat >"$folder/check.py" <<'PYTHON'
import sys
from unittest.mock import MagicMock

import numpy as np
import torch

for unused in ("imageio", "matplotlib", "matplotlib.pyplot", "torchvision", "torchvision.models",
               "torchvision.transforms", "torchvision.transforms.functional"):  # imported, but not called here
    sys.modules[unused] = MagicMock()
import robomimic.utils.obs_utils as obs_utils
from robomimic.algo import RolloutPolicy
from robomimic.envs.env_base import EnvBase
from robomimic.scripts.run_trained_agent import rollout

obs_utils.initialize_obs_utils_with_obs_specs([{"obs": {"rgb": ["image"]}}])


def picture(grey):  # as robomimic's environments process theirs
    return obs_utils.process_obs_dict({"image": np.full((2, 2, 3), grey, np.uint8)})


for recorded in (False, True):
    given = []
    model = MagicMock(device="cpu")
    model.get_action = lambda obs_dict, **_: given.append(obs_dict["image"].max().item()) or torch.zeros(1, 1)
    environment = MagicMock(spec=EnvBase, rollout_exceptions=())  # its pictures are grey: 100, 101, ...
    environment.reset_to.return_value = picture(100)
    environment.step.side_effect = [(picture(grey), 0.0, False, {}) for grey in (101, 102, 103, 104)]
    environment.get_state.return_value = {"states": np.zeros(1)}
    environment.is_success.return_value = {"task": False}
    _, run = rollout(RolloutPolicy(model), environment, 4, return_obs=recorded)
    print(f"return_obs={recorded}: the model was given pictures of {np.round(given, 3).tolist()}")
    assert given[0] < 1 and (max(given) > 1) == recorded
obs, following = (run[key]["image"][:, 0, 0, 0].tolist() for key in ("obs", "next_obs"))
print(f"recorded obs {obs}, next_obs {following}")
assert following == [101, 102, 103, 104] and obs[0] == 100 and not set(obs[1:]) & {101, 102, 103}
PYTHON
"$folder/venv/bin/python" -W ignore "$folder/check.py"
