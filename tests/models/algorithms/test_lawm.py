"""The constrained policy: support, bounds, and what learns in each stage."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from lawm_schemas import ArraySpec, ConfigError, Role

from lawm_models.algorithms._protocol import ModelSpec
from lawm_models.algorithms.lawm import Algorithm, Config
from lawm_models.networks.actor_critic import ActorCriticConfig, Dream
from lawm_models.networks.latent_action import LatentActionConfig
from lawm_models.networks.latent_action_model import LatentActionModelConfig
from lawm_models.networks.rssm import RSSMConfig

FEATURE, LATENT = 9, 3
ACTION = ArraySpec(name="action", shape=(2,), role=Role.action, low=(-1.0, -0.3), high=(1.0, 0.7))
SPEC = ModelSpec((ArraySpec(name="state", shape=(3,)),), ACTION)


def build(prior="standard_normal", support=2.0, own=None, world=None, **agent):
    torch.manual_seed(0)
    latent = LatentActionConfig(dim=LATENT, units=9, layers=1, inverse_layers=2, prior=prior)
    model = LatentActionModelConfig(
        rssm=RSSMConfig(deter=5, stoch=4, hidden=6),
        embed=7,
        units=8,
        layers=1,
        latent_action=latent,
        **(world or {}),
    )
    sizes = {"units": 6, "layers": 1, "horizon": 3, **agent}
    config = Config(model=model, agent=ActorCriticConfig(**sizes), support=support, **(own or {}))
    return Algorithm(config, SPEC)


ALGORITHMS = {
    (prior, support): build(prior, support)
    for prior in ("standard_normal", "learned")
    for support in (0.5, 2.0)
}


def latent_actions(algorithm, call):
    """Every u that the decoder was given while ``call`` ran, with its features."""
    seen = []
    model = algorithm.model
    views = [model.decoder, *(view.decoder for view in algorithm._frozen)]
    hooks = [d.register_forward_pre_hook(lambda _, inputs: seen.append(inputs)) for d in views]
    try:
        call()
    finally:
        for hook in hooks:
            hook.remove()
    return [(feature.detach(), u.detach()) for feature, u in seen]


def assert_in_support(algorithm, feature, u):
    """|u − μ_p| ≤ ε̃ σ_p, elementwise."""
    prior = algorithm.model.prior(feature)
    reach = algorithm.config.support * prior.std
    slack = 1e-6 * (1 + prior.mean.abs() + reach)  # rounding
    assert ((u - prior.mean).abs() <= reach + slack).all()


rows = arrays(np.float32, (2, FEATURE), elements=st.floats(-100, 100, width=32))
draws = arrays(np.float32, (2, LATENT), elements=st.floats(-6, 6, width=32))


@pytest.mark.parametrize("key", ALGORITHMS, ids=str)
@settings(max_examples=40)
@given(features=rows, noise=draws)
def test_policy_stays_in_the_support(key, features, noise):
    algorithm = ALGORITHMS[key]
    feature = torch.from_numpy(features)
    sampled = algorithm.agent.draw(feature, torch.from_numpy(noise)).value
    bounded = torch.stack((sampled, algorithm.agent.mode(feature)))
    both = feature.expand(2, 2, FEATURE)
    ((seen, u),) = latent_actions(
        algorithm, lambda: algorithm.decode(algorithm.model, both, bounded)
    )
    assert torch.equal(seen, both)
    assert_in_support(algorithm, both, u)


@pytest.mark.parametrize("key", ALGORITHMS, ids=str)
def test_ends_of_the_policy_are_ends_of_the_support(key):
    """u = μ_p + ε̃ σ_p û: the whole support can be reached, not a part of it."""
    algorithm = ALGORITHMS[key]
    feature = torch.randn(4, FEATURE, generator=torch.Generator().manual_seed(0))
    prior = algorithm.model.prior(feature)
    for end in (-1.0, 0.0, 1.0):
        bounded = torch.full((4, LATENT), end)
        ((_, u),) = latent_actions(
            algorithm, lambda b=bounded: algorithm.decode(algorithm.model, feature, b)
        )
        torch.testing.assert_close(u, prior.mean + end * algorithm.config.support * prior.std)
    if key[0] == "standard_normal":
        torch.testing.assert_close(u, torch.full_like(u, key[1]))


@pytest.mark.parametrize("prior", ["standard_normal", "learned"])
def test_dreams_and_deployment_stay_in_the_support(make_batch, prior):
    algorithm = build(prior)
    algorithm.begin("agent")

    def dream():
        algorithm.update("agent", make_batch("all"), torch.Generator().manual_seed(0))

    def act():
        for deterministic in (True, False):
            policy = algorithm.policy(deterministic)
            policy.start(4, 0)
            policy.act(np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32))

    # the posterior rollout decodes without calling the module: these are the dream's alone
    dreamt = latent_actions(algorithm, dream)
    assert len(dreamt) == algorithm.config.agent.horizon
    acted = latent_actions(algorithm, act)
    assert len(acted) == 2
    for feature, u in dreamt + acted:
        assert_in_support(algorithm, feature, u)


def snapshot(module):
    return [p.detach().clone() for p in module.parameters()]


def changed(before, module):
    return any(not torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


@pytest.mark.parametrize("labels", ["all", "none", "mixed"])
def test_model_stage_trains_the_model_alone(make_batch, labels):
    algorithm = build()
    model, agent = snapshot(algorithm.model), snapshot(algorithm.agent)
    algorithm.begin("model")
    algorithm.update("model", make_batch(labels), torch.Generator().manual_seed(0))
    assert changed(model, algorithm.model)
    assert not changed(agent, algorithm.agent)


def test_an_alarm_when_the_latent_action_says_nothing(make_batch):
    algorithm = build()
    metrics = algorithm.update("model", make_batch("mixed"), torch.Generator().manual_seed(0))
    logged = {name: value.item() for name, value in metrics.items()}
    assert algorithm.alarms({**logged, "latent_action_nats": 0.06}) == {}
    (alarm,) = algorithm.alarms({**logged, "latent_action_nats": 0.04}).values()
    assert "collapsed: an observation tells 0.04 nats of it" in alarm
    assert algorithm.alarms({"actor": 1.0}) == {}  # of the other stage


@pytest.mark.parametrize("labels", ["all", "none", "mixed"])
@pytest.mark.parametrize("prior_kl", [0.0, 1.0])
def test_agent_stage_trains_the_agent_alone(make_batch, randomize, labels, prior_kl):
    """Gradients of the agent's losses reach neither the model nor its optimiser."""
    algorithm = build("learned", own={"prior_kl": prior_kl})
    randomize(algorithm)  # rewards that are not zero
    model = snapshot(algorithm.model)
    parts = {
        name: getattr(algorithm.agent, name) for name in ("actor", "critics", "target_critics")
    }
    before = {name: snapshot(part) for name, part in parts.items()}
    algorithm.begin("agent")
    algorithm.update("agent", make_batch(labels), torch.Generator().manual_seed(0))
    assert not changed(model, algorithm.model)
    assert all(p.grad is None for p in algorithm.model.parameters())
    assert not algorithm.optimizers()["model"].state
    assert all(changed(before[name], part) for name, part in parts.items())


