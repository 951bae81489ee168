"""What teaches what in the latent-action world model, and what does not matter to it."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from lawm_models.networks.encoders._protocol import Observation
from lawm_models.networks.latent_action_model import Noise
from lawm_models.networks.world_model import mean_above


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
    return replace(batch, **chosen), Noise(
        *(None if part is None else part[index] for part in noise)
    )


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
    inferred = model.infer(Observation.of(batch), batch.action, torch.zeros(4).double(), noise)
    later = inferred.feature[:, 1:].sum()
    assert reached(later, model.decoder) == flows
    assert reached(later, model.inverse) == flows
    assert reached(inferred.action.mean.sum(), model.decoder)


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
    inferred = model.infer(Observation.of(batch), batch.action, m, noise)
    feature = inferred.feature[:, :-1].detach()
    posterior = model.posterior(feature, batch.action)
    known = (inferred.known, noise.inverse, posterior, batch.action)
    loss = model.inverse_loss(feature, *known).sum()
    assert not reached(loss, model.posterior)


@pytest.mark.parametrize("balance", [0.0, 0.3, 1.0, None])
def test_balance_splits_the_gradient_of_the_state_kl(problem, balance):
    """d/dq = (1 − β) · d KL, d/dp = β · d KL, and the value is KL; without β both are d KL."""
    to_prior, to_posterior = (1.0, 1.0) if balance is None else (balance, 1 - balance)
    model, batch, noise = problem("all", kl_balance=balance, free_nats=0.0)
    world = model.world
    inferred = model.infer(Observation.of(batch), batch.action, torch.ones(4).double(), noise)
    observed = inferred.observed
    losses = world.state_losses(observed, inferred.feature, Observation.of(batch), batch.reward)
    weight = torch.ones_like(losses.state_kl_prior)
    loss = world.balanced_kl(losses, weight)

    deter = observed.state.deter.detach()
    count = weight.numel()
    prior = world.rssm.prior(deter)
    (on_mean,) = torch.autograd.grad(loss, observed.posterior.mean, retain_graph=True)
    pull = (observed.posterior.mean - prior.mean) / prior.std**2 / count
    torch.testing.assert_close(on_mean, to_posterior * pull.detach())

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
        Observation.of(batch),
        batch.reward,
    )
    found = gradients(world.balanced_kl(cut, weight), net)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, to_prior * b, check_dtype=False)


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
    state, inverse, posterior, _ = noise
    short = Noise(state[:, :4], inverse[:, :3], posterior[:, :3])
    a, b = model.loss(batch, noise)[1], model.loss(cut, short)[1]
    for name in a:
        assert a[name].item() == pytest.approx(b[name].item(), rel=1e-12), name


def test_noise_is_standard_and_from_the_generator(problem):
    model, batch, _ = problem()
    first = model.draw_noise(batch, torch.Generator().manual_seed(3))
    again = model.draw_noise(batch, torch.Generator().manual_seed(3))
    assert first.action is None
    for a, b in zip(first[:3], again[:3], strict=True):
        assert torch.equal(a, b)
    assert [part.shape for part in first[:3]] == [(4, 6, 4), (4, 5, 3), (4, 5, 3)]
    flat = torch.cat([part.flatten() for part in first[:3]])
    assert len(flat.unique()) == len(flat)
    assert abs(flat.mean().item()) < 4 / math.sqrt(len(flat))
    assert flat.std().item() == pytest.approx(1, abs=0.2)


def test_the_constraint_s_factor_scales_that_term_alone(problem):
    (a, batch, noise), (b, *_) = (
        problem("mixed", constraint={"beta": factor}) for factor in (1.0, 0.5)
    )
    plain, half = a.loss(batch, noise)[1], b.loss(batch, noise)[1]
    assert half["latent_action_kl"].item() == pytest.approx(plain["latent_action_kl"].item() / 2)
    for name in ("observation", "reward", "state_kl", "action"):
        assert half[name] == plain[name], name


@pytest.mark.parametrize("free", [0.5, 3.0])
def test_free_nats_of_every_step(free):
    """What is below counts as ``free`` itself and has no gradient."""
    x = torch.tensor([[1.0, 4.0], [0.0, 7.0]], requires_grad=True)
    weight = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    step = mean_above(free, "step", x, weight)
    assert step.item() == pytest.approx(np.maximum([1.0, 4.0, 0.0], free).mean())
    (slope,) = torch.autograd.grad(step, x)
    expected = (x.detach() > free) * weight / 3
    torch.testing.assert_close(slope, expected)
    batch = mean_above(free, "batch", x, weight)
    assert batch.item() == pytest.approx(max(5 / 3, free))


def test_free_nats_unit_is_for_both_kls(problem):
    settings = {"free_nats": 1.0, "latent_action_free_nats": 0.5}
    (a, batch, noise), (b, *_) = (
        problem("mixed", free_nats_unit=unit, **settings) for unit in ("batch", "step")
    )
    whole, each = a.loss(batch, noise)[1], b.loss(batch, noise)[1]
    for name in ("state_kl", "latent_action_kl"):
        assert each[name] > whole[name], name
    for name in ("observation", "reward", "action"):
        assert each[name] == whole[name], name


def test_sampled_actions_enter_the_states_and_nothing_else(problem):
    """Noise of the decoded action moves unlabeled rows; labeled ones have their own action."""
    model, batch, noise = problem("mixed", sample_decoded=True)
    assert noise.action is not None
    other = noise._replace(action=-noise.action)
    m = batch.labeled.double()
    one, two = (
        model.infer(Observation.of(batch), batch.action, m, n).feature for n in (noise, other)
    )
    moved = (one != two).any(-1)  # (B, T+1)
    assert not moved[:, 0].any()
    assert (moved[:, 1:] == ~batch.labeled[:, None]).all()


@pytest.mark.parametrize("kind", ["embedding", "difference", "observation"])
@pytest.mark.parametrize("steps", [1, 3])
def test_inverse_sees_so_many_observations_ahead(problem, kind, steps):
    """q(u_t | s_t, ·) depends on o_{t+1} … o_{t+K} and on none beyond, and not on padding."""
    model, batch, noise = problem("none", True, inverse_input=kind, inverse_steps=steps)
    x = batch.observation
    known = model.infer(
        Observation(x), batch.action, torch.zeros(4).double(), noise, batch.valid
    ).known
    for row in range(4):
        end = int(batch.valid[row].sum())
        for late in range(1, x.shape[1]):
            changed = x.clone()
            changed[row, late] += 1
            again = model.infer(
                Observation(changed), batch.action, torch.zeros(4).double(), noise, batch.valid
            ).known
            differs = (again != known).any(-1)
            assert not np.delete(differs.numpy(), row, 0).any()
            for t in range(end):
                reach = min(t + steps, end)
                sees = t < late <= reach or (kind == "difference" and late == t)
                assert bool(differs[row, t]) == sees, (row, t, late)


def test_observation_as_it_is(problem):
    model, batch, noise = problem("none", inverse_input="observation", encoder={"scale": "raw"})
    inferred = model.infer(Observation.of(batch), batch.action, torch.zeros(4).double(), noise)
    assert torch.equal(inferred.known, batch.observation[:, 1:])


def test_members_take_turns(problem):
    """Row b is member b mod N's, whichever rows are in the batch."""
    model, batch, noise = problem("none", inverse_members=3)
    inferred = model.infer(Observation.of(batch), batch.action, torch.zeros(4).double(), noise)
    for b in range(4):
        member = model.inverses[b % 3]
        alone = member(inferred.feature[b, :-1], member.project(inferred.known[b]))
        torch.testing.assert_close(inferred.inverse.mean[b], alone.mean)
        torch.testing.assert_close(inferred.inverse.std[b], alone.std)


