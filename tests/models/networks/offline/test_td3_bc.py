"""TD3+BC against a slow evaluation in float64: losses, delayed updates, Adam and targets.

The reference is NumPy throughout; its gradients are central differences.
"""

import numpy as np
import pytest
import torch
from numpy_steps import (
    ACTION,
    OBSERVATION,
    STEPS,
    flat,
    make_noise,
    make_transitions,
    mean,
    network,
    twin_values,
)

from lawm_models.networks.offline.td3_bc import TD3BC, TD3BCConfig
from lawm_models.networks.offline.transitions import Transitions


@pytest.fixture
def agent():
    torch.manual_seed(0)
    config = TD3BCConfig(units=4, learning_rate=1e-2, discount=0.9, target_rate=0.1)
    agent = TD3BC(config, OBSERVATION, ACTION).double()
    with torch.no_grad():
        for target in (*agent.target_actor.parameters(), *agent.target_critics.parameters()):
            target.mul_(1.3)  # not what they follow
    return agent


@pytest.fixture
def transitions():
    return make_transitions()


@pytest.fixture
def noise():
    return make_noise(4)


class Reference:
    """Fujimoto & Gu (2021), on vectors of weights."""

    def __init__(self, agent, transitions):
        self.config = agent.config
        self.t = Transitions(*(part.numpy() for part in transitions))
        units = agent.config.units
        self.actor_sizes = (OBSERVATION, units, units, ACTION)
        self.critic_sizes = (OBSERVATION + ACTION, units, units, 1)
        self.actor, self.target_actor = flat(agent.actor), flat(agent.target_actor)
        self.critics, self.target_critics = flat(agent.critics), flat(agent.target_critics)

    def act(self, actor, observation):
        return np.tanh(network(actor, self.actor_sizes, observation))

    def values(self, critics, observation, action):
        return twin_values(critics, self.critic_sizes, observation, action)

    def critic_loss(self, critics, noise):
        t, config = self.t, self.config
        noise = np.clip(config.policy_noise * noise, -config.noise_clip, config.noise_clip)
        action = np.clip(self.act(self.target_actor, t.next_observation) + noise, -1, 1)
        future = np.minimum(*self.values(self.target_critics, t.next_observation, action))
        target = t.reward + config.discount * (1 - t.terminated) * future
        return sum(mean((q - target) ** 2) for q in self.values(critics, t.observation, t.action))

    def imitation(self, actor):
        return mean(((self.act(actor, self.t.observation) - self.t.action) ** 2).mean(1))

    def actor_loss(self, actor, size):
        action = self.act(actor, self.t.observation)
        value = self.values(self.critics, self.t.observation, action)[0]
        return -self.config.alpha / size * mean(value) + self.imitation(actor)

    def value_size(self):
        action = self.act(self.actor, self.t.observation)
        return mean(np.abs(self.values(self.critics, self.t.observation, action)[0]))


def test_losses(agent, transitions, noise):
    reference = Reference(agent, transitions)
    critic, value = agent.critic_loss(transitions, noise[0])
    actor, imitation = agent.actor_loss(transitions)
    assert critic.item() == pytest.approx(
        reference.critic_loss(reference.critics, noise[0].numpy()), rel=1e-12
    )
    expected = reference.actor_loss(reference.actor, reference.value_size())
    assert actor.item() == pytest.approx(expected, rel=1e-12)
    assert imitation.item() == pytest.approx(reference.imitation(reference.actor), rel=1e-12)
    q = reference.values(
        reference.critics, transitions.observation.numpy(), transitions.action.numpy()
    )
    assert value.item() == pytest.approx(mean(q[0]), rel=1e-12)


def test_updates(agent, transitions, noise, numpy_adam, numpy_gradient):
    """Weights after every one of four updates; the policy moves at the second and fourth."""
    reference, config = Reference(agent, transitions), agent.config
    adams = [numpy_adam(config.learning_rate, 1e-8) for _ in range(2)]
    for number in range(4):
        metrics = agent.update(transitions, noise[number])
        gradient = numpy_gradient(
            lambda x, n=noise[number]: reference.critic_loss(x, n.numpy()), reference.critics
        )
        reference.critics = adams[0].step(reference.critics, gradient)
        assert ("actor" in metrics) == (number % 2 == 1)
        if number % 2 == 1:
            size = reference.value_size()  # a constant to the gradient
            loss = reference.actor_loss(reference.actor, size)
            assert metrics["actor"].item() == pytest.approx(loss, rel=1e-6)
            gradient = numpy_gradient(lambda x, s=size: reference.actor_loss(x, s), reference.actor)
            reference.actor = adams[1].step(reference.actor, gradient)
            for name in ("actor", "critics"):
                target, online = getattr(reference, f"target_{name}"), getattr(reference, name)
                moved = (1 - config.target_rate) * target + config.target_rate * online
                setattr(reference, f"target_{name}", moved)
        for name in ("actor", "critics", "target_actor", "target_critics"):
            actual, expected = flat(getattr(agent, name)), getattr(reference, name)
            np.testing.assert_allclose(actual, expected, atol=1e-6, err_msg=f"{number} {name}")


def test_the_last_step_before_a_time_limit_has_a_future(agent, transitions, noise):
    """Only termination cuts the bootstrap, so only it makes the target networks not matter."""

    def sensitive(t):
        before, _ = agent.critic_loss(t, noise[0])
        with torch.no_grad():
            for critic in agent.target_critics:
                critic[-1].bias.add_(1.0)
        return agent.critic_loss(t, noise[0])[0].item() != before.item()

    assert sensitive(transitions._replace(terminated=torch.zeros(STEPS).double()))
    assert not sensitive(transitions._replace(terminated=torch.ones(STEPS).double()))


def test_count_of_steps_survives(agent, transitions, noise):
    agent.update(transitions, noise[0])
    other = TD3BC(agent.config, OBSERVATION, ACTION).double()
    other.load_state_dict(agent.state_dict())
    assert "actor" in other.update(transitions, noise[1])


def test_defaults_are_the_authors():
    config = TD3BCConfig()
    assert (config.units, config.layers, config.learning_rate) == (256, 2, 3e-4)
    assert (config.discount, config.target_rate, config.alpha) == (0.99, 0.005, 2.5)
    assert (config.policy_noise, config.noise_clip, config.policy_delay) == (0.2, 0.5, 2)