@pytest.mark.parametrize("support", [0.5, 2.0])
@pytest.mark.parametrize("policy", ["tanh_normal", "clamped_normal"])
def test_divergence_from_the_prior_is_that_of_the_densities(policy, support):
    """log π(u) − log p(u) of u = μ + ε̃ σ û, whatever μ and σ are; its mean is not negative."""
    algorithm = build("learned", support=support, policy=policy)
    generator = torch.Generator().manual_seed(0)
    feature = torch.randn(1, 4000, FEATURE, generator=generator)
    noise = torch.randn(1, 4000, LATENT, generator=generator)
    draw = algorithm.agent.draw(feature, noise)
    dream = Dream(feature, draw.entropy, draw.value)
    prior = algorithm.model.prior(feature)
    normal = torch.distributions.Normal(prior.mean, prior.std)
    log_prior = normal.log_prob(prior.mean + support * prior.std * draw.value).sum(-1)
    log_policy = -draw.entropy - (support * prior.std).log().sum(-1)
    found = algorithm._prior_kl(dream)
    torch.testing.assert_close(found, log_policy - log_prior, atol=1e-4, rtol=1e-4)
    assert found.mean() > 0


def test_a_policy_that_pays_for_distance_stays_with_the_prior(make_batch, randomize):
    kept = {}
    for weight in (0.0, 10.0):
        algorithm = build("learned", own={"prior_kl": weight, "agent_rate": 1e-2})
        randomize(algorithm)
        algorithm.begin("agent")
        generator = torch.Generator().manual_seed(0)
        found = [algorithm.update("agent", make_batch(), generator) for _ in range(60)]
        kept[weight] = [metrics["prior_kl"].item() for metrics in found]
    assert kept[0.0][0] == kept[10.0][0]
    assert np.mean(kept[10.0][-5:]) < 0.5 * kept[10.0][0]
    assert np.mean(kept[10.0][-5:]) < 0.5 * np.mean(kept[0.0][-5:])


