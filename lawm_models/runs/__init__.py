"""What a run is good for: relabel, features, probe, audit, and runs beside each other."""
