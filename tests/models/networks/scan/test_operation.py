"""A scan as one operation of autograd."""

import pytest
import torch
from torch import nn

from lawm_models.networks.layers import NormedGRUCell
from lawm_models.networks.scan.cells import GRU, Copy
from lawm_models.networks.scan.layers import Layer, Linear, Stack
from lawm_models.networks.scan.operation import Scan

STEPS, BATCH, N = 3, 2, 4


class Counted(Layer):
    """Notes which steps run."""

    def __init__(self, name: str, log: list[tuple[str, int]]) -> None:
        self.name, self.log = name, log

    def forward(self, t: int) -> None:
        self.log.append((self.name, t))

    def backward(self, t: int) -> None:
        self.log.append((self.name, t))


def test_steps_run_in_order_and_backwards() -> None:
    log: list[tuple[str, int]] = []
    memory = Stack(torch.zeros(STEPS, BATCH, N))
    scan = Scan([Counted("every", log)], [Counted("between", log)], [memory], [memory])
    scan.forward()
    order = [("every", 0), ("between", 0), ("every", 1), ("between", 1), ("every", 2)]
    assert log == order
    log.clear()
    scan.backward([torch.zeros(BATCH, STEPS, N)])
    assert log == order[::-1]


def unroll(cell: NormedGRUCell, out: nn.Linear, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    h = [torch.zeros(BATCH, N, dtype=torch.float64)]
    for t in range(STEPS):
        h.append(cell(x[t], h[t]))
    states = torch.stack(h, 1)
    return states, out(states)


def scan_of(cell: NormedGRUCell, out: nn.Linear, x: torch.Tensor) -> Scan:
    joint = Stack(torch.zeros(STEPS + 1, BATCH, 2 * N, dtype=torch.float64))
    taken, state = joint.columns(0, N), joint.columns(N, 2 * N)
    read = Linear(state, out, STEPS + 1, shared=True)
    given = Stack(x)
    given.seed(torch.zeros_like(x))
    between = [Copy(given, taken), GRU(joint, state, cell, STEPS)]
    return Scan([read], between, [joint], [state, read.out])


def parts() -> tuple[NormedGRUCell, nn.Linear, torch.Tensor]:
    torch.manual_seed(0)
    x = torch.randn(STEPS, BATCH, N, dtype=torch.float64)
    return NormedGRUCell(N, N).double(), nn.Linear(N, N).double(), x


def test_outputs_and_gradients_are_those_of_the_loop() -> None:
    cell, out, x = parts()
    weights = [*cell.parameters(), *out.parameters()]
    found, wanted = scan_of(cell, out, x).run(), unroll(cell, out, x)
    gradients = [torch.randn_like(part) for part in wanted]
    for a, b in zip(
        (*found, *torch.autograd.grad(found, weights, gradients)),
        (*wanted, *torch.autograd.grad(wanted, weights, gradients)),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_a_weight_changed_in_between_is_noticed() -> None:
    cell, out, x = parts()
    states, _ = scan_of(cell, out, x).run()
    with torch.no_grad():
        cell.linear.weight.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        states.sum().backward()
