"""Eq. 7, 8, 9, 10 and 11 against a slow evaluation in float64.

The reference takes outputs of single Linear, LayerNorm and MLP modules, one row at a time. What
flows into what, every density, divergence, mask, shift and mean is written out here again.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from lawm_models.networks.latent_action_model import LatentActionModel, Noise


def run(module, *inputs):
    """A module's output for one row."""
    row = torch.from_numpy(np.concatenate(inputs))
    return module(row).detach().numpy()


def swish(x):
    return x / (1 + np.exp(-x))


def gaussian(params, min_std):
    half = len(params) // 2
    return params[:half], 2 / (1 + np.exp(-params[half:] / 2)) + min_std


def nll(mean, std, value):
    total = 0.0
    for m, v in zip(mean, value, strict=True):
        total += 0.5 * ((v - m) / std) ** 2 + math.log(std) + 0.5 * math.log(2 * math.pi)
    return total


def divergence(q, p):
    total = 0.0
    for mq, sq, mp, sp in zip(*q, *p, strict=True):
        total += math.log(sp / sq) + (sq**2 + (mq - mp) ** 2) / (2 * sp**2) - 0.5
    return total


class Reference:
    """The objective of one window, in float64 loops."""

    def __init__(self, model: LatentActionModel) -> None:
        self.model, self.config = model, model.config

    def prior_of_state(self, h):
        rssm = self.model.world.rssm
        return gaussian(run(rssm.prior_net, h), self.config.rssm.min_std)

    def posterior_of_state(self, h, embed):
        rssm = self.model.world.rssm
        joint = run(rssm.posterior_in.step, h) + run(rssm.posterior_in.known, embed)
        hidden = swish(run(rssm.posterior_in.norm, joint))
        return gaussian(run(rssm.posterior_out, hidden), self.config.rssm.min_std)

    def next_deter(self, h, z, action):
        rssm = self.model.world.rssm
        return (
            rssm.cell(torch.from_numpy(run(rssm.input, z, action)), torch.from_numpy(h))
            .detach()
            .numpy()
        )

    def prior_of_action(self, feature):
        latent = self.config.latent_action
        if self.model.prior.net is None:
            return np.zeros(latent.dim), np.ones(latent.dim)
        return gaussian(run(self.model.prior.net, feature), latent.min_std)

    def posterior_of_action(self, feature, action):
        net = self.model.posterior.net
        return gaussian(run(net, feature, action), self.config.latent_action.min_std)

    def inverse_of_action(self, feature, embed):
        inverse = self.model.inverse
        joint = run(inverse.first.step, feature) + run(inverse.first.known, embed)
        hidden = swish(run(inverse.first.norm, joint))
        return gaussian(run(inverse.rest, hidden), self.config.latent_action.min_std)

    def decode(self, feature, u):
        return np.tanh(run(self.model.decoder.net, feature, u))

    def scaled(self, o):
        raw = self.config.encoder.scale == "raw"
        return o if raw else np.sign(o) * np.log(1 + np.abs(o))

    def window(self, observation, action, reward, terminated, labeled, noise):
        """Terms per state (T+1) and per step (T); Eq. 7 when labeled, Eq. 8 when not."""
        config, world = self.config, self.model.world
        encoder = torch.nn.Sequential(*world.encoder.hidden, world.encoder.out)
        embeds = [run(encoder, self.scaled(o)) for o in observation]
        names = ("observation", "state_kl", "reward", "action", "latent_action_kl", "inverse")
        terms = {name: [] for name in (*names, "continuation")}
        h = np.zeros(config.rssm.deter)
        for t, embed in enumerate(embeds):
            q, p = self.posterior_of_state(h, embed), self.prior_of_state(h)
            z = q[0] + q[1] * noise.state[t]
            feature = np.concatenate((h, z))
            target = self.scaled(observation[t])
            predicted = run(world.observation_head, feature)
            terms["observation"].append(nll(predicted, config.observation_std, target))
            terms["state_kl"].append(divergence(q, p))
            if t > 0:  # the reward of arriving here
                predicted = run(world.reward_head, feature)
                terms["reward"].append(nll(predicted, config.reward_std, [reward[t - 1]]))
                if world.continuation_head is not None:
                    (logit,) = run(world.continuation_head, feature)
                    goes_on = 1 / (1 + math.exp(-logit))
                    ended = 1 - goes_on if terminated[t - 1] else goes_on
                    terms["continuation"].append(-math.log(ended))
            if t == len(reward):
                break
            inverse = self.inverse_of_action(feature, embeds[t + 1])
            decoded = self.decode(feature, inverse[0] + inverse[1] * noise.inverse[t])
            prior = self.prior_of_action(feature)
            if labeled:
                a = action[t]
                posterior = self.posterior_of_action(feature, a)
                u = posterior[0] + posterior[1] * noise.posterior[t]
                terms["action"].append(nll(self.decode(feature, u), config.action_std, a))
                terms["latent_action_kl"].append(divergence(posterior, prior))
                terms["inverse"].append(
                    nll(decoded, config.action_std, a) + divergence(posterior, inverse)
                )
            else:
                a = decoded
                terms["action"].append(0.0)
                terms["latent_action_kl"].append(divergence(inverse, prior))
                terms["inverse"].append(0.0)
            h = self.next_deter(h, z, a)
        return terms

    def loss(self, batch, noise):
        """Means over the real states and steps of a batch."""
        config, sums = self.config, {}
        states = steps = 0
        for b in range(len(batch.reward)):
            row = Noise(*(None if part is None else part[b].numpy() for part in noise))
            terms = self.window(
                batch.observation[b].numpy(),
                batch.action[b].numpy(),
                batch.reward[b].numpy(),
                batch.terminated[b].tolist(),
                bool(batch.labeled[b]),
                row,
            )
            length = int(batch.valid[b].sum())
            states, steps = states + length + 1, steps + length
            for name, values in terms.items():
                real = length + 1 if name in ("observation", "state_kl") else length
                sums[name] = sums.get(name, 0.0) + sum(values[:real])
        means = {
            name: total / (states if name in ("observation", "state_kl") else steps)
            for name, total in sums.items()
        }
        means["state_kl"] = max(means["state_kl"], config.free_nats)
        free = config.latent_action_free_nats
        means["latent_action_kl"] = max(means["latent_action_kl"], free)
        means["inverse"] *= config.inverse_supervision
        if not config.inverse_supervision:
            del means["inverse"]
        if self.model.world.continuation_head is None:
            del means["continuation"]
        return {**means, "loss": sum(means.values())}


