"""Another kind of dynamics, of the abstract methods alone, does all that the RSSM does."""

import numpy as np
import pytest
import torch
from torch import nn

from lawm_models.networks.actor_critic import ActorCritic, ActorCriticConfig, choose_starts
from lawm_models.networks.distributions import split_normal
from lawm_models.networks.dynamics import Dynamics, State
from lawm_models.networks.encoders._protocol import Observation
from lawm_models.networks.policies import FilteringPolicy
from lawm_models.networks.rssm import RSSM
from lawm_models.networks.scaling import ActionScale
from lawm_models.networks.scan import plain
from lawm_models.networks.smoothing import smooth

D, S = 5, 4


class Elman(Dynamics):
    """h' = tanh(W [h, z, a]), the simplest recurrence there is."""

    def __init__(self, action_dim: int, embed_dim: int) -> None:
        super().__init__()
        self.next = nn.Linear(D + S + action_dim, D)
        self.to_prior = nn.Linear(D, 2 * S)
        self.to_posterior = nn.Linear(D, 2 * S)
        self.known = nn.Linear(embed_dim, 2 * S)

    @property
    def stoch_dim(self) -> int:
        return S

    @property
    def feature_dim(self) -> int:
        return D + S

    def initial(self, batch, like):
        return State(like.new_zeros(batch, D), like.new_zeros(batch, S))

    def transition(self, state, action):
        return torch.tanh(self.next(torch.cat((*state, action), -1)))

    def prior(self, deter):
        return split_normal(self.to_prior(deter), 0.1)

    def project(self, embed):
        return self.known(embed)

    def posterior(self, deter, projected):
        return split_normal(self.to_posterior(deter) + projected, 0.1)


@pytest.fixture
def model(problem):
    """A latent-action model in which it stands in the place of an RSSM of these sizes."""
    model, batch, noise = problem("mixed", padded=True, inverse_members=2, free_nats=0.0)
    model.world.rssm = Elman(2, model.world.encoder.dim).double()
    return model, batch, noise


def test_it_is_trained_by_the_plain_scan(model):
    model, batch, noise = model
    assert model.config.scan == "native"
    assert model.world.scan is plain
    loss, terms = model.loss(batch, noise)
    assert all(term.isfinite() for term in terms.values())
    loss.backward()
    assert all(p.grad.abs().max() > 0 for p in model.world.rssm.parameters())


def test_a_policy_learns_and_acts_in_it(model, spec):
    model, batch, noise = model
    agent = ActorCritic(ActorCriticConfig(units=6, layers=1, horizon=3), D + S, 2).double()
    seen = Observation.of(batch)
    m = batch.labeled.double()
    observed = model.infer(seen, batch.action, m, noise).observed
    start = choose_starts(observed.state, batch.valid, 10, torch.Generator().manual_seed(0))
    dream = agent.dream(model.world, start, lambda _, action: action, None)
    assert dream.feature.shape == (4, 10, D + S)
    scale = ActionScale.of(spec.action).double()
    policy = FilteringPolicy(model.world, scale, lambda state, _: agent.mode(state.feature))
    policy.start(3, 0)
    x = np.random.default_rng(0).normal(size=(2, 3, 3))
    first, second = policy.act(x[0]), policy.act(x[1])
    policy.start(3, 0)
    assert not np.allclose(policy.act(x[1]), second)  # it remembers
    assert first.shape == (3, 2)


def test_actions_are_inferred_with_it(model):
    model, batch, _ = model
    generator = torch.Generator().manual_seed(0)
    found = smooth(model, Observation.of(batch), batch.valid, generator, 4, 2)
    assert found.mean.shape == batch.action.shape
    assert found.std.isfinite().all()


def test_what_is_missing_is_said():
    class Half(Dynamics):
        def prior(self, deter):
            return split_normal(deter, 0.1)

    with pytest.raises(TypeError, match="abstract"):
        Half()
    assert issubclass(RSSM, Dynamics)
