"""How many seeds say how far apart runs are."""

FEWEST = 3
"""Seeds from which on a spread or an interval is told; fewer are told themselves."""
