"""The hand-written rollouts, of torch and compiled, against the plain ones, in float64."""

import pytest
import torch

from lawm_models.networks.latent_action import ActionDecoder, InversePosterior, LatentActionConfig
from lawm_models.networks.rssm import RSSM, RSSMConfig
from lawm_models.networks.scan import fused, native, plain

BATCH, STEPS, ACTION, EMBED, KNOWN = 4, 3, 2, 5, 6
CONFIG = RSSMConfig(deter=4, stoch=3, hidden=7)
LATENT = LatentActionConfig(dim=3, units=6)


def build(latent=LATENT, density="normal", members=1):
    """An RSSM, inverse posteriors and a decoder with weights of some size."""
    torch.manual_seed(0)
    features = CONFIG.deter + CONFIG.stoch
    inverses = [InversePosterior(latent, features, KNOWN) for _ in range(members)]
    parts = torch.nn.ModuleList(
        [
            RSSM(CONFIG, ACTION, EMBED),
            torch.nn.ModuleList(inverses),
            ActionDecoder(latent, features, ACTION, density, 0.4),
        ]
    ).double()
    for parameter in parts.parameters():
        torch.nn.init.normal_(parameter, std=0.6)
    return parts


@pytest.fixture(params=[fused, native], ids=["fused", "native"])
def scan(request):
    """A way to compute the rollouts."""
    if request.param is native:
        request.getfixturevalue("compiler")
        assert native.library(torch.float64) is not None
    return request.param


@pytest.fixture
def modules():
    return build()


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


@pytest.fixture
def window():
    """Embeddings, what the inverse posterior knows, actions, noise of z, of u and of a."""
    torch.manual_seed(1)
    return (
        draw(BATCH, STEPS + 1, EMBED).requires_grad_(),
        draw(BATCH, STEPS, KNOWN).requires_grad_(),
        draw(BATCH, STEPS, ACTION).tanh(),
        draw(BATCH, STEPS + 1, CONFIG.stoch),
        draw(BATCH, STEPS, LATENT.dim),
        draw(BATCH, STEPS, ACTION),
    )


def infer(scan, modules, window, labeled, gradient=True, sampled=False):
    embed, known, action, state_noise, inverse_noise, action_noise = window
    rssm, inverses, decoder = modules
    noise = (state_noise, inverse_noise, action_noise if sampled else None)
    observed, feature, inferred, decoded = scan.infer(
        rssm, list(inverses), decoder, (embed, known), action, labeled, noise, gradient
    )
    spread = torch.as_tensor(decoded.std).expand_as(decoded.raw)
    return [feature, *observed.state, *observed.posterior, *inferred, decoded.raw, spread]


def gradients(outputs, modules, window, retain=False):
    torch.manual_seed(2)
    loss = sum((draw(*out.shape) * out).sum() for out in outputs)
    sources = [*modules.parameters(), window[0], window[1]]
    return torch.autograd.grad(
        loss, sources, retain_graph=retain, allow_unused=True, materialize_grads=True
    )


def assert_same(found, wanted):
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("labeled", [[0, 0, 0, 0], [1, 0, 0, 1], [1, 1, 1, 1]])
@pytest.mark.parametrize("gradient", [True, False])
def test_rollout_of_mixed_rows_is_the_plain_one(scan, modules, window, labeled, gradient):
    m = torch.tensor(labeled, dtype=torch.float64)
    found = infer(scan, modules, window, m, gradient)
    wanted = infer(plain, modules, window, m, gradient)
    assert_same(found, wanted)
    assert_same(gradients(found, modules, window), gradients(wanted, modules, window))


@pytest.mark.parametrize("density", ["normal", "learned_normal", "tanh_normal"])
@pytest.mark.parametrize("sampled", [True, False])
@pytest.mark.parametrize("members", [1, 2, 3, 5])
def test_rollout_of_any_density_and_ensemble_is_the_plain_one(
    scan, window, density, sampled, members
):
    """More members than rows too: the last ones then serve none."""
    modules = build(density=density, members=members)
    m = torch.tensor([0, 1, 0, 0], dtype=torch.float64)
    found = infer(scan, modules, window, m, sampled=sampled)
    wanted = infer(plain, modules, window, m, sampled=sampled)
    assert_same(found, wanted)
    assert_same(gradients(found, modules, window), gradients(wanted, modules, window))


def test_rollout_of_known_actions_is_the_plain_one(scan, modules, window):
    embed, _, action, noise, *_ = window
    observed = scan.observe(modules[0], embed, action, noise)
    stepwise = plain.observe(modules[0], embed, action, noise)
    found, wanted = ([*x.state, *x.posterior] for x in (observed, stepwise))
    assert_same(found, wanted)
    assert_same(gradients(found, modules, window), gradients(wanted, modules, window))


@pytest.mark.parametrize(("inverse_layers", "layers"), [(1, 1), (2, 3)])
def test_networks_may_have_any_depth(scan, window, inverse_layers, layers):
    latent = LATENT.model_copy(update={"inverse_layers": inverse_layers, "layers": layers})
    modules = build(latent)
    m = torch.tensor([0, 1, 0, 1], dtype=torch.float64)
    found, wanted = infer(scan, modules, window, m), infer(plain, modules, window, m)
    assert_same(gradients(found, modules, window), gradients(wanted, modules, window))


def test_going_back_twice_gives_the_same(scan, modules, window):
    outputs = infer(scan, modules, window, torch.zeros(BATCH).double())
    first = gradients(outputs, modules, window, retain=True)
    second = gradients(outputs, modules, window)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_weights_changed_in_between_are_noticed(scan, modules, window):
    outputs = infer(scan, modules, window, torch.zeros(BATCH).double())
    with torch.no_grad():
        modules[0].cell.linear.weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        gradients(outputs, modules, window)


def test_nothing_is_recorded_without_gradients(scan, modules, window):
    with torch.no_grad():
        outputs = infer(scan, modules, window, torch.zeros(BATCH).double())
    assert not any(out.requires_grad for out in outputs)
