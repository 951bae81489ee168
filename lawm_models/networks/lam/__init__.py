"""Latent action models: inverse and forward dynamics of observations, without rewards and policy.

After "Learning Latent Action World Models In The Wild" (Garrido et al. 2026, arXiv 2601.05230).
"""