def test_labels_teach_every_member(problem):
    model, batch, noise = problem("all", inverse_members=3, inverse_supervision=1.0)
    total, _ = model.loss(batch, noise)
    assert all(reached(total, member) for member in model.inverses)


def test_first_member_starts_as_the_only_one(problem, spec):
    """More members change no other initial weight."""
    (one, *_), (three, *_) = problem(), problem(inverse_members=3)
    torch.manual_seed(0)
    alone = type(one)(one.config, spec.observations, 2)
    torch.manual_seed(0)
    state = type(three)(three.config, spec.observations, 2).state_dict()
    for name, value in alone.state_dict().items():
        assert torch.equal(state[name], value), name


def test_inverse_targets_add_up(problem):
    terms = {}
    for target in ("both", "action", "latent_action"):
        model, batch, noise = problem("all", inverse_supervision=1.0, inverse_target=target)
        terms[target] = model.loss(batch, noise)[1]["inverse"].item()
        total = model.loss(batch, noise)[0]
        assert reached(total, model.inverse)
    assert terms["both"] == pytest.approx(terms["action"] + terms["latent_action"])
    assert terms["action"] != terms["latent_action"]


def test_target_latent_action_leaves_the_decoder(problem):
    model, batch, noise = problem("all", inverse_target="latent_action")
    inferred = model.infer(Observation.of(batch), batch.action, torch.ones(4).double(), noise)
    feature = inferred.feature[:, :-1].detach()
    posterior = model.posterior(feature, batch.action)
    known = (inferred.known, noise.inverse, posterior, batch.action)
    assert not reached(model.inverse_loss(feature, *known).sum(), model.decoder)


