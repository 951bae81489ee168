"""LAWM+ is LAWM but for the prior and what leaving it costs."""

from types import SimpleNamespace

import pytest
import torch
from lawm_schemas import ConfigError

from lawm_models.algorithms import lawm, lawm_plus
from lawm_models.networks.distributions import Normal
from lawm_models.networks.dynamics import State

SIZES = {
    "rssm": {"deter": 5, "stoch": 4, "hidden": 6},
    "embed": 7,
    "units": 8,
    "layers": 1,
}
LATENT = {"dim": 3, "units": 9, "layers": 1, "inverse_layers": 2}


FREE = {"prior_kl": 0.0, "agent": {"normalize_returns": True}}


def build(module, spec, own=None, **latent):
    torch.manual_seed(0)
    settings = {"model": {**SIZES, "latent_action": {**LATENT, **latent}}, **(own or {})}
    config = module.Config.parse(settings, "settings")
    return module.Algorithm(config, spec)


@pytest.mark.parametrize(
    ("plus", "plain"),
    [({}, {"prior": "learned"}), ({"prior": "standard_normal"}, {})],
)
def test_prior_and_kl_are_all_that_differs(spec, make_batch, plus, plain):
    one, two = build(lawm_plus, spec, FREE, **plus), build(lawm, spec, FREE, **plain)
    for stage in lawm.Algorithm.stages:
        found = []
        for algorithm in (one, two):
            algorithm.begin(stage)
            generator = torch.Generator().manual_seed(1)
            found.append(algorithm.update(stage, make_batch("mixed"), generator))
        assert found[0] == found[1]
    for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_what_a_state_tells_of_the_action_weighs_the_kl(spec, make_batch, randomize):
    """The policy moves as with the plain weight times the ratio, and not as with another."""

    def step(own):
        algorithm = build(lawm_plus, spec, own)
        randomize(algorithm)
        algorithm.begin("agent")
        metrics = algorithm.update("agent", make_batch(), torch.Generator().manual_seed(0))
        return metrics, [p.grad for p in algorithm.agent.actor.parameters()]

    found, grads = step({"prior_kl": 0.5})
    ratio = found["action_snr"].item()
    assert ratio > 0
    same = step({"prior_kl": 0.5 * ratio, "prior_kl_scale": "one"})[1]
    other = step({"prior_kl": 0.4 * ratio, "prior_kl_scale": "one"})[1]
    torch.testing.assert_close(grads, same)
    assert not all(torch.allclose(a, b) for a, b in zip(grads, other, strict=True))


def test_the_ratio_is_that_of_actions_drawn_from_the_prior(spec):
    """a = s + 0.7 u, u ~ N(0, 0.5²) beside a mean that the state decides: Var(s) / (0.7 · 0.5)²."""
    algorithm = build(lawm_plus, spec)
    generator = torch.Generator().manual_seed(0)
    state = State(2 * torch.randn(20_000, 1, generator=generator), torch.zeros(20_000, 0))
    model = SimpleNamespace(
        prior=lambda feature: Normal(feature, torch.full_like(feature, 0.5)),
        decoder=lambda feature, u: feature + 0.7 * (u - feature),
    )
    found = algorithm._action_snr(algorithm.snr, model, state, generator)
    assert found.item() == pytest.approx(2**2 / (0.7 * 0.5) ** 2, rel=0.05)


def test_one_start_state_tells_no_ratio(spec):
    with pytest.raises(ConfigError, match="action_snr cannot be told from 1"):
        build(lawm_plus, spec, {"agent": {"start_states": 1}})
    build(lawm_plus, spec, {"agent": {"start_states": 1}, "prior_kl_scale": "one"})


def test_unlabeled_windows_teach_the_prior(spec, make_batch):
    """It learns what u is like in a state from all windows, not from the labeled ones alone."""
    algorithm = build(lawm_plus, spec)
    before = [p.detach().clone() for p in algorithm.model.prior.parameters()]
    algorithm.begin("model")
    algorithm.update("model", make_batch("none"), torch.Generator().manual_seed(0))
    after = list(algorithm.model.prior.parameters())
    assert before
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_settings_that_name_a_part_keep_the_prior():
    config = lawm_plus.Config.parse({"model": {"latent_action": {"units": 9}}}, "settings")
    assert config.model.latent_action.prior == "learned"


def test_the_kl_is_on_by_default_and_its_returns_are_normalised():
    config = lawm_plus.Config()
    assert (config.prior_kl, config.prior_kl_scale) == (0.008, "action_snr")
    assert config.agent.normalize_returns
