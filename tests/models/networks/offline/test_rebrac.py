"""ReBRAC against a slow evaluation in float64, in NumPy; gradients are central differences.

What it shares with TD3+BC, delays, Adam and targets, is in ``test_td3_bc``.
"""

import numpy as np
import pytest
import torch
from numpy_steps import (
    ACTION,
    OBSERVATION,
    flat,
    make_noise,
    make_transitions,
    mean,
    network,
    twin_values,
)

from lawm_models.networks.offline.rebrac import ReBRAC, ReBRACConfig
from lawm_models.networks.offline.transitions import Transitions

UNITS = 4
ACTOR = (OBSERVATION, UNITS, UNITS, UNITS, ACTION)
CRITIC = (OBSERVATION + ACTION, UNITS, UNITS, UNITS, 1)
SETTINGS = {"discount": 0.9, "actor_imitation": 0.3, "critic_imitation": 0.7, "policy_delay": 1}


@pytest.fixture
def agent(randomize):
    torch.manual_seed(0)
    agent = ReBRAC(ReBRACConfig(units=UNITS, **SETTINGS), OBSERVATION, ACTION).double()
    randomize(agent)
    return agent


def act(actor, observation):
    return np.tanh(network(actor, ACTOR, observation))


def critic_loss(agent, critics, t, noise):
    config = agent.config
    jitter = np.clip(0.2 * noise, -0.5, 0.5)
    action = np.clip(act(flat(agent.target_actor), t.next_observation) + jitter, -1, 1)
    future = np.minimum(
        *twin_values(flat(agent.target_critics), CRITIC, t.next_observation, action, normed=True)
    )
    future = future - config.critic_imitation * ((action - t.next_action) ** 2).sum(1)
    target = t.reward + config.discount * (1 - t.terminated) * future
    values = twin_values(critics, CRITIC, t.observation, t.action, normed=True)
    return sum(mean((q - target) ** 2) for q in values)


def actor_terms(agent, actor, t):
    action = act(actor, t.observation)
    value = np.minimum(
        *twin_values(flat(agent.critics), CRITIC, t.observation, action, normed=True)
    )
    return mean(value), mean(np.abs(value)), mean(((action - t.action) ** 2).sum(1))


def test_losses(agent, numpy_gradient):
    """Values and gradients; the size of the values in the policy's loss is a constant to these."""
    transitions, noise = make_transitions(), make_noise(1)[0]
    t = Transitions(*(part.numpy() for part in transitions))
    _, size, imitation = actor_terms(agent, flat(agent.actor), t)

    def actor_loss(x):
        value, _, distance = actor_terms(agent, x, t)
        return agent.config.actor_imitation * distance - value / size

    critic, _ = agent.critic_loss(transitions, noise)
    actor, shown = agent.actor_loss(transitions)
    assert shown.item() == pytest.approx(imitation, rel=1e-12)
    cases = [
        (critic, agent.critics, lambda x: critic_loss(agent, x, t, noise.numpy())),
        (actor, agent.actor, actor_loss),
    ]
    for loss, module, expected in cases:
        vector = flat(module)
        assert loss.item() == pytest.approx(expected(vector), rel=1e-12)
        gradient = torch.autograd.grad(loss, list(module.parameters()))
        actual = np.concatenate([part.numpy().ravel() for part in gradient])
        np.testing.assert_allclose(actual, numpy_gradient(expected, vector), atol=1e-7)


def test_without_weights_of_imitation_the_next_action_does_not_matter(agent):
    transitions, noise = make_transitions(), make_noise(1)[0]
    other = transitions._replace(next_action=-transitions.next_action)

    def losses(agent):
        return [agent.critic_loss(t, noise)[0].item() for t in (transitions, other)]

    assert len(set(losses(agent))) == 2
    agent.config = agent.config.model_copy(update={"critic_imitation": 0.0})
    assert len(set(losses(agent))) == 1


def test_an_end_has_no_future(agent):
    """Neither the next action nor the target networks matter where a trajectory was terminated."""
    t = make_transitions()
    t = t._replace(terminated=torch.ones_like(t.terminated))
    before = agent.critic_loss(t, make_noise(1)[0])[0].item()
    with torch.no_grad():
        agent.target_critics[0][-1].bias.add_(1.0)
    after = agent.critic_loss(t._replace(next_action=-t.next_action), make_noise(1)[0])[0]
    assert after.item() == before


def test_begins_as_the_authors_begin():
    agent = ReBRAC(ReBRACConfig(), OBSERVATION, ACTION)
    last, first = agent.actor[-2], agent.critics[0][0]
    assert last.weight.abs().max() <= 1e-3
    assert agent.critics[1][-1].weight.abs().max() <= 3e-3
    assert (first.bias == 0.1).all()
    norms = [[m for m in net if isinstance(m, torch.nn.LayerNorm)] for net in agent.critics]
    assert [len(found) for found in norms] == [3, 3]
    assert not any(isinstance(m, torch.nn.LayerNorm) for m in agent.actor)
