"""From batch to policy: networks, objectives, agents, training."""