@pytest.mark.parametrize("target", ["both", "action", "latent_action"])
def test_detached_supervision_teaches_the_inverse_alone(problem, target):
    gradients = []
    for weight in (0.0, 1.0):
        settings = {"inverse_detached": True, "inverse_target": target}
        model, batch, noise = problem("mixed", inverse_supervision=weight, **settings)
        model.loss(batch, noise)[0].backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    plain, taught = gradients
    changed = {name for name in plain if not torch.equal(plain[name], taught[name])}
    assert changed == {name for name in plain if name.startswith("inverse.")}


def test_detached_supervision_has_the_same_value(problem):
    """The gradient of q(u|s,o') stays, too."""
    values = []
    for alone in (False, True):
        model, batch, noise = problem("all", inverse_supervision=1.0, inverse_detached=alone)
        total, terms = model.loss(batch, noise)
        total.backward()
        values.append((terms["inverse"], [p.grad for p in model.inverse.parameters()]))
    assert values[0][0] == values[1][0]
    torch.testing.assert_close(values[0][1], values[1][1])


def test_dropout_is_of_the_supervision_alone(problem):
    """The rollout stays as it is; the share of silent units is the one that was asked for."""
    settings = {"inverse_supervision": 1.0, "inverse_dropout": 0.5}
    model, batch, noise = problem("mixed", **settings)
    losses = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        losses.append(model.loss(batch, noise)[1])
    assert losses[0] == losses[1]
    different = {name for name in losses[0] if losses[0][name] != losses[2][name]}
    assert different == {"loss", "inverse"}


@pytest.mark.parametrize("density", ["learned_normal", "tanh_normal"])
def test_learned_width_learns(problem, density):
    model, batch, noise = problem("all", action_density=density)
    model.loss(batch, noise)[0].backward()
    gradient = model.decoder.net.out.weight.grad
    assert gradient is not None
    assert (gradient.abs().amax(1) > 0).all()
    assert len(gradient) == 4  # an action and a width in each of two dimensions


def test_what_observations_tell_of_the_latent_action(problem):
    model, batch, noise = problem("none")
    terms = model.loss(batch, noise)[1]
    # without labels it is what the constraint weighs
    assert terms["latent_action_nats"].item() == pytest.approx(terms["latent_action_kl"].item())
    assert 1 < terms["effective_size"] <= model.config.latent_action.dim
    with torch.no_grad():
        model.inverse.rest[-1].weight.zero_()
    deaf = model.loss(batch, noise)[1]
    assert deaf["effective_size"] < 1e-9
    assert deaf["latent_action_nats"] < terms["latent_action_nats"]
