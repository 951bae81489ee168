"""What teaches what in the latent-action world model, and what does not matter to it."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from lawm_models.latent_action_model import Noise


def gradients(loss, module):
    """By parameter; zero where there is no path."""
    parameters = list(module.parameters())
    return torch.autograd.grad(
        loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
    )


def reached(loss, module):
    """Whether any parameter gets a gradient."""
    return any(g.abs().max() > 0 for g in gradients(loss, module))


def rows(batch, noise, index):
    """Some windows of a batch."""
    chosen = {k: v[index] for k, v in vars(batch).items() if isinstance(v, torch.Tensor)}
    return replace(batch, **chosen), Noise(*(part[index] for part in noise))


def test_rows_do_not_mix(problem):
    """Eq. 9: m(τ) chooses the objective of each window, whatever else is in the batch."""
    model, batch, noise = problem("mixed")
    parts = []
    for b in range(len(batch.reward)):
        parts.append(model.loss(*rows(batch, noise, slice(b, b + 1)))[1])
    _, terms = model.loss(batch, noise)
    for name in ("observation", "reward", "action", "latent_action_kl"):
        mean = np.mean([part[name].item() for part in parts])
        assert terms[name].item() == pytest.approx(mean), name


def test_labels_decide_not_the_mask_of_steps(problem):
    """Eq. 10: one missing action makes a window unlabeled; its observed actions then do nothing."""
    model, batch, noise = problem("all")
    partial = replace(batch, labeled=torch.zeros_like(batch.labeled))
    empty = replace(partial, action=torch.zeros_like(batch.action))
    torch.testing.assert_close(model.loss(partial, noise), model.loss(empty, noise))


@pytest.mark.parametrize("labels", ["all", "none"])
def test_which_density_learns(problem, labels):
    model, batch, noise = problem(labels)
    total, _ = model.loss(batch, noise)
    labeled = labels == "all"
    assert reached(total, model.posterior) == labeled
    assert reached(total, model.inverse) == (not labeled)
    for always in (model.decoder, model.world.encoder, model.world.rssm, model.world.reward_head):
        assert reached(total, always)


def test_learned_prior_learns(problem):
    for labels in ("all", "none"):
        model, batch, noise = problem(labels, prior="learned")
        assert reached(model.loss(batch, noise)[0], model.prior)


@pytest.mark.parametrize("flows", [True, False])
def test_decoded_gradient(problem, flows):
    """Whether later states teach the action that led to them."""
    model, batch, noise = problem("none", decoded_gradient=flows)
    inferred = model.infer(batch.observation, batch.action, torch.zeros(4).double(), noise)
    later = inferred.feature[:, 1:].sum()
    assert reached(later, model.decoder) == flows
    assert reached(later, model.inverse) == flows
    assert reached(inferred.decoded.sum(), model.decoder)


def test_decoded_gradient_leaves_the_value(problem):
    values = [problem("mixed", decoded_gradient=flows) for flows in (True, False)]
    on, off = (model.loss(batch, noise)[0].item() for model, batch, noise in values)
    assert on == off


def test_inverse_supervision_teaches_the_inverse_on_labels(problem):
    """Eq. 7 leaves q(u|s,o') alone; with supervision labeled windows teach it too."""
    model, batch, noise = problem("all", inverse_supervision=1.0)
    assert reached(model.loss(batch, noise)[0], model.inverse)
    plain, batch, noise = problem("none")
    supervised, *_ = problem("none", inverse_supervision=1.0)
    assert supervised.loss(batch, noise)[0].item() == plain.loss(batch, noise)[0].item()


def test_inverse_supervision_does_not_pull_the_posterior(problem):
    model, batch, noise = problem("all", inverse_supervision=1.0)
    m = torch.ones(4).double()
    inferred = model.infer(batch.observation, batch.action, m, noise)
    posterior = model.posterior(inferred.feature[:, :-1].detach(), batch.action)
    loss = model.inverse_loss(inferred, posterior, batch.action).sum()
    assert not reached(loss, model.posterior)


@pytest.mark.parametrize("balance", [0.0, 0.3, 1.0])
def test_balance_splits_the_gradient_of_the_state_kl(problem, balance):
    """d/dq = (1 − β) · d KL, d/dp = β · d KL, and the value is KL."""
    model, batch, noise = problem("all", kl_balance=balance, free_nats=0.0)
    world = model.world
    inferred = model.infer(batch.observation, batch.action, torch.ones(4).double(), noise)
    observed = inferred.observed
    losses = world.state_losses(observed, inferred.feature, batch.observation, batch.reward)
    weight = torch.ones_like(losses.state_kl)
    loss = world.balanced_kl(losses, weight)

    deter = observed.state.deter.detach()
    count = weight.numel()
    prior = world.rssm.prior(deter)
    (on_mean,) = torch.autograd.grad(loss, observed.posterior.mean, retain_graph=True)
    pull = (observed.posterior.mean - prior.mean) / prior.std**2 / count
    torch.testing.assert_close(on_mean, (1 - balance) * pull.detach())

    q = observed.posterior.detach()
    ratio = (q.std / prior.std).square()
    plain = 0.5 * (ratio + ((q.mean - prior.mean) / prior.std).square() - 1 - ratio.log())
    assert loss.item() == pytest.approx(plain.sum().item() / count)
    net = world.rssm.prior_net
    expected = gradients(plain.sum() / count, net)
    # the prior's gradient alone: the rest of the graph is cut by recomputing the losses
    cut = world.state_losses(
        observed._replace(state=observed.state.detach()),
        inferred.feature,
        batch.observation,
        batch.reward,
    )
    found = gradients(world.balanced_kl(cut, weight), net)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, balance * b, check_dtype=False)


