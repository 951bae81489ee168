"""The training steps that ``training.py`` measures."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from lawm_schemas import ArraySpec, Role
from torch import Tensor, nn

from lawm_data.batches.batch import Batch
from lawm_models.algorithms._protocol import ModelSpec
from lawm_models.algorithms.lawm import Algorithm, Config
from lawm_models.networks.actor_critic import choose_starts
from lawm_models.networks.distributions import Normal, kl, log_prob, split_normal
from lawm_models.networks.encoders._protocol import Observation
from lawm_models.networks.layers import MLP, NormedLinear, symlog
from lawm_models.networks.optimizer import adam, clip_and_step
from lawm_models.networks.stacking import share_moments, share_weights, side_by_side
from lawm_models.networks.world_model import state_weight, weighted_mean

OBSERVATION, ACTION = 24, 6  # walker-walk
ARRAYS = ModelSpec(
    (ArraySpec(name="state", shape=(OBSERVATION,)),),
    ArraySpec(
        name="action",
        shape=(ACTION,),
        role=Role.action,
        low=(-1.0,) * ACTION,
        high=(1.0,) * ACTION,
    ),
)
Step = Callable[[], Any]


def labels_only_step(algorithm: Algorithm, batch: Batch) -> Step:
    """A C-LAP-like step with the library's modules; q(u|s,o') has no part in it."""
    model = algorithm.model
    world = model.world
    unused = {id(p) for p in model.inverse.parameters()}
    optimizer = adam((p for p in model.parameters() if id(p) not in unused), 3e-4)
    states, step = state_weight(batch.valid), batch.valid.float()

    def run() -> None:
        noise = model.draw_noise(batch, None)
        seen = Observation.of(batch)
        observed = world.observe(seen, batch.action, noise.state)
        features = observed.state.feature
        losses = world.state_losses(observed, features, seen, batch.reward)
        feature = features[:, :-1]
        posterior = model.posterior(feature, batch.action)
        action = model.decoder(feature, posterior.sample(noise.posterior))
        nll = -log_prob(action, model.config.action_std, batch.action)
        loss = weighted_mean(losses.observation, states) + weighted_mean(losses.reward, step)
        loss = loss + world.balanced_kl(losses, states)
        loss = loss + weighted_mean(nll + kl(posterior, model.prior(feature)), step)
        clip_and_step(optimizer, loss, 100.0)

    return run


class PlainModel(nn.Module):
    """The same model, written down as one reads it."""

    def __init__(self, config: Config, latent: bool) -> None:
        super().__init__()
        c, rssm, u = config.model, config.model.rssm, config.model.latent_action
        feature = rssm.deter + rssm.stoch
        self.config, self.latent = c, latent
        self.encoder = MLP(OBSERVATION, c.embed, c.units, c.layers)
        self.input = NormedLinear(rssm.stoch + ACTION, rssm.hidden)
        self.cell = nn.GRUCell(rssm.hidden, rssm.deter)
        self.prior = MLP(rssm.deter, 2 * rssm.stoch, rssm.hidden, 1)
        self.filter = MLP(rssm.deter + c.embed, 2 * rssm.stoch, rssm.hidden, 1)
        self.observation = MLP(feature, OBSERVATION, c.units, c.layers)
        self.reward = MLP(feature, 1, c.units, c.layers)
        self.posterior = MLP(feature + ACTION, 2 * u.dim, u.units, u.layers)
        self.decoder = MLP(feature + u.dim, ACTION, u.units, u.layers)
        if latent:
            self.inverse = MLP(feature + c.embed, 2 * u.dim, u.units, u.inverse_layers)

    def loss(self, batch: Batch) -> Tensor:
        """Eq. 9 + 11, or its labeled half."""
        rssm = self.config.rssm
        target = symlog(batch.observation)
        embed = self.encoder(target)
        m = batch.labeled.float() if self.latent else torch.ones(len(target))
        h = embed.new_zeros(len(embed), rssm.deter)
        total = embed.new_zeros(())
        for t in range(embed.shape[1]):
            q = split_normal(self.filter(torch.cat((h, embed[:, t]), -1)), rssm.min_std)
            p = split_normal(self.prior(h), rssm.min_std)
            z = q.sample(torch.randn_like(q.mean))
            feature = torch.cat((h, z), -1)
            state_kl = 0.8 * kl(q.detach(), p) + 0.2 * kl(q, p.detach())
            loss = state_kl - log_prob(self.observation(feature), 1.0, target[:, t])
            if t > 0:
                loss = loss - log_prob(self.reward(feature), 1.0, batch.reward[:, t - 1, None])
            if t + 1 < embed.shape[1]:
                action, terms = self.act(feature, embed[:, t + 1], batch.action[:, t], m)
                loss = loss + terms
                h = self.cell(self.input(torch.cat((z, action), -1)), h)
            total = total + loss.mean()
        return total / embed.shape[1]

    def act(self, feature: Tensor, after: Tensor, data: Tensor, m: Tensor) -> tuple[Tensor, Tensor]:
        """The action that enters the transition, and the terms of the latent action."""
        known = self._draw(self.posterior(torch.cat((feature, data), -1)))
        nll = -log_prob(self._decode(feature, known[1]), self.config.action_std, data)
        if not self.latent:
            return data, nll + self._kl(known[0])
        inferred = self._draw(self.inverse(torch.cat((feature, after), -1)))
        action = torch.lerp(self._decode(feature, inferred[1]), data, m[:, None])
        return action, m * nll + torch.lerp(self._kl(inferred[0]), self._kl(known[0]), m)

    def _draw(self, params: Tensor) -> tuple[Normal, Tensor]:
        density = split_normal(params, self.config.latent_action.min_std)
        return density, density.sample(torch.randn_like(density.mean))

    def _decode(self, feature: Tensor, u: Tensor) -> Tensor:
        return torch.tanh(self.decoder(torch.cat((feature, u), -1)))

    def _kl(self, density: Normal) -> Tensor:
        return kl(density, Normal(torch.zeros_like(density.mean), torch.ones_like(density.std)))


def plain_step(config: Config, batch: Batch, latent: bool) -> Step:
    """One step of ``PlainModel``."""
    model = PlainModel(config, latent)
    optimizer = torch.optim.Adam(model.parameters(), 3e-4, eps=1e-5)
    return lambda: clip_and_step(optimizer, model.loss(batch), 100.0)


def dreamerv3_torch_step(folder: Path, config: Config, batch: Batch) -> Step:
    """One training step of the world model of NM512's dreamerv3-torch, at the sizes of ``config``.

    Gaussian states, an observation of vectors, Adam; it has no latent action, but a head for
    terminations that ours does not need. ``folder`` is a clone of its repository.
    """
    sys.path.insert(0, str(folder))
    c, rssm = config.model, config.model.rssm
    net = {"act": "SiLU", "norm": True, "mlp_keys": "state", "cnn_keys": "$^"}
    net |= {"mlp_layers": c.layers, "mlp_units": c.units}
    net |= {"cnn_depth": 32, "kernel_size": 4, "minres": 4}
    head = {"layers": c.layers, "outscale": 1.0, "loss_scale": 1.0}
    settings = SimpleNamespace(
        **{"device": "cpu", "precision": 32, "units": c.units, "act": "SiLU", "norm": True},
        encoder=net | {"symlog_inputs": True},
        decoder=net
        | {"cnn_sigmoid": False, "image_dist": "mse", "vector_dist": "symlog_mse", "outscale": 1.0},
        reward_head=head | {"dist": "normal_std_fixed"},
        cont_head=head,
        grad_heads=["decoder", "reward", "cont"],
        **{"dyn_stoch": rssm.stoch, "dyn_deter": rssm.deter, "dyn_hidden": rssm.hidden},
        **{"dyn_discrete": 0, "dyn_rec_depth": 1, "dyn_mean_act": "none"},
        **{"dyn_std_act": "sigmoid2", "dyn_min_std": rssm.min_std, "initial": "learned"},
        **{"kl_free": 0.0, "dyn_scale": 0.8, "rep_scale": 0.2, "unimix_ratio": 0.0},
        **{"model_lr": 3e-4, "opt_eps": 1e-5, "grad_clip": 100.0, "weight_decay": 0.0},
        **{"opt": "adam", "num_actions": ACTION, "discount": 0.99},
    )
    init = import_module("networks").MLP.__init__  # its encoder takes the default device
    init.__defaults__ = tuple("cpu" if value == "cuda" else value for value in init.__defaults__)
    space = SimpleNamespace(spaces={"state": torch.empty(OBSERVATION)})
    with contextlib.redirect_stdout(open(os.devnull, "w")):
        model = import_module("models").WorldModel(space, None, 0, settings)
    size, states = batch.observation.shape[:2]
    first = torch.zeros(size, states)
    first[:, 0] = 1
    before = batch.action.new_zeros(size, 1, ACTION)
    data = {
        "state": batch.observation,
        "image": torch.zeros(1),  # scaled whether it is used or not
        "action": torch.cat((before, batch.action), 1),
        "reward": torch.cat((torch.zeros(size, 1), batch.reward), 1)[..., None],
        "is_first": first,
        "is_terminal": torch.zeros(size, states),
    }
    arrays = {name: value.numpy() for name, value in data.items()}
    return lambda: model._train(dict(arrays))


def stack_step(config: Config, batches: Sequence[Batch], stage: str) -> Step:
    """One step of as many models as batches; of one, the plain step."""
    torch.manual_seed(0)
    device = batches[0].reward.device
    models = [Algorithm(config, ARRAYS).to(device) for _ in batches]
    generators = [torch.Generator(device).manual_seed(seed) for seed in range(len(models))]
    if len(models) == 1:
        models[0].begin(stage)
        return lambda: models[0].update(stage, batches[0], generators[0])
    whole = Algorithm(config, ARRAYS).to(device)
    share_weights(whole, models)
    for name, optimizer in whole.optimizers().items():
        share_moments(optimizer, [model.optimizers()[name] for model in models])
    whole.begin(stage)
    return lambda: whole.update(stage, side_by_side(batches), generators)


def policy_step(algorithm: Algorithm, batch: Batch, starts: int, frozen: bool) -> Step:
    """The policy step, as ``Algorithm.update`` makes it but for start states and freezing."""
    agent = algorithm.agent
    if frozen:
        algorithm.begin("agent")
    model = algorithm._frozen[0] if frozen else algorithm.model
    optimizers = [algorithm.optimizers()[name] for name in ("actor", "critic")]

    def run() -> None:
        with torch.no_grad():
            state = algorithm._infer(batch, algorithm.model.draw_noise(batch, None)).observed.state
        start = choose_starts(state, batch.valid, starts, None)
        dream = agent.dream(model.world, start, algorithm._constrained(model), None)
        reward = model.world.reward(dream.feature[1:])
        actor, critic, _ = agent.losses(dream, reward)
        if frozen:
            clip_and_step(optimizers[0], actor, algorithm.config.clip)
        else:
            model.zero_grad()
            optimizers[0].zero_grad()
            actor.backward(inputs=[*agent.actor.parameters(), *model.parameters()])
            nn.utils.clip_grad_norm_(agent.actor.parameters(), algorithm.config.clip)
            optimizers[0].step()
        clip_and_step(optimizers[1], critic, algorithm.config.clip)
        agent.update_target()

    return run
