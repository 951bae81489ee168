"""Between true and latent actions."""

import pytest
import torch

from lawm_models.networks.lam.controller import Controller, ControllerConfig
from lawm_models.networks.optimizer import adam, minimize

ROWS = 400


@pytest.fixture(scope="module")
def data():
    """A latent action that turns with the state: z = R(s) a."""
    generator = torch.Generator().manual_seed(0)
    state = torch.rand(ROWS, 1, 1, generator=generator) * 6.28
    action = 2 * torch.rand(ROWS, 2, generator=generator) - 1
    angle = state.squeeze(-1)
    state = torch.cat((state.cos(), state.sin()), -1)
    turn = torch.stack(
        (torch.cat((angle.cos(), -angle.sin()), -1), torch.cat((angle.sin(), angle.cos()), -1)), -2
    )
    latent = (turn @ action.unsqueeze(-1)).squeeze(-1)
    return state, latent, action


@pytest.fixture(scope="module")
def trained(data):
    state, latent, action = data
    torch.manual_seed(0)
    controller = Controller(ControllerConfig(units=32, layers=2), 2, 2, 2)
    assert not controller.is_trained
    labeled = (torch.arange(ROWS) % 2).float()
    noise = torch.randn(ROWS, 2, generator=torch.Generator().manual_seed(1))
    wrong = torch.where(labeled.bool().unsqueeze(-1), action, noise)
    optimizer = adam(controller.parameters(), 1e-2)
    for _ in range(150):
        loss, metrics = controller.losses(state, latent, wrong, labeled)
        minimize(optimizer, loss)
    return controller, metrics


def test_with_the_state_it_tells_what_it_cannot_without(data, trained):
    controller, metrics = trained
    assert controller.is_trained
    assert metrics["seeing_error"] < 0.3
    assert metrics["decoder_error"] < 0.3
    assert metrics["blind_error"] > 0.7
    state, latent, action = data
    held = slice(0, ROWS, 2)  # what was labeled wrongly without a label
    error = (controller.latent(action[held], state[held]) - latent[held]).square().mean()
    assert error < 0.5 * latent.var()
    assert controller.latent(action[held]).shape == (ROWS // 2, 2)
    found = controller.action(state[held], latent[held])
    assert (found.mean - action[held]).square().mean() < 0.5 * action.var()
    assert (found.std > 0).all()


def test_without_labels_it_learns_nothing(data):
    state, latent, action = data
    controller = Controller(ControllerConfig(units=8, layers=1), 2, 2, 2)
    loss, metrics = controller.losses(state, latent, action, torch.zeros(ROWS))
    assert loss == 0
    assert all(value == 0 for value in metrics.values())
    assert not controller.is_trained
