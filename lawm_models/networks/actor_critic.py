"""Actor and twin critics trained by value gradients through imagined trajectories.

Shared by the latent-action agent (the policy acts in the support of p(u|s)) and by the Dreamer
collector (the policy acts on the environment directly).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from lawm_schemas import Count, Schema, Size
from lawm_schemas.base import LARGEST
from pydantic import Field
from torch import Tensor, nn

from lawm_models.networks.data_parallel import average, part, whole
from lawm_models.networks.distributions import BOUNDED, BoundedSample
from lawm_models.networks.dynamics import State
from lawm_models.networks.expectiles import asymmetry, expectile_loss
from lawm_models.networks.layers import MLP
from lawm_models.networks.stacking import take
from lawm_models.networks.world_model import (
    Generators,
    WorldModel,
    standard_noise,
    state_weight,
    weighted_mean,
)


def lambda_return(
    reward: Float[Tensor, "*m L N"],
    value: Float[Tensor, "*m L N"],
    discount: float | Float[Tensor, "*m L N"],
    lambda_: float,
) -> Float[Tensor, "*m L N"]:
    """R_t = r_t + γ_t [(1 − λ) v(s_{t+1}) + λ R_{t+1}] with R_L = v(s_L).

    Args:
        reward: reward of the step from s_t to s_{t+1}, t = 0 … L−1.
        value: value of the state it arrives at, v(s_{t+1}), t = 0 … L−1.
        discount: γ, or γ_t of every step: γ c_{t+1} where s_{t+1} may be the end.
        lambda_: λ; 1 is the Monte-Carlo return with a bootstrap at the end, 0 is one step.
    """
    result = value[..., -1, :]
    returns, steps = [], reward.shape[-2]
    rates = discount.unbind(-2) if isinstance(discount, Tensor) else (discount,) * steps
    for t in reversed(range(steps)):
        ahead = (1 - lambda_) * value[..., t, :] + lambda_ * result
        result = reward[..., t, :] + rates[t] * ahead
        returns.append(result)
    return torch.stack(returns[::-1], -2)


def alive(continuation: Float[Tensor, "*m L1 N"]) -> Float[Tensor, "*m L1-1 N"]:
    """Π_{k≤t} c_k: the probability that a dream has not ended where step t begins, detached."""
    return continuation[..., :-1, :].detach().cumprod(-2)


class ActorCriticConfig(Schema):
    """Policy and values; the defaults are the paper's (Table 2) where it names a number."""

    units: Size = 256
    """Hidden units of policy and values."""
    layers: Count = 3
    """Hidden layers of policy and values."""
    policy: Literal["tanh_normal", "clamped_normal"] = "tanh_normal"
    """Density of the policy over [-1, 1]."""
    critics: Count = 2
    """N, value networks; targets take their minimum."""
    horizon: Size = 5
    """L, dream length; 5 in the paper."""
    dream_noise: float = Field(default=1.0, ge=0)
    """Factor on the noise of z' ~ p(z'|h') in dreams: 1 is the paper, 0 takes the mean, which can
    teach more where the model is far from sure (docs/benchmarks.md, dreams without noise)."""
    discount: float = Field(default=0.99, gt=0, lt=1)
    """γ."""
    lambda_: float = Field(default=0.95, ge=0, le=1)
    """λ of the return; not in the paper, 0.95 in its ancestors."""
    entropy: float = Field(default=0.01, ge=0)
    """Weight of the policy's entropy, which is maximised; the paper names the number alone."""
    target_rate: float = Field(default=0.02, gt=0, le=1)
    """Share of the critics copied into the target critics at a time; 1 with ``target_every`` 1 has
    no target network. Not in the paper."""
    target_every: int = Field(default=1, ge=1)
    """Steps between such copies: 1 with a small rate is a moving average, 100 with rate 1 the hard
    copy of offline Dreamers."""
    value_scale: float = Field(default=1.0, gt=0)
    """Factor on the critics' output; near the size of the returns it saves thousands of steps."""
    expectile: float = Field(default=0.5, gt=0, lt=1)
    """τ: what a dream promises beyond a value counts τ, what it falls short 1 − τ, for critics and
    actor alike. Below ½ policies are pessimistic where dreams of one state disagree, as in LEQ
    (Park & Lee 2025, arXiv 2407.00699, which has 0.1 to 0.5); ½ is the paper."""
    normalize_returns: bool = False
    """Divide the actor's returns by their running 5 to 95 % range, at least 1."""
    start_states: int = Field(default=0, ge=0, le=LARGEST)
    """States of the batch that dreams start from; 0 takes all of them."""


