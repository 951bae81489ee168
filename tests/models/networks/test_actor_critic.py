"""Dreams, twin critics and their losses, against loops in float64."""

import numpy as np
import pytest
import torch

from lawm_models.networks.actor_critic import (
    ActorCritic,
    ActorCriticConfig,
    Dream,
    choose_starts,
    lambda_return,
)
from lawm_models.networks.dynamics import State
from lawm_models.networks.optimizer import frozen, frozen_view
from lawm_models.networks.rssm import RSSMConfig
from lawm_models.networks.world_model import WorldModel, WorldModelConfig

F, K, L, N = 9, 2, 4, 3
SETTINGS = {"units": 6, "layers": 1, "horizon": L, "discount": 0.9, "lambda_": 0.7, "entropy": 0.3}


@pytest.fixture
def world(randomize, spec):
    torch.manual_seed(0)
    config = WorldModelConfig(
        rssm=RSSMConfig(deter=5, stoch=4, hidden=6), embed=4, units=6, layers=1
    )
    world = WorldModel(config, spec.observations, K).double()
    randomize(world)
    return world


@pytest.fixture
def make_agent(randomize):
    def make(**settings):
        torch.manual_seed(1)
        agent = ActorCritic(ActorCriticConfig(**{**SETTINGS, **settings}), F, K).double()
        randomize(agent, seed=2)  # the target critics differ from the critics, and from each other
        return agent

    return make


@pytest.fixture
def start():
    generator = torch.Generator().manual_seed(3)
    parts = [torch.randn(N, d, generator=generator, dtype=torch.float64) for d in (5, 4)]
    return State(*parts)


def by_itself(state, draw):
    """Act on the environment directly."""
    return draw


def dreamt(agent, world, start, act=by_itself, seed=4):
    return agent.dream(world, start, act, torch.Generator().manual_seed(seed))


def noises(seed=4):
    generator = torch.Generator().manual_seed(seed)
    shapes = ((L, N, K), (L, N, 4))
    return [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]


def losses(agent, world, dream):
    """With the world's own reward, paid on arrival."""
    return agent.losses(dream, world.reward(dream.feature[1:]))


def gradients(loss, module):
    parameters = list(module.parameters())
    return torch.autograd.grad(
        loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
    )


@pytest.mark.parametrize("noise", [1.0, 0.5, 0.0])
@pytest.mark.parametrize("policy", ["tanh_normal", "clamped_normal"])
def test_dream_is_the_policy_in_the_prior(make_agent, world, start, policy, noise):
    agent = make_agent(policy=policy, dream_noise=noise)
    dream = dreamt(agent, world, start)
    policy_noise, state_noise = noises()
    state = start
    for t in range(L):
        torch.testing.assert_close(dream.feature[t], state.feature)
        draw = agent.draw(state.feature, policy_noise[t])
        torch.testing.assert_close(dream.bounded[t], draw.value)
        torch.testing.assert_close(dream.entropy[t], draw.entropy)
        state = world.rssm.imagine(state, draw.value, noise * state_noise[t])
    torch.testing.assert_close(dream.feature[L], state.feature)
    assert dream.bounded.abs().max() <= 1


def lopsided(error, expectile):
    return 2 * (1 - expectile if error < 0 else expectile)


