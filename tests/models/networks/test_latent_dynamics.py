"""What probes ask of models: a step leads where it is predicted to lead."""

import pytest
import torch

from lawm_models.networks.lam.latent_transition_model import (
    LatentTransitionConfig,
    LatentTransitionModel,
)
from lawm_models.networks.latent_dynamics import (
    FilteredDynamics,
    TransitionDynamics,
    side_by_side,
)
from lawm_models.networks.planning_model import RecurrentPlanningModel
from lawm_models.networks.scaling import ActionScale


def test_a_step_ends_in_what_is_predicted(spec, randomize) -> None:
    config = LatentTransitionConfig(units=8, layers=1, latent=2, context=3)
    model = LatentTransitionModel(config, spec.observations, 2, "test")
    randomize(model)
    dynamics = TransitionDynamics(model.requires_grad_(False))
    width = sum(field.size for field in spec.observations)
    states = dynamics.states(torch.randn(4, 5, width)).flatten(0, 1)
    latent = torch.randn(len(states), 2)
    after = dynamics.step(states, latent)
    expected = dynamics.followed(states, dynamics.predict(states, latent))
    torch.testing.assert_close(after, expected)
    assert not torch.equal(after, states)


def test_a_step_of_lawm_is_one_of_its_world_model_on_the_decoded_action(problem) -> None:
    model, batch, _ = problem("none")
    model.requires_grad_(False)
    dynamics, world = FilteredDynamics(model, 2), model.world
    states = dynamics.states(batch.observation).flatten(0, 1)
    latent = torch.randn(len(states), dynamics.latent_dim, dtype=states.dtype)
    feature = states[:, : world.rssm.feature_dim]
    planning = RecurrentPlanningModel(world, ActionScale((-1.0, -1.0), (1.0, 1.0)))
    action = model.decoder(feature, latent)
    expected = planning.step(feature, action, "actions")
    after = dynamics.step(states, latent)
    torch.testing.assert_close(after[:, : world.rssm.feature_dim], expected)
    observed = after[:, world.rssm.feature_dim :]
    torch.testing.assert_close(observed, dynamics.predict(states, latent))


@pytest.mark.parametrize(
    "changed", [{"inverse_members": 2}, {"inverse_steps": 3, "inverse_input": "difference"}]
)
def test_a_trajectory_has_the_states_that_it_has_alone(problem, changed) -> None:
    """Whatever it is read beside."""
    model, _, _ = problem("none", **changed)
    dynamics = FilteredDynamics(model.requires_grad_(False), 2)
    like = next(model.parameters())
    generator = torch.Generator().manual_seed(0)
    short, long = (
        torch.randn(length, 3, generator=generator, dtype=like.dtype) for length in (4, 7)
    )
    (alone,) = dynamics.states(side_by_side([short]))
    for together, place in (([short, long], 0), ([long, short], 1)):
        found = dynamics.states(side_by_side(together))[place]
        torch.testing.assert_close(found[: len(short)], alone)
