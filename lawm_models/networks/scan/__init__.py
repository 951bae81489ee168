"""Posterior rollouts over a window: ``plain`` defines them, others are faster for the RSSM.

``fused`` goes back by hand, and ``native`` does so in compiled code. All offer ``observe`` and
``infer`` with the same arguments, and the same numbers up to rounding.
"""
