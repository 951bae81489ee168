"""Corpora out of corpora: filter, merge, split, tier, withhold."""