@pytest.mark.parametrize("critics", [1, 2, 3])
@pytest.mark.parametrize("scale", [1.0, 7.0])
@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("expectile", [0.5, 0.2])
def test_losses(make_agent, world, start, critics, scale, ends, expectile):
    """Minimum over target critics, λ-return, discount weights, entropy, squared errors.

    Where dreams may end, whatever is paid or learned counts as likely as it is that they have not.
    What falls short of the value counts 2 (1 − τ), what goes beyond it 2 τ.
    """
    agent = make_agent(critics=critics, value_scale=scale, expectile=expectile)
    dream = dreamt(agent, world, start)
    goes_on = np.random.default_rng(5).uniform(0, 1, (L + 1, N)) if ends else np.ones((L + 1, N))
    given = torch.from_numpy(goes_on).requires_grad_() if ends else None
    actor, critic, _ = agent.losses(dream, world.reward(dream.feature[1:]), given)
    gamma, lambda_, entropy = 0.9, 0.7, 0.3
    actor_sum = critic_sum = 0.0
    for n in range(N):
        feature = dream.feature[:, n]
        reward = [world.reward_head(feature[t + 1]).item() for t in range(L)]
        value = [
            min(scale * c(feature[t + 1]).item() for c in agent.target_critics) for t in range(L)
        ]
        for t in range(L):
            # (1 − λ) Σ_n λ^(n−1) G_n + λ^(last−1) G_last
            returns = 0.0
            for k in range(1, L - t + 1):
                lives = [np.prod(goes_on[t + 1 : t + 1 + i, n]) for i in range(k + 1)]
                g = sum(gamma**i * lives[i] * reward[t + i] for i in range(k))
                g += gamma**k * lives[k] * value[t + k - 1]
                last = k == L - t
                returns += g * lambda_ ** (k - 1) * (1 if last else 1 - lambda_)
            weight = gamma**t * np.prod(goes_on[: t + 1, n])
            errors = [returns / scale - c(feature[t]).item() for c in agent.critics]
            counts = lopsided(np.mean(errors), expectile)
            actor_sum -= weight * (counts * returns + entropy * dream.entropy[t, n].item())
            critic_sum += sum(0.5 * weight * lopsided(e, expectile) * e**2 for e in errors)
    if given is not None:  # where an end is likely is worth avoiding; s_0 is not the policy's doing
        (gradient,) = torch.autograd.grad(actor, given, retain_graph=True)
        assert gradient[1:].all()
        assert not gradient[0].any()
    assert actor.item() == pytest.approx(actor_sum / (L * N), rel=1e-9)
    assert critic.item() == pytest.approx(critic_sum / (L * N), rel=1e-9)


def test_values_of_recorded_transitions(make_agent):
    """One step of each transition that counts; ends are worth what they paid."""
    agent = make_agent(critics=2, value_scale=7.0)
    draws = np.random.default_rng(3)
    size = (2, 4)
    feature = torch.from_numpy(draws.normal(size=(2, 5, F)))
    reward = torch.from_numpy(draws.normal(scale=9, size=size))
    terminated = torch.from_numpy(draws.random(size) < 0.4)
    weight = torch.from_numpy((draws.random(size) < 0.7).astype(float))
    expected = 0.0
    for b, t in np.argwhere(weight.numpy()):
        ahead = min(7 * c(feature[b, t + 1]).item() for c in agent.target_critics)
        target = reward[b, t].item() + 0.9 * ahead * (not terminated[b, t])
        errors = [target / 7 - c(feature[b, t]).item() for c in agent.critics]
        expected += sum(0.5 * lopsided(e, 0.7) * e**2 for e in errors)
    found = agent.data_loss(feature, reward, terminated, weight, 0.7)
    assert found.item() == pytest.approx(expected / weight.sum().item(), rel=1e-9)


def test_gradient_reaches_the_actor_through_its_actions_alone(make_agent, world, start):
    """As if the features that the policy reads were constants."""
    agent = make_agent(entropy=0.0)
    dream = dreamt(agent, world, start)
    actor, _, _ = losses(agent, world, dream)
    policy_noise, state_noise = noises()
    state, features = start, [start.feature]
    for t in range(L):
        constant = torch.from_numpy(dream.feature[t].detach().numpy().copy())
        state = world.rssm.imagine(
            state, agent.draw(constant, policy_noise[t]).value, state_noise[t]
        )
        features.append(state.feature)
    same, _, _ = losses(agent, world, Dream(torch.stack(features), dream.entropy, dream.bounded))
    for a, b in zip(gradients(actor, agent.actor), gradients(same, agent.actor), strict=True):
        torch.testing.assert_close(a, b)
    assert any(g.any() for g in gradients(actor, agent.actor))