def test_dreams_see_the_model_as_it_is(make_batch):
    """The view of ``begin`` follows weights that are loaded later."""
    one, two = build(), build()
    batch = make_batch()
    one.begin("model")
    one.update("model", batch, torch.Generator().manual_seed(0))
    two.begin("agent")
    two.load_state_dict(one.state_dict())
    one.begin("agent")
    a, b = (x.update("agent", batch, torch.Generator().manual_seed(1)) for x in (one, two))
    assert a == b


def test_start_states_bound_the_dreams(make_batch):
    algorithm = build(start_states=7)
    algorithm.begin("agent")
    seen = latent_actions(
        algorithm, lambda: algorithm.update("agent", make_batch(), torch.Generator())
    )
    assert [len(u) for _, u in seen] == [7, 7, 7]


def test_rewards_teach_values_with_and_without_actions(make_batch, randomize):
    """But only those that were recorded, of steps that are real; the actor dreams."""

    def learned(batch):
        algorithm = build(own={"data_values": 1.0})
        randomize(algorithm)
        algorithm.begin("agent")
        algorithm.update("agent", batch, torch.Generator().manual_seed(0))
        agent = algorithm.agent
        return [torch.cat([p.flatten() for p in snapshot(x)]) for x in (agent.critics, agent.actor)]

    batch = make_batch("mixed")
    row = int((~batch.labeled).nonzero()[0])
    rewarded = batch.rewarded.clone()
    rewarded[row] = False
    reward = batch.reward.clone()
    reward[row] += 3.0
    critics, actor = learned(batch)
    others, same = learned(replace(batch, reward=reward))
    assert not torch.equal(critics, others)
    assert torch.equal(actor, same)
    unknown = replace(batch, rewarded=rewarded)
    assert torch.equal(learned(unknown)[0], learned(replace(unknown, reward=reward))[0])


def test_a_policy_clones_recorded_and_inferred_actions(make_batch, randomize):
    """It comes nearer to both; padding and the noise of dreams aside."""
    algorithm = build(own={"cloning": 1e4, "agent_rate": 3e-3})
    randomize(algorithm)
    algorithm.begin("agent")
    batch = make_batch("mixed", padded=True)
    errors = [
        algorithm.update("agent", batch, torch.Generator().manual_seed(0))["cloning"].item()
        for _ in range(60)
    ]
    assert errors[-1] < 0.75 * errors[0]

    def error(changed):
        again = build(own={"cloning": 1.0})
        again.load_state_dict(algorithm.state_dict())
        again.begin("agent")
        return again.update("agent", changed, torch.Generator().manual_seed(0))["cloning"]

    before, own, done = error(batch), batch.action_mask, batch.action.clone()
    done[own & ~batch.valid] += 1.0
    assert torch.equal(error(replace(batch, action=torch.where(own[..., None], done, 7.0))), before)
    done[own & batch.valid] += 0.1
    assert not torch.equal(error(replace(batch, action=done)), before)


def test_uncertainty_of_inferred_actions_includes_the_decoder(make_batch):
    algorithm = build()
    _, std = algorithm.infer_actions(make_batch())
    half_range = torch.tensor([1.0, 0.5])
    assert (std >= algorithm.config.model.action_std * half_range - 1e-6).all()
    assert std.std() > 0


