"""Trajectories between disk and batch: corpora, masks, windows, environments."""
