"""Networks and what they compute: densities, world models, latent actions, actors and critics."""
