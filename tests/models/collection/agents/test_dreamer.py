"""Dreamer is the latent-action model without latent actions, and an actor on the action."""

from dataclasses import replace

import pytest
import torch
from lawm_schemas import ConfigError

from lawm_models.collection.agents.dreamer import Dreamer, DreamerConfig
from lawm_models.networks.actor_critic import ActorCriticConfig, choose_starts
from lawm_models.networks.rssm import RSSMConfig
from lawm_models.networks.world_model import WorldModelConfig


@pytest.fixture
def dreamer(spec):
    torch.manual_seed(0)
    config = DreamerConfig(
        world=WorldModelConfig(
            rssm=RSSMConfig(deter=5, stoch=4, hidden=6), embed=7, units=8, layers=1
        ),
        agent=ActorCriticConfig(
            units=6, layers=1, horizon=3, start_states=10, policy="clamped_normal", critics=1
        ),
    )
    return Dreamer(config, spec.observations, 2)


def test_there_are_no_data_to_take_statistics_from():
    with pytest.raises(ConfigError, match=r"world\.encoder\.scale: there are no data"):
        DreamerConfig.parse({"world": {"encoder": {"scale": "standard"}}}, "agent")


def snapshot(module):
    return [p.detach().clone() for p in module.parameters()]


def changed(before, module):
    return any(not torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


@pytest.mark.parametrize("padded", [False, True])
def test_loss_is_that_of_labeled_windows_without_action_terms(problem, dreamer, padded):
    """Eq. 7 less its two action terms, plus Eq. 11; test_objective holds those to the paper."""
    model, batch, noise = problem("all", padded)
    dreamer = dreamer.double()
    dreamer.world.load_state_dict(model.world.state_dict())
    generator = torch.Generator().manual_seed(5)
    shape = noise.state.shape
    state = torch.randn(shape, generator=generator, dtype=torch.float64)
    _, expected = model.loss(batch, noise._replace(state=state))
    total, terms, _ = dreamer.model_loss(batch, torch.Generator().manual_seed(5))
    assert terms.keys() == {"observation", "reward", "state_kl"}
    for name, term in terms.items():
        assert term.item() == pytest.approx(expected[name].item(), rel=1e-12), name
    assert total.item() == pytest.approx(sum(t.item() for t in terms.values()))


def test_each_half_trains_its_own(dreamer, make_batch):
    batch, generator = make_batch("all"), torch.Generator().manual_seed(0)
    world, agent = snapshot(dreamer.world), snapshot(dreamer.agent)
    terms, state = dreamer.update_model(batch, generator)
    assert changed(world, dreamer.world)
    assert not changed(agent, dreamer.agent)
    assert all(term.isfinite() for term in terms.values())
    assert state.deter.shape == (4, 6, 5)
    assert not state.deter.requires_grad

    world = snapshot(dreamer.world)
    for parameter in dreamer.world.parameters():
        parameter.grad = None
    start = choose_starts(state, batch.valid, 10, generator)
    metrics = dreamer.update_agent(start, generator)
    assert not changed(world, dreamer.world)
    assert all(p.grad is None for p in dreamer.world.parameters())
    assert changed(agent, dreamer.agent)
    assert all(metric.isfinite() for metric in metrics.values())


def test_dreams_see_the_model_as_it_is(dreamer, make_batch):
    dreamer.update_model(make_batch("all"), None)
    (frozen,) = dreamer._frozen
    for a, b in zip(dreamer.world.parameters(), frozen.parameters(), strict=True):
        assert a.data_ptr() == b.data_ptr()
    assert not any(name.startswith("_frozen") for name in dreamer.state_dict())


def test_padding_does_not_matter(dreamer, make_batch):
    batch = make_batch("all", padded=True)
    padding = ~batch.valid
    observation = batch.observation.clone()
    observation[:, 1:][padding] = 9.0
    changed = replace(batch, observation=observation, reward=batch.reward - 4.0 * padding)
    a, b = (
        dreamer.model_loss(each, torch.Generator().manual_seed(0))[0] for each in (batch, changed)
    )
    assert a.item() == b.item()


def test_every_optimiser_has_its_own_parameters(dreamer):
    groups = {
        name: {id(p) for group in optimizer.param_groups for p in group["params"]}
        for name, optimizer in dreamer.optimizers().items()
    }
    assert groups["model"] == {id(p) for p in dreamer.world.parameters()}
    assert groups["actor"] == {id(p) for p in dreamer.agent.actor.parameters()}
    assert groups["critic"] == {id(p) for p in dreamer.agent.critics.parameters()}
