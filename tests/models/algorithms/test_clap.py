"""C-LAP: what it has in common with LAWM, and what it lacks."""

import numpy as np
import pytest
import torch
from lawm_schemas import ConfigError

from lawm_models.algorithms import clap
from lawm_models.networks.encoders._protocol import Observation
from lawm_models.networks.latent_action_model import LatentActionModel


@pytest.fixture
def models(problem, model_config, spec):
    """LAWM's model with a learned prior, C-LAP's with the same weights, a batch, noise."""

    def make(labels="all", **settings):
        other, batch, noise = problem(labels, padded=True, prior="learned", **settings)
        config = model_config("learned", **settings).model_dump()
        config = clap.ModelConfig.parse(config, "test")
        model = clap.Model(config, spec.observations, 2).double()
        missing, unexpected = model.load_state_dict(other.state_dict(), strict=False)
        assert not missing
        assert {name.partition(".")[0] for name in unexpected} == {"inverse"}
        return model, other, batch, noise

    return make


@pytest.mark.parametrize("settings", [{}, {"free_nats": 0.0, "latent_action_free_nats": 0.1}])
def test_labeled_windows_are_lawms(models, settings):
    """Eq. 7 and its gradient; ``test_objective`` evaluates LAWM's anew."""
    model, other, batch, noise = models(**settings)
    loss, terms = model.loss(batch, noise)
    expected, expected_terms = other.loss(batch, noise)
    # of the inverse posterior, which C-LAP has not: no alarm of its collapse is due
    for name in ("latent_action_nats", "effective_size"):
        assert name not in terms
        del expected_terms[name]
    torch.testing.assert_close(terms, expected_terms)
    own, theirs = dict(model.named_parameters()), dict(other.named_parameters())
    gradients = torch.autograd.grad(loss, list(own.values()))
    references = torch.autograd.grad(expected, [theirs[name] for name in own])
    for name, gradient, reference in zip(own, gradients, references, strict=True):
        torch.testing.assert_close(gradient, reference, msg=name)


def swish_layer(module, x):
    x = module.linear.weight.detach().numpy() @ x
    norm = module.norm
    x = (x - x.mean()) / np.sqrt(x.var() + norm.eps)
    x = x * norm.weight.detach().numpy() + norm.bias.detach().numpy()
    return x / (1 + np.exp(-x))


def network(module, x):
    for layer in module.hidden:
        x = swish_layer(layer, x)
    return module.out.weight.detach().numpy() @ x + module.out.bias.detach().numpy()


def gaussian(params, min_std):
    mean, raw = np.split(params, 2)
    return mean, 2 / (1 + np.exp(-raw / 2)) + min_std


def test_action_terms_against_numpy(models):
    """−log p(a|s,u), u ~ q(u|s,a), and KL(q(u|s,a) ‖ p(u|s)) with the learned p."""
    model, _, batch, noise = models()
    latent, std = model.config.latent_action, model.config.action_std
    m = torch.ones(4).double()
    features = model.infer(Observation.of(batch), batch.action, m, noise).feature
    nlls, kls = [], []
    for b, t in np.argwhere(batch.valid.numpy()):
        feature, action = features[b, t].detach().numpy(), batch.action[b, t].numpy()
        joint = np.concatenate((feature, action))
        mq, sq = gaussian(network(model.posterior.net, joint), latent.min_std)
        mp, sp = gaussian(network(model.prior.net, feature), latent.min_std)
        u = mq + sq * noise.posterior[b, t].numpy()
        decoded = np.tanh(network(model.decoder.net, np.concatenate((feature, u))))
        nlls.append(
            (0.5 * ((action - decoded) / std) ** 2 + np.log(std * (2 * np.pi) ** 0.5)).sum()
        )
        kls.append((np.log(sp / sq) + (sq**2 + (mq - mp) ** 2) / (2 * sp**2) - 0.5).sum())
    _, terms = model.loss(batch, noise)
    assert terms["action"].item() == pytest.approx(np.mean(nlls), rel=1e-10)
    assert terms["latent_action_kl"].item() == pytest.approx(np.mean(kls), rel=1e-10)