def test_free_nats_stop_the_gradient(problem):
    model, batch, noise = problem("mixed", free_nats=1e3, latent_action_free_nats=1e3)
    total, terms = model.loss(batch, noise)
    assert terms["state_kl"].item() == pytest.approx(1e3)
    assert terms["latent_action_kl"].item() == 1e3
    assert not reached(total, model.world.rssm.prior_net)


def test_padding_does_not_matter(problem):
    model, batch, noise = problem("mixed", padded=True)
    padding = ~batch.valid
    changed = replace(
        batch,
        observation=batch.observation.clone(),
        action=torch.where(padding[..., None], 7.0, batch.action),
        reward=torch.where(padding, -9.0, batch.reward),
    )
    changed.observation[:, 1:][padding] = 123.0
    assert model.loss(changed, noise)[0].item() == model.loss(batch, noise)[0].item()


def test_a_longer_window_of_padding_is_the_same_loss(problem):
    model, batch, noise = problem("mixed", padded=True)
    batch, noise = rows(batch, noise, slice(2, 4))  # these end after three steps
    cut = replace(
        batch,
        observation=batch.observation[:, :4],
        **{
            name: getattr(batch, name)[:, :3]
            for name in ("action", "action_mask", "reward", "terminated", "valid")
        },
    )
    assert cut.valid.all()
    state, inverse, posterior = noise
    short = Noise(state[:, :4], inverse[:, :3], posterior[:, :3])
    a, b = model.loss(batch, noise)[1], model.loss(cut, short)[1]
    for name in a:
        assert a[name].item() == pytest.approx(b[name].item(), rel=1e-12), name


def test_noise_is_standard_and_from_the_generator(problem):
    model, batch, _ = problem()
    first = model.draw_noise(batch, torch.Generator().manual_seed(3))
    again = model.draw_noise(batch, torch.Generator().manual_seed(3))
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a, b)
    assert [part.shape for part in first] == [(4, 6, 4), (4, 5, 3), (4, 5, 3)]
    flat = torch.cat([part.flatten() for part in first])
    assert len(flat.unique()) == len(flat)
    assert abs(flat.mean().item()) < 4 / math.sqrt(len(flat))
    assert flat.std().item() == pytest.approx(1, abs=0.2)
