"""How a run is made: configuration, training loop, checkpoints, evaluation while it trains."""
