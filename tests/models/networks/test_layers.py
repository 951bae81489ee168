import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lawm_models.networks.layers import MLP, NormedGRUCell, NormedLinear, NormedSum, symlog


def normed(x: np.ndarray, layer: torch.nn.LayerNorm) -> np.ndarray:
    scale, shift = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    return (x - x.mean()) / np.sqrt(x.var() + layer.eps) * scale + shift


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_mlp_is_linear_norm_swish(randomize, generator):
    net = MLP(3, 2, 5, 2).double()
    randomize(net)
    rows = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    output = net(rows)
    for row, result in zip(rows.numpy(), output.detach().numpy(), strict=True):
        x = row
        for layer in net.hidden:
            x = normed(layer.linear.weight.detach().numpy() @ x, layer.norm)
            x = x * sigmoid(x)
        expected = net.out.weight.detach().numpy() @ x + net.out.bias.detach().numpy()
        np.testing.assert_allclose(result, expected, rtol=1e-10)


def test_zero_init_starts_at_zero(generator):
    x = torch.randn(4, 3, generator=generator)
    assert not MLP(3, 2, 5, 2, zero_init=True)(x).any()
    assert MLP(3, 2, 5, 2)(x).any()


def test_normed_sum_is_normed_linear_on_both_inputs(randomize, generator):
    both, split = NormedLinear(5, 6).double(), NormedSum(3, 2, 6).double()
    randomize(both)
    with torch.no_grad():
        split.step.weight.copy_(both.linear.weight[:, :3])
        split.known.weight.copy_(both.linear.weight[:, 3:])
    split.norm = both.norm
    x = torch.randn(7, 5, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(split(x[:, :3], split.project(x[:, 3:])), both(x))


def test_gru_cell(randomize, generator):
    cell = NormedGRUCell(3, 4).double()
    randomize(cell)
    x = torch.randn(3, generator=generator, dtype=torch.float64)
    h = torch.randn(4, generator=generator, dtype=torch.float64)
    joint = cell.linear.weight.detach().numpy() @ np.concatenate((x, h))
    reset, candidate, update = np.split(normed(joint, cell.norm), 3)
    gate = sigmoid(update - 1)
    expected = gate * np.tanh(sigmoid(reset) * candidate) + (1 - gate) * h.numpy()
    np.testing.assert_allclose(cell(x, h).detach().numpy(), expected, rtol=1e-10)


@given(st.floats(-1e6, 1e6))
def test_symlog_keeps_sign_and_can_be_undone(x):
    y = symlog(torch.tensor([x], dtype=torch.float64)).item()
    assert math.copysign(math.expm1(abs(y)), y) == pytest.approx(x, rel=1e-9, abs=1e-12)


def test_symlog_is_smooth_at_zero():
    x = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    step = 1e-6
    slope = (symlog(x + step) - symlog(x - step)).item() / (2 * step)
    assert slope == pytest.approx(1, abs=1e-5)
