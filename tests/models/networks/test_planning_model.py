"""A recurrent world model as planners read it is the model that was trained, without its noise."""

import pytest
import torch
from lawm_schemas import ArraySpec, ConfigError, Role

from lawm_models.algorithms import ALGORITHMS
from lawm_models.algorithms._protocol import ModelSpec, Plannable
from lawm_models.collection.agents import make_agent
from lawm_models.networks.dynamics import State
from lawm_models.networks.encoders._protocol import Observation
from lawm_models.networks.planning_model import EncodedPlanningModel, PlanningModel
from lawm_models.networks.scaling import ActionScale

N = 3
SIZES = {
    "rssm": {"deter": 5, "stoch": 4, "hidden": 6},
    "embed": 7,
    "units": 8,
    "layers": 1,
}
ALGORITHM = {
    "model": {**SIZES, "latent_action": {"dim": 3, "units": 8, "layers": 1}},
    "agent": {"units": 8, "layers": 1},
}
AGENT = {"world": SIZES, "agent": {"units": 8, "layers": 1}}


@pytest.fixture
def algorithm(spec: ModelSpec, randomize):
    def make(name: str):
        module = ALGORITHMS.load(name)
        made = module.Algorithm(module.Config(**ALGORITHM), spec).double()
        randomize(made)
        return made

    return make


def rows(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("name", ["lawm", "lawm_plus", "clap"])
@pytest.mark.parametrize("space", ["latents", "actions", "controller"])
def test_its_steps_are_those_of_the_prior_at_its_mean(algorithm, name: str, space) -> None:
    made = algorithm(name)
    model, world = made.planning_model(), made.model.world
    state, choice = rows(N, 9), rows(N, model.spaces[space], seed=1).clamp(-1, 1)
    parts = State(state[:, :5], state[:, 5:])
    action = {
        "actions": choice,
        "latents": made.decode(made.model, state, choice) if space == "latents" else None,
        "controller": made.model.decoder(state, made.model.posterior(state, choice).mean)
        if space == "controller"
        else None,
    }[space]
    torch.testing.assert_close(model.action(state, choice, space), action)
    after = world.rssm.imagine(parts, action, torch.zeros(N, 4, dtype=torch.float64))
    torch.testing.assert_close(model.step(state, choice, space), after.feature)
    torch.testing.assert_close(model.remember(state, action), after.deter)
    torch.testing.assert_close(model.reward(after.feature), world.reward(after.feature))
    torch.testing.assert_close(model.value(state), made.agent.lowest_value(state))
    assert model.discount == made.config.agent.discount


def test_it_infers_what_the_policy_does(algorithm) -> None:
    made = algorithm("lawm")
    model, world = made.planning_model(), made.model.world
    observation, memory = rows(N, 3), rows(N, 5, seed=1)
    known = world.rssm.project(world.encoder(Observation(observation)))
    expected = torch.cat((memory, world.rssm.posterior(memory, known).mean), 1)
    torch.testing.assert_close(model.infer(observation, memory), expected)
    target = world.encoder.target(Observation(observation))
    torch.testing.assert_close(model.target(observation), target)
    torch.testing.assert_close(model.predicted(expected), world.observation_head(expected))


@pytest.mark.parametrize(("kind", "pays"), [("dreamer", True), ("plan2explore", False)])
def test_agents_that_collect_have_one_in_actions(spec: ModelSpec, kind: str, pays: bool) -> None:
    agent = make_agent(kind, AGENT, spec.observations, 2)
    model = agent.planning_model(ActionScale.of(spec.action))
    assert model.spaces == {"actions": 2}
    assert model.pays == pays
    state = torch.randn(N, 9, generator=torch.Generator().manual_seed(0))
    expected = agent.agent.lowest_value(state) if pays else torch.zeros(N)
    torch.testing.assert_close(model.value(state), expected)


def test_only_world_models_are_planned_in() -> None:
    classes = {name: ALGORITHMS.load(name).Algorithm for name in ALGORITHMS.ours()}
    plannable = {name for name, found in classes.items() if issubclass(found, Plannable)}
    lams = {"lam", "rla", "bc_rla", "dila", "cola", "flam"}
    assert plannable == {"lawm", "lawm_plus", "clap", "acwm", *lams}


def test_latent_actions_that_no_label_explains_cannot_be_acted_out() -> None:
    wide = ArraySpec(name="action", shape=(2,), role=Role.action)
    spec = ModelSpec((ArraySpec(name="state", shape=(3,)),), wide)
    module = ALGORITHMS.load("lam")
    with pytest.raises(ConfigError, match="has never seen a label"):
        module.Algorithm(module.Config(), spec).planning_model()


def test_a_model_on_features_tells_planners_all_that_the_model_does(algorithm) -> None:
    inner = algorithm("lawm").planning_model()
    told = {"context": 3, "memory_dim": 7, "pays": True, "discount": 0.5}
    for name, value in told.items():
        setattr(inner, name, value)
    encoded = EncodedPlanningModel(inner, lambda observation: observation)
    assert set(told) < set(PlanningModel.__annotations__)
    for name in PlanningModel.__annotations__:
        assert getattr(encoded, name) is getattr(inner, name), name
