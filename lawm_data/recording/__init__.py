"""Trajectories from acting, without networks."""
