"""LAWM+ is LAWM but for the prior."""

import pytest
import torch

from lawm_models.algorithms import lawm, lawm_plus

SIZES = {
    "rssm": {"deter": 5, "stoch": 4, "hidden": 6},
    "embed": 7,
    "units": 8,
    "layers": 1,
}
LATENT = {"dim": 3, "units": 9, "layers": 1, "inverse_layers": 2}


def build(module, spec, **latent):
    torch.manual_seed(0)
    settings = {"model": {**SIZES, "latent_action": {**LATENT, **latent}}}
    config = module.Config.parse(settings, "settings")
    return module.Algorithm(config, spec)


@pytest.mark.parametrize(
    ("plus", "plain"),
    [({}, {"prior": "learned"}), ({"prior": "standard_normal"}, {})],
)
def test_the_prior_is_all_that_differs(spec, make_batch, plus, plain):
    one, two = build(lawm_plus, spec, **plus), build(lawm, spec, **plain)
    for stage in lawm.Algorithm.stages:
        found = []
        for algorithm in (one, two):
            algorithm.begin(stage)
            generator = torch.Generator().manual_seed(1)
            found.append(algorithm.update(stage, make_batch("mixed"), generator))
        assert found[0] == found[1]
    for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True):
        assert torch.equal(a, b)


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