def test_warm_up_sees_labels_alone(make_batch):
    """As if the unlabeled windows were not there, and afterwards as if it had never been."""
    warm, plain = build(own={"warmup": 2}), build()
    mixed, labeled = make_batch("mixed"), make_batch("mixed")
    rows = {k: v[labeled.labeled] for k, v in vars(labeled).items() if isinstance(v, torch.Tensor)}
    labeled = replace(labeled, **rows)
    for algorithm in (warm, plain):
        algorithm.begin("model")
    for step in range(4):
        generators = [torch.Generator().manual_seed(step) for _ in range(2)]
        found = warm.update("model", mixed, generators[0])
        assert found == plain.update("model", labeled if step < 2 else mixed, generators[1])
    assert int(warm.model_steps) == 4


def test_warm_up_takes_what_there_is(make_batch):
    warm, plain = build(own={"warmup": 2}), build()
    metrics = [
        algorithm.update("model", make_batch("none"), torch.Generator().manual_seed(0))
        for algorithm in (warm, plain)
    ]
    assert metrics[0] == metrics[1]


def test_dreams_may_sample_the_action(make_batch, randomize):
    """Their starts and policies stay the same, their actions do not."""
    metrics = {}
    for sample in (False, True):
        algorithm = build(own={"sample_dreamed": sample})
        randomize(algorithm)
        algorithm.begin("agent")
        metrics[sample] = algorithm.update("agent", make_batch(), torch.Generator().manual_seed(0))
    assert metrics[True] != metrics[False]
    observation = np.ones((1, 3), np.float32)
    one, two = (build(own={"sample_dreamed": sample}).policy() for sample in (False, True))
    np.testing.assert_array_equal(one.act(observation), two.act(observation))


def test_members_that_disagree_are_uncertain(make_batch, randomize):
    algorithm = build(world={"inverse_members": 3, "action_std": 1e-3})
    batch = make_batch("none")
    members = algorithm.model.inverses
    for member in members[1:]:
        member.load_state_dict(members[0].state_dict())
    _, alike = algorithm.infer_actions(batch)
    for seed, member in enumerate(members):
        randomize(member, seed)
    _, different = algorithm.infer_actions(batch)
    assert different.mean() > alike.mean()


def test_pixels_alone_are_refused():
    camera = ArraySpec(name="camera", shape=(8, 8, 3), dtype="uint8", role=Role.pixels)
    with pytest.raises(ConfigError, match="pixels only"):
        Algorithm(Config(), ModelSpec((camera,), ACTION))


def test_defaults_are_the_papers():
    """Table 2."""
    config = Config()
    model, agent, latent = config.model, config.agent, config.model.latent_action
    assert (model.rssm.deter, model.rssm.stoch, model.rssm.hidden) == (512, 64, 640)
    assert (model.embed, model.units, model.layers) == (512, 512, 2)
    assert (latent.dim, latent.inverse_layers, latent.prior) == (12, 3, "standard_normal")
    assert (agent.units, agent.layers, agent.critics, agent.policy) == (256, 3, 2, "tanh_normal")
    assert (agent.horizon, agent.discount, agent.entropy) == (5, 0.99, 0.01)
    assert (config.model_rate, config.agent_rate) == (3e-4, 8e-5)
    assert (model.inverse_input, model.inverse_steps, model.inverse_members) == ("embedding", 1, 1)
    assert (model.inverse_supervision, model.inverse_dropout, config.warmup) == (0, 0, 0)
    assert config.prior_kl == 0
    assert (model.constraint.beta, model.decoded_gradient) == (1, True)


@pytest.mark.parametrize("members", [1, 3])
def test_inferred_actions_do_not_depend_on_how_many_are_filtered_at_once(
    members, make_batch, monkeypatch
) -> None:
    algorithm = build(world={"inverse_members": members})
    found = []
    for rows in (1, 20, 1000):
        monkeypatch.setattr("lawm_models.algorithms.lawm.ROWS_AT_ONCE", rows)
        found.append(algorithm.infer_actions(make_batch(), samples=7))
    for other in found[1:]:
        torch.testing.assert_close(found[0], other)
