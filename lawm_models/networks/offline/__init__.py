"""Offline RL from single recorded steps: TD3+BC, ReBRAC, IQL, and the steps they take."""