class Dream(NamedTuple):
    """An imagined trajectory."""

    feature: Float[Tensor, "*m L+1 N F"]
    """Features of s_0 … s_L."""
    entropy: Float[Tensor, "*m L N"]
    """Policy entropy at s_0 … s_{L−1}."""
    bounded: Float[Tensor, "*m L N K"]
    """The policy's draws there, in [-1, 1]."""


Act = Callable[[State, Tensor], Tensor]
"""Environment action (*m, N, A) for a state and the policy's draw in [-1, 1] (*m, N, K)."""


class ActorCritic(nn.Module):
    """Policy over [-1, 1]^K and an ensemble of values.

    Args:
        config: sizes and objective.
        feature_dim: F.
        policy_dim: K, what the policy controls (U or A).
    """

    scale: Tensor
    steps: Tensor

    def __init__(self, config: ActorCriticConfig, feature_dim: int, policy_dim: int) -> None:
        super().__init__()
        self.config = config
        self.policy_dim = policy_dim
        self.actor = MLP(feature_dim, 2 * policy_dim, config.units, config.layers)
        self.critics = nn.ModuleList(
            MLP(feature_dim, 1, config.units, config.layers, zero_init=True)
            for _ in range(config.critics)
        )
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)
        self.register_buffer("scale", torch.ones(()))
        if config.target_every > 1:
            self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def draw(self, feature: Float[Tensor, "*b F"], noise: Float[Tensor, "*b K"]) -> BoundedSample:
        """Sample the policy."""
        return BOUNDED[self.config.policy].from_params(self.actor(feature)).draw(noise)

    def mode(self, feature: Float[Tensor, "*b F"]) -> Float[Tensor, "*b K"]:
        """The policy's deterministic choice."""
        return BOUNDED[self.config.policy].from_params(self.actor(feature)).mode()

    def values(self, feature: Float[Tensor, "*b F"]) -> Float[Tensor, " E *b"]:
        """Every critic's value."""
        return self._values(self.critics, feature)

    def lowest_value(self, feature: Float[Tensor, "*b F"]) -> Float[Tensor, "*b"]:
        """The smallest value of the target critics."""
        return self._values(self.target_critics, feature).amin(0)

    def _values(self, critics: nn.ModuleList, feature: Tensor) -> Tensor:
        outputs = [critic(feature).squeeze(-1) for critic in critics]
        return self.config.value_scale * torch.stack(outputs)

    def dream(
        self, world: WorldModel, start: State, act: Act, generator: Generators | None
    ) -> Dream:
        """Imagine L steps from N start states with the policy.

        The policy reads detached features: gradients reach it through its actions alone.
        """
        length, num = self.config.horizon, start.deter.shape[-2]
        like = start.deter

        def draw_noise(width: int) -> Tensor:
            return standard_noise(like, generator, length, num, width, rows=1)

        policy_noise = draw_noise(self.policy_dim).unbind(-3)
        state_noise = (self.config.dream_noise * draw_noise(start.stoch.shape[-1])).unbind(-3)
        state, features, entropies, draws = start, [start.feature], [], []
        for t in range(length):
            draw = self.draw(features[-1].detach(), policy_noise[t])
            state = world.rssm.imagine(state, act(state, draw.value), state_noise[t])
            features.append(state.feature)
            entropies.append(draw.entropy)
            draws.append(draw.value)
        return Dream(torch.stack(features, -3), torch.stack(entropies, -2), torch.stack(draws, -3))

    def losses(
        self,
        dream: Dream,
        reward: Float[Tensor, "*m L N"],
        continuation: Float[Tensor, "*m L1 N"] | None = None,
    ) -> tuple[Float[Tensor, "*m"], Float[Tensor, "*m"], dict[str, Tensor]]:
        """Actor and critic losses of one dream and the rewards of its steps, and metrics.

        Actor: −mean(w_t · (R_t / scale + entropy weight · entropy_t)), w_t = γ^t, R the λ-return of
        minimum target values; critic: ½ w_t · squared error of every critic to R, detached.

        Both count more where R falls short of the value, or less, as ``expectile`` says.

        Where a dream may end, R is discounted by γ c_{t+1} and w_t is γ^t Π_{k≤t} c_k, as the
        Dreamers have it (Hafner 2021): what follows an end is worth nothing and teaches nothing.

        Args:
            dream: the dream.
            reward: of its steps.
            continuation: c_t, the probability that it goes on from s_0 … s_L; None for 1.
        """
        config = self.config
        value = self.lowest_value(dream.feature[..., 1:, :, :])
        discount = config.discount
        if continuation is not None:
            discount = discount * continuation[..., 1:, :]
        returns = lambda_return(reward, value, discount, config.lambda_)
        steps = torch.arange(config.horizon, device=returns.device, dtype=returns.dtype)
        weight = config.discount ** steps[:, None]
        if continuation is not None:
            weight = weight * alive(continuation)
        scale = self._update_scale(returns.detach()) if config.normalize_returns else 1.0
        values = self.values(dream.feature[..., :-1, :, :].detach())
        error = returns.detach() / config.value_scale - values / config.value_scale
        gain = returns / scale
        if config.expectile != 0.5:
            gain = asymmetry(error.detach().mean(0), config.expectile) * gain
        actor, critic = average(
            -(weight * (gain + config.entropy * dream.entropy)).mean((-2, -1)),
            0.5 * (weight * expectile_loss(error, config.expectile)).mean((-2, -1)).sum(0),
        )
        dreamed = {
            "return": returns[..., 0, :].detach().mean(-1),
            "dreamed_reward": reward.detach().mean((-2, -1)),
            "entropy": dream.entropy.detach().mean((-2, -1)),
        }
        if continuation is not None:
            dreamed["dreamed_continuation"] = continuation.detach().mean((-2, -1))
        metrics = {"actor": actor.detach(), "critic": critic.detach()}
        metrics |= zip(dreamed, average(*dreamed.values()), strict=True)
        return actor, critic, metrics

    def data_loss(
        self,
        feature: Float[Tensor, "*m B T1 F"],
        reward: Float[Tensor, "*m B T1-1"],
        terminated: Bool[Tensor, "*m B T1-1"],
        weight: Float[Tensor, "*m B T1-1"],
        expectile: float,
    ) -> Float[Tensor, "*m"]:
        """Critics' loss on recorded transitions, which takes rewards and no actions.

        ½ · expectile loss of r_t + γ (1 − d_t) v(s_{t+1}) − V(s_t), v the minimum of the target
        values: with τ above ½ the value of the better half of what the data do, as IQL has it for
        Q (Kostrikov et al. 2022) and HIQL without actions (Park et al. 2023).

        Args:
            feature: of s_0 … s_T.
            reward: r_t.
            terminated: d_t, the step ended in a terminal state.
            weight: of the steps.
            expectile: τ.
        """
        with torch.no_grad():
            ahead = self.lowest_value(feature[..., 1:, :]) * ~terminated
            target = reward + self.config.discount * ahead
        error = (target - self.values(feature[..., :-1, :])) / self.config.value_scale
        each = expectile_loss(error, expectile)
        return 0.5 * torch.stack([weighted_mean(one, weight) for one in each]).sum(0)

    @torch.no_grad()
    def _update_scale(self, returns: Tensor) -> Tensor:
        flat = whole(returns.mT).flatten(-2)
        low, high = torch.quantile(flat, flat.new_tensor([0.05, 0.95]), -1)
        self.scale.lerp_(high - low, 0.02)
        return self.scale.clamp(min=1)[..., None, None]

    @torch.no_grad()
    def update_target(self) -> None:
        """Move the target critics towards the critics, when it is time."""
        if self.config.target_every > 1:
            self.steps += 1
            if (self.steps % self.config.target_every).any():
                return
        pairs = zip(self.target_critics.parameters(), self.critics.parameters(), strict=True)
        for target, online in pairs:
            target.lerp_(online, self.config.target_rate)


def choose_starts(
    state: State, valid: Bool[Tensor, "*m B T"], num: int, generator: Generators | None
) -> State:
    """``num`` of the (*m, B, T+1) states, flattened and detached; all of them when ``num`` is 0.

    States of padding are left out; real ones are taken again in their place, so that the number
    of states does not depend on the data.
    """
    flat = State(*(whole(x.detach()).flatten(-3, -2) for x in state))
    real = state_weight(whole(valid)).flatten(-2) > 0
    device, total = real.device, real.shape[-1]
    size = min(num, total) or total
    order = torch.arange(total, device=device).expand_as(real)
    if size < total:
        order = _permutation(total, generator, device)
    padding_last = (~real.gather(-1, order)).int().argsort(stable=True)
    order = order.gather(-1, padding_last)
    place = torch.arange(size, device=device) % real.sum(-1, keepdim=True)
    index = part(order.gather(-1, place))
    return State(take(flat.deter, index), take(flat.stoch, index))


def _permutation(
    total: int, generator: Generators | None, device: torch.device
) -> Int[Tensor, "*m N"]:
    if isinstance(generator, Sequence):
        return torch.stack([_permutation(total, each, device) for each in generator])
    return torch.randperm(total, generator=generator, device=device)
