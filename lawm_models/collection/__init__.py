"""Corpora from agents that act and learn: Dreamer, Plan2Explore, snapshots."""
