"""AdaLN-zero, and the forward network against an evaluation in NumPy."""

import numpy as np
import torch

from lawm_models.networks.lam.forward_dynamics import ForwardDynamics

STATE, ACTION, OUT = 5, 2, 3


def network(randomize=None, layers=2):
    torch.manual_seed(0)
    net = ForwardDynamics(STATE, ACTION, OUT, units=6, layers=layers).double()
    if randomize:
        randomize(net)
    return net


def test_a_fresh_one_predicts_no_change():
    state, action = torch.randn(7, STATE).double(), torch.randn(7, ACTION).double()
    assert (network()(state, action) == 0).all()


def silu(x):
    return x / (1 + np.exp(-x))


def test_the_action_shifts_scales_and_gates(randomize):
    net = network(randomize)
    state, action = torch.randn(4, 3, STATE).double(), torch.randn(4, 3, ACTION).double()
    w = {name: value.detach().numpy() for name, value in net.named_parameters()}

    def linear(name, x):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def normed(x, shift, scale):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return x * (1 + scale) + shift

    parts = np.split(linear("modulation", silu(linear("action", action.numpy()))), 8, -1)
    x = linear("state", state.numpy())
    for i in range(2):
        shift, scale, gate = parts[3 * i : 3 * i + 3]
        inner = linear(f"blocks.{i}.first", normed(x, shift, scale))
        x = x + gate * linear(f"blocks.{i}.second", silu(inner))
    expected = linear("out", silu(normed(x, parts[6], parts[7])))
    np.testing.assert_allclose(net(state, action).detach().numpy(), expected, rtol=1e-9)
