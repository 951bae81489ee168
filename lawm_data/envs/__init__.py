"""Environments: simulators, the spaces they act in, policies and rollouts."""
