"""Posterior rollouts over a window: ``plain`` defines them, ``fused`` is faster for the RSSM.

Both offer ``observe`` and ``infer`` with the same arguments, and the same numbers up to rounding.
"""
