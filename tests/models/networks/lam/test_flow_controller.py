"""From true actions to latent ones by flow matching."""

import pytest
import torch

from lawm_models.networks.lam.flow_controller import FlowController, FlowControllerConfig
from lawm_models.networks.optimizer import adam, minimize

ROWS = 64


@pytest.fixture
def make(randomize):
    def build(**config) -> FlowController:
        torch.manual_seed(0)
        config = FlowControllerConfig(units=16, layers=1, **config)
        controller = FlowController(config, state_dim=3, latent_dim=2, action_dim=2).double()
        randomize(controller)
        return controller

    return build


def rows(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_its_error_is_that_of_the_velocity_on_the_line_from_noise(make) -> None:
    controller = make()
    state, latent, action = rows(ROWS, 1, 3), rows(ROWS, 2, seed=1), rows(ROWS, 2, seed=2)
    found = controller.seeing_error(state, latent, action, torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(3)
    draws = {"generator": generator, "dtype": torch.float64}
    n, noise = torch.randn(ROWS, 1, **draws), torch.randn(ROWS, 2, **draws)
    time = 1 / (1 + (-n).exp())
    x = (1 - time) * noise + time * latent
    error = controller.velocity(x, time, state, action) - (latent - noise)
    expected = (error.square() + error.abs()).sum(-1) / 2
    torch.testing.assert_close(found, expected)


def test_without_chance_a_flow_begins_at_the_mean_of_the_noise(make) -> None:
    controller = make(flow_steps=3)
    state, action = rows(ROWS, 1, 3), rows(ROWS, 2, seed=2)
    x = torch.zeros(ROWS, 2, dtype=torch.float64)
    for time in (0.0, 1 / 3, 2 / 3):
        x = x + controller.velocity(x, torch.full((ROWS, 1), time).double(), state, action) / 3
    torch.testing.assert_close(controller.latent(action, state), x)
    # one that sees no state is none
    torch.testing.assert_close(controller.latent(action), controller.blind(action))


def test_rows_without_a_label_move_no_weight(make) -> None:
    state, latent, action = rows(ROWS, 1, 3), rows(ROWS, 2, seed=1), rows(ROWS, 2, seed=2)
    labeled = (torch.arange(ROWS) % 2).double()
    grads = []
    for shown in (action, torch.where(labeled.bool().unsqueeze(-1), action, 7.0)):
        controller = make()
        generator = torch.Generator().manual_seed(0)
        loss, _ = controller.losses(state, latent, shown, labeled, generator)
        loss.backward()
        grads.append([p.grad for p in controller.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))
    assert all(grad.abs().sum() > 0 for grad in grads[0])


def test_noise_chooses_where_an_action_may_lead_to_two(make) -> None:
    controller, generator = make(), torch.Generator().manual_seed(0)
    state, action, noise = rows(ROWS, 1, 3), rows(ROWS, 2, seed=1), rows(ROWS, 2, seed=2)
    optimizer = adam(controller.seeing.parameters(), 1e-2)
    for step in range(150):
        side = rows(ROWS, 1, seed=step).sign().expand(-1, 2)
        minimize(optimizer, controller.seeing_error(state, side, action, generator).mean())
    with torch.no_grad():
        latent = controller.flow(noise, state, action)
    # a network without noise would say 0
    assert latent.abs().median() > 0.7
    assert 0.2 < (latent[:, 0] > 0).float().mean() < 0.8
