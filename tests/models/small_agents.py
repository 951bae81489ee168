"""Learning agents that are too small to learn anything."""

from lawm_schemas import ArraySpec, EnvironmentInfo, Role

from lawm_models.collection.agent_folder import AgentRecord
from lawm_models.collection.agents.dreamer import DreamerConfig
from lawm_models.networks.actor_critic import ActorCriticConfig
from lawm_models.networks.rssm import RSSMConfig
from lawm_models.networks.world_model import WorldModelConfig

CONFIG = DreamerConfig(
    world=WorldModelConfig(rssm=RSSMConfig(deter=8, stoch=4, hidden=8), embed=8, units=8, layers=1),
    agent=ActorCriticConfig(units=8, layers=1, horizon=2, start_states=8, critics=1),
    batch_size=2,
    window=8,
    random_trajectories=2,
    first_updates=3,
    updates=2,
)
STATE = (ArraySpec(name="position", shape=(3,)), ArraySpec(name="velocity", shape=(2,)))
RECORD = AgentRecord(
    agent="dreamer",
    config=CONFIG.model_dump(mode="json"),
    environment=EnvironmentInfo(task="cartpole-swingup", action_repeat=40),
    state=STATE,
    action=ArraySpec(name="action", shape=(1,), role=Role.action, low=(-1.0,), high=(1.0,)),
    seed=0,
)
