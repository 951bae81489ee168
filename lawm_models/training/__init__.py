"""Runs: configuration, training loop, checkpoints, evaluation, relabeling, audit."""