def test_no_gradient_without_the_action(make_agent, world, start):
    agent = make_agent(entropy=0.0)
    dream = dreamt(agent, world, start, lambda state, draw: torch.zeros_like(draw))
    actor, _, _ = losses(agent, world, dream)
    assert not any(g.any() for g in gradients(actor, agent.actor))


def test_entropy_pulls_the_actor_up(make_agent, world, start):
    """−w_t · weight · entropy: descending the actor loss raises the entropy."""
    agent = make_agent(policy="clamped_normal", entropy=1e6)
    optimizer = torch.optim.SGD(agent.actor.parameters(), 1e-9)
    before = dreamt(agent, world, start)
    losses(agent, world, before)[0].backward()
    optimizer.step()
    assert dreamt(agent, world, start).entropy.mean() > before.entropy.mean()


def test_each_loss_teaches_its_own(make_agent, world, start):
    agent, view = make_agent(), frozen_view(world)
    actor, critic, _ = losses(agent, view, dreamt(agent, view, start))
    reached = {
        name: [any(g.any() for g in gradients(loss, part)) for loss in (actor, critic)]
        for name, part in (("actor", agent.actor), ("critics", agent.critics))
    }
    assert reached == {"actor": [True, False], "critics": [False, True]}
    (actor + critic).backward()
    for part in (world, view, agent.target_critics):
        assert all(p.grad is None for p in part.parameters())
    assert not any(p.requires_grad for p in agent.target_critics.parameters())


@pytest.mark.parametrize("rate", [0.02, 1.0])
def test_target_follows(make_agent, rate):
    agent = make_agent(target_rate=rate)
    before = [p.clone() for p in agent.target_critics.parameters()]
    agent.update_target()
    online = agent.critics.parameters()
    for old, new, now in zip(before, agent.target_critics.parameters(), online, strict=True):
        torch.testing.assert_close(new, (1 - rate) * old + rate * now)


def test_targets_start_as_the_critics():
    agent = ActorCritic(ActorCriticConfig(units=4, layers=1), F, K)
    pairs = zip(agent.critics.parameters(), agent.target_critics.parameters(), strict=True)
    assert all(torch.equal(a, b) and a.data_ptr() != b.data_ptr() for a, b in pairs)
    assert not agent.values(torch.randn(7, F)).any()
    assert agent.values(torch.randn(7, F)).shape == (2, 7)


def test_normalized_returns_have_a_running_range(make_agent, world, start):
    agent = make_agent(normalize_returns=True, entropy=0.0)
    plain = make_agent(entropy=0.0)
    dream = dreamt(agent, world, start)
    raw, _, _ = losses(plain, world, dream)
    agent.scale.fill_(50.0)
    actor, _, _ = losses(agent, world, dream)
    assert agent.scale.item() != 50
    assert actor.item() == pytest.approx(raw.item() / agent.scale.item())
    agent.scale.fill_(1e-3)
    small, _, _ = losses(agent, world, dream)
    assert small.item() == pytest.approx(raw.item() / max(1.0, agent.scale.item()))
    assert "scale" in agent.state_dict()


def test_range_is_of_quantiles(make_agent, world, start):
    agent = make_agent(normalize_returns=True)
    dream = dreamt(agent, world, start)
    losses(agent, world, dream)
    arrived = dream.feature[1:]
    value = torch.stack([c(arrived).squeeze(-1) for c in agent.target_critics]).amin(0)
    returns = lambda_return(world.reward(arrived), value, 0.9, 0.7).detach().numpy()
    low, high = np.quantile(returns, [0.05, 0.95])
    assert agent.scale.item() == pytest.approx(1 + 0.02 * (high - low - 1), rel=1e-6)


