"""A linear system, whose figures are known, and models of it."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from lawm_models.networks.latent_dynamics import LatentDynamics
from lawm_models.probes.evidence import (
    AHEAD,
    Evidence,
    Goals,
    Kind,
    Row,
    Seen,
    Transfer,
    Transitions,
)

A = np.array([[0.9, 0.2, 0.0], [-0.1, 0.8, 0.3], [0.0, 0.0, 0.7]])
B = np.array([[1.0, 0.0], [0.5, -1.0], [0.2, 2.0]])
COUNT = 400


class Linear(LatentDynamics):
    """ô' = A o + B z, and z = ``share`` · B⁺(o' − A o); states are observations."""

    latent_dim = 2

    def __init__(self, share: float = 1.0) -> None:
        self.share, self.a, self.b = share, torch.tensor(A), torch.tensor(B)

    def states(self, observation: Tensor) -> Tensor:
        return observation

    def infer(self, state: Tensor, after: Tensor) -> Tensor:
        return self.share * (after - state @ self.a.T) @ torch.linalg.pinv(self.b).T

    def predict(self, state: Tensor, latent: Tensor) -> Tensor:
        return state @ self.a.T + latent @ self.b.T

    def step(self, state: Tensor, latent: Tensor) -> Tensor:
        return self.predict(state, latent)


class Difference(Linear):
    """The latent action is the whole change."""

    latent_dim = 3

    def infer(self, state: Tensor, after: Tensor) -> Tensor:
        return after - state

    def predict(self, state: Tensor, latent: Tensor) -> Tensor:
        return state + latent


class Constant(Difference):
    """The latent action is always the same, and nothing is expected to change."""

    def infer(self, state: Tensor, after: Tensor) -> Tensor:
        return torch.zeros_like(after)


class System(NamedTuple):
    """Transitions of the system, to learn from and to judge by, and what makes rows of models."""

    evidence: Evidence
    row: Callable[..., Row]


def transitions(seed: int) -> Transitions:
    draws = np.random.default_rng(seed)
    before, action = draws.normal(size=(COUNT, 3)), draws.normal(size=(COUNT, 2))
    return Transitions(
        trajectory=torch.zeros(COUNT, dtype=torch.int64),
        step=torch.arange(COUNT),
        before=torch.tensor(before),
        after=torch.tensor(before @ A.T + action @ B.T),
        action=torch.tensor(action),
        known=torch.ones(COUNT, dtype=torch.bool),
        shown=torch.arange(COUNT) % 2 == 0,
        exogenous=torch.tensor(action[:, :1] + draws.normal(size=(COUNT, 1))),
    )


def goals_of(judged: Transitions, place: Tensor) -> Goals:
    """Where random actions lead."""

    def act_out(plans: Tensor) -> Tensor:
        state = judged.before[place]
        for action in plans.unbind(1):
            state = Linear().predict(state, action)
        return state

    shape = (len(place), AHEAD, 2)
    actions = torch.tensor(np.random.default_rng(2).uniform(-1, 1, shape))
    unit = judged.before.std(0, correction=0)
    return Goals(place, act_out(actions), unit, act_out, act_out(torch.zeros_like(actions)))


@pytest.fixture
def linear() -> System:
    """The system, with the true dynamics as what knows all actions."""
    fit, judged = transitions(0), transitions(1)

    def row(dynamics: LatentDynamics, kind: Kind = "run") -> Row:
        def seen(of: Transitions) -> Seen:
            return Seen(of.before, dynamics.infer(of.before, of.after))

        return Row(kind, dynamics, seen(fit), seen(judged))

    places = torch.arange(COUNT)
    other = places.roll(7)
    after = judged.before[other] @ torch.tensor(A).T + judged.action @ torch.tensor(B).T
    unit = (fit.after - fit.before).square().mean(0).sqrt()
    anchors: dict[Kind, Row] = {
        "state_only": row(Linear(share=0.0), "state_only"),
        "unconstrained": row(Difference(), "unconstrained"),
        "acwm_all": row(Linear(), "acwm_all"),
    }
    transfer = Transfer(places, other, after)
    goals = goals_of(judged, torch.arange(0, COUNT, 50))
    evidence = Evidence(unit, fit, judged, other, transfer, goals, anchors, steps=150)
    return System(evidence, row)