WATCHED = {"latent_action_nats", "effective_size"}
"""What is logged beside the terms."""
EXTRA = {
    "observation_std": 0.7,
    "reward_std": 0.4,
    "action_std": 0.3,
    "inverse_supervision": 0.5,
    "latent_action_free_nats": 0.1,
}


@pytest.mark.parametrize("labels", ["all", "none", "mixed"])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize(
    "settings",
    [
        {"free_nats": 0.0},
        {"prior": "learned", "encoder": {"scale": "raw"}, "kl_balance": 0.5, **EXTRA},
        {"free_nats": 1e3, "latent_action_free_nats": 1e3, "kl_balance": None},
    ],
    ids=["paper", "other", "free"],
)
def test_objective(problem, labels, padded, settings):
    """All labeled is Eq. 7, none Eq. 8, a mix Eq. 9; the reward is Eq. 11."""
    model, batch, noise = problem(labels, padded, **settings)
    total, terms = model.loss(batch, noise)
    expected = Reference(model).loss(batch, noise)
    assert terms.keys() - WATCHED == expected.keys()
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value, rel=1e-9, abs=1e-12), name
    assert total.item() == pytest.approx(expected["loss"], rel=1e-9)
    assert not any(term.requires_grad for term in terms.values())


@pytest.mark.parametrize("labels", ["all", "none", "mixed"])
def test_objective_where_trajectories_terminate(problem, labels):
    """−log p(c|s) more, of real steps alone."""
    model, batch, noise = problem(labels, padded=True, terminates=True)
    ended = torch.rand(batch.valid.shape, generator=torch.Generator().manual_seed(2)) < 0.5
    batch = replace(batch, terminated=ended | ~batch.valid)
    _, terms = model.loss(batch, noise)
    expected = Reference(model).loss(batch, noise)
    assert terms.keys() - WATCHED == expected.keys()
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value, rel=1e-9), name
