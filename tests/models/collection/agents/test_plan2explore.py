"""Plan2Explore: who learns from what, and that nobody learns from the reward."""

from dataclasses import replace

import pytest
import torch

from lawm_models.collection.agents.dreamer import Dreamer
from lawm_models.collection.agents.plan2explore import Plan2Explore, Plan2ExploreConfig
from lawm_models.networks.actor_critic import ActorCriticConfig, choose_starts
from lawm_models.networks.ensemble import EnsembleConfig
from lawm_models.networks.rssm import RSSMConfig
from lawm_models.networks.world_model import WorldModelConfig

F, A, E, N = 9, 2, 7, 3
CONFIG = Plan2ExploreConfig(
    world=WorldModelConfig(rssm=RSSMConfig(deter=5, stoch=4, hidden=6), embed=E, units=8, layers=1),
    agent=ActorCriticConfig(
        units=6, layers=1, horizon=3, start_states=10, policy="clamped_normal", critics=1
    ),
    ensemble=EnsembleConfig(members=N, units=6, layers=1),
)


@pytest.fixture
def explorer(spec):
    torch.manual_seed(0)
    return Plan2Explore(CONFIG, spec.observations, A)


@pytest.fixture
def dream(explorer, make_batch):
    _, state = explorer.update_model(make_batch("all"), torch.Generator().manual_seed(0))
    start = choose_starts(state, make_batch("all").valid, 10, torch.Generator().manual_seed(1))
    world = explorer.dreamer._frozen[0]
    generator = torch.Generator().manual_seed(2)
    return explorer.agent.dream(world, start, lambda _, action: action, generator)


def weights(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def equal(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def learn(agent, batch, rounds=4):
    """Both halves of learning in turn."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(rounds):
        _, state = agent.update_model(batch, generator)
        agent.update_agent(choose_starts(state, batch.valid, 10, generator), generator)


def test_world_model_learns_as_without_ensemble(explorer, make_batch, spec):
    dreamer = Dreamer(CONFIG, spec.observations, A)
    dreamer.load_state_dict(explorer.dreamer.state_dict())
    mine, theirs = (torch.Generator().manual_seed(0) for _ in range(2))
    ensemble = weights(explorer.ensemble)
    for seed in range(3):
        batch = make_batch("all", seed=seed)
        terms, state = explorer.update_model(batch, mine)
        expected, same = dreamer.update_model(batch, theirs, learn_reward=False)
        assert torch.equal(state.feature, same.feature)
        assert terms == {**expected, "ensemble": terms["ensemble"]}
    assert equal(weights(explorer.world), weights(dreamer.world))
    assert not equal(weights(explorer.ensemble), ensemble)


def test_intrinsic_reward_is_the_log_std_of_the_predictions_about_its_mean(explorer, dream):
    explorer.config = CONFIG.model_copy(update={"intrinsic_scale": 0.3})
    horizon, num = dream.entropy.shape
    log_std = torch.zeros(horizon, num)
    for t in range(horizon):
        for n in range(num):
            known = torch.cat((dream.feature[t, n], dream.bounded[t, n]))
            members = torch.stack([member(known) for member in explorer.ensemble.members])
            log_std[t, n] = members.std(0, correction=0).log().mean()
    expected = 0.3 * (log_std - log_std.mean())
    torch.testing.assert_close(explorer.intrinsic_reward(dream), expected, atol=1e-4, rtol=0)


def test_where_trajectories_can_end_no_step_is_paid_less_than_none(explorer, dream, spec):
    """Paid less, a step would be worth avoiding by an end."""
    mortal = Plan2Explore(CONFIG, spec.observations, A, terminates=True)
    mortal.ensemble.load_state_dict(explorer.ensemble.state_dict())
    about_mean, paid = explorer.intrinsic_reward(dream), mortal.intrinsic_reward(dream)
    assert (about_mean < 0).any()
    assert (paid >= 0).all()
    # the low quantile is paid nothing, and the others differ from each other as before
    above = paid > 0
    assert 0.9 < above.float().mean() < 1
    shift = (paid - about_mean)[above]
    torch.testing.assert_close(shift, shift[0].expand_as(shift))


def test_intrinsic_reward_teaches_the_actor_alone(explorer, dream):
    for parameter in explorer.parameters():
        parameter.grad = None
    explorer.intrinsic_reward(dream).sum().backward()
    taught = {name for name, p in explorer.named_parameters() if p.grad is not None}
    assert taught == {
        f"dreamer.agent.actor.{n}" for n, _ in explorer.agent.actor.named_parameters()
    }
    assert any(p.grad.any() for p in explorer.agent.actor.parameters())


def test_actions_are_paid_for_where_they_lead(explorer, dream):
    """The first reward depends on no action before it, the second on the first."""
    actor = list(explorer.agent.actor.parameters())
    reward = explorer.intrinsic_reward(dream)
    first, second = (
        torch.autograd.grad(r.sum(), actor, retain_graph=True, materialize_grads=True)
        for r in (reward[0], reward[1])
    )
    assert not any(g.any() for g in first)
    assert any(g.any() for g in second)


def test_ensemble_of_one_mind_pays_nothing(explorer, dream):
    first, *others = explorer.ensemble.members
    for other in others:
        other.load_state_dict(first.state_dict())
    reward = explorer.intrinsic_reward(dream)
    torch.testing.assert_close(reward, torch.zeros_like(reward), atol=1e-5, rtol=0)


def test_nobody_learns_from_the_reward(make_batch, spec):
    batch = make_batch("all")
    with_garbage = replace(batch, reward=torch.full_like(batch.reward, torch.nan))
    learned = []
    for each in (batch, with_garbage):
        torch.manual_seed(0)
        explorer = Plan2Explore(CONFIG, spec.observations, A)
        fresh = weights(explorer)
        learn(explorer, each)
        learned.append(weights(explorer))
    clean, same = learned
    assert equal(clean, same)
    for part in ("world.encoder", "agent.actor", "agent.critics", "world.reward_head"):
        mine = [name for name in clean if name.startswith(f"dreamer.{part}.")]
        assert all(torch.equal(clean[n], fresh[n]) for n in mine) == (part == "world.reward_head")


def test_dreamer_does_learn_from_it(make_batch, spec):
    batch = make_batch("all")
    learned = []
    for each in (batch, replace(batch, reward=batch.reward + 1)):
        torch.manual_seed(0)
        dreamer = Dreamer(CONFIG, spec.observations, A)
        learn(dreamer, each)
        learned.append(weights(dreamer.agent.actor))
    assert not equal(*learned)


def test_every_optimiser_has_its_own_parameters(explorer):
    owned = [
        id(p) for o in explorer.optimizers().values() for g in o.param_groups for p in g["params"]
    ]
    trained = {id(p) for p in explorer.parameters() if p.requires_grad}
    assert len(owned) == len(set(owned))
    assert set(owned) == trained
    assert not any("_frozen" in name for name in explorer.state_dict())
