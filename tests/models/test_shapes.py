"""Shape annotations are checked at run time, but only in tests."""

import subprocess
import sys

import pytest
import torch
from jaxtyping import TypeCheckError

from lawm_models.networks.distributions import Normal, kl
from lawm_models.networks.layers import MLP
from lawm_models.networks.world_model import state_weight, weighted_mean


@pytest.mark.parametrize("width", [3, 1])  # 1 would broadcast in silence
def test_wrong_shape_raises(width):
    with pytest.raises(TypeCheckError, match="weight"):
        weighted_mean(torch.zeros(2, 4), torch.zeros(2, width))


def test_wrong_type_raises():
    with pytest.raises(TypeCheckError, match="valid"):
        state_weight(torch.ones(2, 3))


def test_right_shapes_pass():
    assert state_weight(torch.ones(2, 3, dtype=torch.bool)).shape == (2, 4)
    assert MLP(3, 5, 4, 1)(torch.zeros(2, 7, 3)).shape == (2, 7, 5)
    normal = Normal(torch.zeros(2, 3), torch.ones(2, 3))
    assert kl(normal, normal).shape == (2,)


def test_users_pay_nothing():
    program = (
        "import sys, torch; from lawm_models.networks.world_model import weighted_mean;"
        "weighted_mean(torch.zeros(2, 4), torch.zeros(2, 1));"
        "assert 'beartype' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