@pytest.fixture
def build(model_config, spec):
    def make():
        model = clap.ModelConfig.parse(model_config("learned").model_dump(), "test")
        config = clap.Config(model=model, agent={"units": 6, "layers": 1, "horizon": 3})
        torch.manual_seed(0)
        return clap.Algorithm(config, spec)

    return make


def test_updates_of_the_model_against_numpy(build, make_batch, numpy_adam, spec):
    """Two steps: LAWM's gradient, clipped, through Adam."""
    algorithm = build().double()
    algorithm.config = algorithm.config.model_copy(update={"clip": 0.5})
    reference = LatentActionModel(algorithm.config.model, spec.observations, 2).double()
    reference.load_state_dict(algorithm.model.state_dict(), strict=False)
    parameters = [
        dict(reference.named_parameters())[n] for n, _ in algorithm.model.named_parameters()
    ]
    value = np.concatenate([p.detach().numpy().ravel() for p in parameters])
    adam = numpy_adam(algorithm.config.model_rate, 1e-5)
    batch = make_batch("all", padded=True, dtype=torch.float64)
    generators = [torch.Generator().manual_seed(1) for _ in range(2)]
    algorithm.begin("model")
    for _ in range(2):
        metrics = algorithm.update("model", batch, generators[0])
        normalized = algorithm._normalized(batch)
        loss, _ = reference.loss(normalized, reference.draw_noise(normalized, generators[1]))
        gradient = [g.numpy().ravel() for g in torch.autograd.grad(loss, parameters)]
        gradient = np.concatenate(gradient)
        norm = np.linalg.norm(gradient)
        assert metrics["gradient_norm"].item() == pytest.approx(norm, rel=1e-9)
        assert norm > 0.5
        value = adam.step(value, gradient * 0.5 / (norm + 1e-6))
        torch.nn.utils.vector_to_parameters(torch.from_numpy(value), parameters)
        for actual, expected in zip(algorithm.model.parameters(), parameters, strict=True):
            torch.testing.assert_close(actual, expected, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("stage", clap.Algorithm.stages)
def test_unlabeled_windows_do_not_matter(build, make_batch, stage):
    batch = make_batch("mixed", padded=True)
    results = []
    for part in (batch, batch.rows(torch.tensor([0, 2]))):
        algorithm = build()
        algorithm.begin(stage)
        metrics = algorithm.update(stage, part, torch.Generator().manual_seed(0))
        results.append((metrics, algorithm.state_dict()))
    assert results[0][0] == results[1][0]
    assert all(torch.equal(v, results[1][1][k]) for k, v in results[0][1].items())


def test_support_follows_the_state(build):
    """u = μ_p(s) + ε̃ σ_p(s) û."""
    algorithm = build()
    feature = torch.randn(4, 9, generator=torch.Generator().manual_seed(0))
    bounded = torch.rand(4, 3, generator=torch.Generator().manual_seed(1)) * 2 - 1
    seen = []
    algorithm.model.decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    algorithm.decode(algorithm.model, feature, bounded)
    prior = algorithm.model.prior(feature)
    torch.testing.assert_close(seen[0], prior.mean + 2.0 * prior.std * bounded)
    assert prior.mean.std(0).min() > 0


def test_there_is_no_inverse_posterior(build):
    algorithm = build()
    assert not any("inverse" in name for name in algorithm.state_dict())


def test_prior_is_learned_whatever_else_is_set():
    settings = {"model": {"latent_action": {"units": 16}}}
    assert clap.Config.parse(settings, "test").model.latent_action.prior == "learned"
    with pytest.raises(ConfigError, match=r"inverse_supervision: .*less than or equal to 0"):
        clap.Config.parse({"model": {"inverse_supervision": 1.0}}, "test")


def test_numbers_are_those_it_shares_with_lawm():
    """Table 2."""
    config = clap.Config()
    assert (config.model.rssm.deter, config.model.latent_action.dim) == (512, 12)
    assert (config.agent.units, config.agent.horizon, config.model_rate) == (256, 5, 3e-4)
