"""Layers without a product of their own, and the GRU cell, against autograd."""

import pytest
import torch

from lawm_models.networks.distributions import split_normal
from lawm_models.networks.latent_action import ActionDensities
from lawm_models.networks.layers import NormedGRUCell
from lawm_models.networks.scan.cells import GRU, Choose, Copy, Draw
from lawm_models.networks.scan.layers import Stack

STEPS, BATCH, N = 3, 4, 2


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


@torch.no_grad()
def run(layer, source, out, gradient):
    """Gradient of ``source`` by the layer itself, without autograd, as a scan asks for it."""
    for t in range(STEPS):
        layer.forward(t)
    source.seed(torch.zeros_like(source.values))
    out.seed(gradient.clone())
    layer.prepare()
    for t in reversed(range(STEPS)):
        layer.backward(t)
    return source.grads


def assert_same(found, wanted):
    torch.testing.assert_close(found, wanted.detach())


def test_gru_is_the_cell_step_by_step() -> None:
    torch.manual_seed(0)
    cell = NormedGRUCell(N, BATCH).double()
    x = draw(STEPS, BATCH, N).requires_grad_()
    h = draw(BATCH, BATCH).requires_grad_()
    states = [h]
    for t in range(STEPS):
        states.append(cell(x[t], states[t]))
    wanted, gradient = torch.stack(states), draw(STEPS + 1, BATCH, BATCH)
    weights = [cell.linear.weight, cell.norm.weight, cell.norm.bias]
    slopes = torch.autograd.grad(wanted, [x, h, *weights], gradient)
    joint = Stack(torch.zeros(STEPS + 1, BATCH, N + BATCH, dtype=torch.float64))
    state = joint.columns(N, N + BATCH)
    joint.values[:-1, :, :N], joint.values[0, :, N:] = x.detach(), h.detach()
    layer = GRU(joint, state, cell, STEPS)
    with torch.no_grad():
        for t in range(STEPS):
            layer.forward(t)
        joint.seed(torch.zeros_like(joint.values))
        state.grads.copy_(gradient)
        layer.prepare()
        for t in reversed(range(STEPS)):
            layer.backward(t)
        found = (state.values, joint.grads[:-1, :, :N], state.grads[0], *layer.gradients())
    for a, b in zip(found, (wanted, *slopes), strict=True):
        assert_same(a, b)


def test_a_draw_is_a_sample_of_the_density() -> None:
    params, noise = draw(STEPS, BATCH, 2 * N).requires_grad_(), draw(STEPS, BATCH, N)
    density, gradient = split_normal(params, 0.1), draw(STEPS, BATCH, N)
    wanted = density.mean + density.std * noise
    (slope,) = torch.autograd.grad(wanted, params, gradient)
    source, out = Stack(params.detach()), Stack(torch.zeros_like(noise))
    assert_same(run(Draw(source, noise, out, 0.1), source, out, gradient), slope)
    assert_same(out.values, wanted)


@pytest.mark.parametrize("through", [False, True])
@pytest.mark.parametrize("name", ["normal", "learned_normal", "tanh_normal"])
def test_the_action_is_recorded_or_decoded(name, through: bool) -> None:
    """Eq. 9: no gradient where it is recorded, or where none is to flow."""
    densities = ActionDensities(name, 0.4)
    params = draw(STEPS, BATCH, densities.outputs * N).requires_grad_()
    noise, action = draw(STEPS, BATCH, N), draw(STEPS, BATCH, N).tanh()
    labeled = torch.tensor([[1.0], [0.0], [0.0], [1.0]], dtype=torch.float64)
    gradient = draw(STEPS, BATCH, N)
    decoded = densities.read(params).sample(noise)
    wanted = labeled * action + (1 - labeled) * decoded
    (slope,) = torch.autograd.grad(wanted, params, gradient)
    source, out = Stack(params.detach()), Stack(torch.zeros_like(action))
    layer = Choose(densities, source, noise, action, labeled, out, through)
    assert_same(run(layer, source, out, gradient), slope * through)
    assert_same(out.values, wanted)


def test_a_copy_hands_its_gradient_back() -> None:
    source, gradient = Stack(draw(STEPS, BATCH, N)), draw(STEPS, BATCH, N)
    out = Stack(torch.zeros(STEPS, BATCH, N, dtype=torch.float64))
    assert_same(run(Copy(source, out), source, out, gradient), gradient)
    assert_same(out.values, source.values)
