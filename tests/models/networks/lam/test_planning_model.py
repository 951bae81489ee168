"""Transition models as planners read them: contexts, latent actions on their scale, controllers."""

import numpy as np
import pytest
import torch
from lawm_schemas import ConfigError

from lawm_models.algorithms import ALGORITHMS
from lawm_models.algorithms._protocol import ModelSpec
from lawm_models.networks.encoders._protocol import Observation

N = 4


@pytest.fixture
def make(spec: ModelSpec, randomize):
    def algorithm(name: str = "lam", **model):
        module = ALGORITHMS.load(name)
        latent = {} if name == "acwm" else {"latent": 3}
        settings = {"units": 8, "layers": 1, **latent, **model}
        made = module.Algorithm(module.Config(model=settings), spec).double()
        randomize(made)
        if name != "acwm":
            made.controller.labels.fill_(1)
        return made

    return algorithm


def rows(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("name", ["lam", "acwm"])
@pytest.mark.parametrize("context", [1, 3])
def test_what_it_remembers_are_the_observations_before(make, name: str, context: int) -> None:
    made = make(name, context=context)
    model, seen = made.planning_model(), rows(N, 5, 3)
    states = made.model.states(Observation(seen))
    memory = torch.zeros(N, model.memory_dim, dtype=torch.float64)
    for t, observation in enumerate(seen.unbind(1)):
        state = model.infer(observation, memory)
        torch.testing.assert_close(state, states[:, t].flatten(1))
        torch.testing.assert_close(model.predicted(state), model.target(observation))
        memory = model.remember(state, rows(N, 2))


@pytest.mark.parametrize(("name", "context"), [("lam", 1), ("lam", 2), ("rla", 2), ("dila", 2)])
def test_every_space_leads_where_the_model_says(make, name: str, context: int) -> None:
    made = make(name, context=context)
    model, state = made.planning_model(), rows(N, context, 3)
    action = rows(N, 2, seed=1).clamp(-1, 1)
    for space, seen in (("controller", state), ("blind_controller", None)):
        after = made.model.step(state, made.controller.latent(action, seen))
        torch.testing.assert_close(model.step(state.flatten(1), action, space), after.flatten(1))
        torch.testing.assert_close(model.action(state.flatten(1), action, space), action)
    told = make("acwm", context=context)
    after = told.model.step(state, action)
    plain = told.planning_model()
    assert plain.spaces == {"actions": 2}
    torch.testing.assert_close(plain.step(state.flatten(1), action, "actions"), after.flatten(1))


@pytest.mark.parametrize("constraint", ["none", "gaussian", "sparse", "vq", "nested"])
def test_choices_among_latents_have_the_spread_of_the_data(make, constraint: str) -> None:
    made = make(constraint={"name": constraint})
    wide = np.array([[2.0, 0, 0], [1, 0.5, 0], [0, 0, 0.1]])
    if hasattr(made.model.constraint, "remembered"):
        latents = torch.from_numpy(np.random.default_rng(0).normal(size=(1024, 3)) @ wide + 1)
        made.model.constraint.remembered.latents.copy_(latents)
        made.model.constraint.remembered.filled.fill_(1024)
    model = made.planning_model()
    data = made.model.prior_sample(20_000, torch.Generator().manual_seed(1)).double()
    choice = rows(20_000, 3) / 2  # of standard deviation 1 / 2: that is 1 of the data
    found = model._decoded(choice)
    if constraint == "vq":  # codes themselves
        assert (torch.cdist(found, made.model.constraint.codebook).amin(1) < 1e-6).all()
        return
    torch.testing.assert_close(found.mean(0), data.mean(0), atol=0.1, rtol=0)
    torch.testing.assert_close(found.T.cov(), data.T.cov(), atol=0.15, rtol=0.1)
    state = rows(N, 1, 3)
    flat, acted = state.flatten(1), made.controller.action(state, found[:N]).mean
    after = made.model.step(state, found[:N])
    torch.testing.assert_close(model.step(flat, choice[:N], "latents"), after.flatten(1))
    torch.testing.assert_close(model.action(flat, choice[:N], "latents"), acted)


def test_longer_steps_are_refused(make) -> None:
    with pytest.raises(ConfigError, match=r"a step of the model is 2 of the environment"):
        make("acwm", horizon=2).planning_model()
