"""Layers with a backward pass of their own against the modules that they stand for."""

import pytest
import torch
from torch import nn

from lawm_models.networks.scan.layers import Linear, Stack, Swish

STEPS, BATCH, IN, OUT = 3, 4, 5, 6


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


@torch.no_grad()
def run(layer, gradient):
    """The layer's output and its gradients, without autograd, as a scan asks for them."""
    for t in range(STEPS):
        layer.forward(t)
    layer.source.seed(torch.zeros_like(layer.source.values))
    layer.out.seed(gradient.clone())
    layer.prepare()
    layer.out.grads.copy_(gradient)
    for t in reversed(range(STEPS)):
        layer.backward(t)
    return layer.out.values, layer.source.grads, layer.gradients()


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_swish_is_the_module(known: bool, shared: bool) -> None:
    torch.manual_seed(0)
    linear, norm = nn.Linear(IN, OUT, bias=False).double(), nn.LayerNorm(OUT).double()
    nn.init.normal_(norm.weight)
    x, added = draw(STEPS, BATCH, IN).requires_grad_(), draw(STEPS, BATCH, OUT).requires_grad_()
    gradient = draw(STEPS, BATCH, OUT)
    wanted = nn.functional.silu(norm(linear(x) + (added if known else 0)))
    sources = [linear.weight, norm.weight, norm.bias, *([added] if known else [])]
    slopes = torch.autograd.grad(wanted, [x, *sources], gradient)
    layer = Swish(Stack(x.detach()), linear, norm, STEPS, added if known else None, shared)
    out, to_source, to_weights = run(layer, gradient)
    assert all(a is b for a, b in zip(layer.weights(), sources, strict=True))
    for found, expected in zip((out, to_source, *to_weights), (wanted, *slopes), strict=True):
        torch.testing.assert_close(found, expected.detach())


@pytest.mark.parametrize("shared", [False, True])
def test_linear_is_the_module(shared: bool) -> None:
    torch.manual_seed(0)
    module = nn.Linear(IN, OUT).double()
    x, gradient = draw(STEPS, BATCH, IN).requires_grad_(), draw(STEPS, BATCH, OUT)
    wanted = module(x)
    slopes = torch.autograd.grad(wanted, [x, module.weight, module.bias], gradient)
    out, to_source, to_weights = run(Linear(Stack(x.detach()), module, STEPS, shared), gradient)
    for found, expected in zip((out, to_source, *to_weights), (wanted, *slopes), strict=True):
        torch.testing.assert_close(found, expected.detach())


def test_parts_of_a_stack_share_its_memory_and_its_gradients() -> None:
    stack = Stack(torch.zeros(STEPS, BATCH, IN))
    part = stack.rows(1, 2).columns(2, 4)
    part.at[2].fill_(1)
    assert stack.values[2, 1::2, 2:4].eq(1).all()
    assert stack.values.sum() == part.values[2].numel()
    stack.seed(torch.zeros_like(stack.values))
    part.grad_at[0].add_(1)
    assert stack.grads[0, 1::2, 2:4].eq(1).all()
    stack.seed(torch.ones_like(stack.values))
    assert part.grad_at[0].eq(1).all()