def numbered(size=3, states=5):
    """States that say where they come from."""
    at = torch.arange(size * states, dtype=torch.float32).view(size, states, 1)
    return State(at.requires_grad_(), at.detach() + 0.5)


@pytest.mark.parametrize("num", [0, 15, 99])
def test_all_states_start_dreams(num):
    start = choose_starts(numbered(), torch.ones(3, 4, dtype=torch.bool), num, None)
    assert start.deter.flatten().tolist() == list(range(15))
    assert torch.equal(start.stoch, start.deter + 0.5)
    assert not start.deter.requires_grad


def test_some_states_start_dreams():
    valid = torch.ones(3, 4, dtype=torch.bool)
    drawn = [
        choose_starts(numbered(), valid, 4, torch.Generator().manual_seed(seed)).deter.flatten()
        for seed in range(200)
    ]
    assert all(len(set(chosen.tolist())) == 4 for chosen in drawn)
    counts = torch.cat(drawn).int().bincount(minlength=15)
    expected = 200 * 4 / 15
    assert counts.min() > expected / 2
    assert counts.max() < expected * 2


@pytest.mark.parametrize("num", [0, 6, 10, 12])
def test_padding_starts_no_dreams(num):
    valid = torch.tensor([[True] * 4, [True] * 2 + [False] * 2, [True] + [False] * 3])
    real = {0, 1, 2, 3, 4, 5, 6, 7, 10, 11}
    start = choose_starts(numbered(), valid, num, torch.Generator().manual_seed(0))
    chosen = start.deter.flatten().int().tolist()
    assert len(chosen) == (num or 15)
    assert set(chosen) <= real
    assert len(set(chosen)) == min(len(chosen), len(real))


def test_frozen_view_shares_memory(world):
    view = frozen_view(world)
    assert not any(p.requires_grad for p in view.parameters())
    assert all(p.requires_grad for p in world.parameters())
    pairs = list(zip(world.parameters(), view.parameters(), strict=True))
    assert all(a.data_ptr() == b.data_ptr() for a, b in pairs)
    with torch.no_grad():
        for p in world.parameters():
            p.add_(1)
    world.load_state_dict({k: 2 * v for k, v in world.state_dict().items()})
    assert all(torch.equal(a, b) for a, b in pairs)


def test_frozen_view_passes_gradients_to_its_inputs(world):
    feature = torch.ones(1, F, dtype=torch.float64, requires_grad=True)
    (mine,) = torch.autograd.grad(frozen_view(world).reward(feature).sum(), feature)
    (theirs,) = torch.autograd.grad(world.reward(feature).sum(), feature)
    assert torch.equal(mine, theirs)
    assert mine.any()


def test_frozen_takes_no_gradient_inside_and_all_of_it_outside(world):
    feature = torch.ones(1, F, dtype=torch.float64, requires_grad=True)
    world.rssm.requires_grad_(False)
    head = list(world.reward_head.parameters())
    before = world.reward(feature)
    with frozen(world):
        inside = world.reward(feature)
    assert torch.autograd.grad(inside.sum(), feature)[0].any()
    assert torch.autograd.grad(inside.sum() + feature.sum(), head, allow_unused=True)[-1] is None
    for outside in (before, world.reward(feature)):
        assert torch.autograd.grad(outside.sum(), head)[-1].any()
    assert not any(parameter.requires_grad for parameter in world.rssm.parameters())


def test_target_is_copied_when_it_is_time(make_agent):
    """Hard copies every three steps; in between it stays."""
    agent = make_agent(target_rate=1.0, target_every=3)
    online, target = list(agent.critics.parameters()), list(agent.target_critics.parameters())
    for step in range(1, 8):
        with torch.no_grad():
            for parameter in online:
                parameter.fill_(step)
        agent.update_target()
        copied = step - step % 3
        if copied:
            assert all((parameter == copied).all() for parameter in target)
    assert int(agent.steps) == 7
    assert "steps" in agent.state_dict()
    assert "steps" not in make_agent().state_dict()
