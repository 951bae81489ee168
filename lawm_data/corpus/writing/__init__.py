"""Trajectories to shards: encoding, digests, commits, copies, and what a killed writer leaves."""
