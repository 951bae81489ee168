"""Whether a corpus is sound: validation, salvage, repair, leakage."""
