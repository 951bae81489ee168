"""Studies: from a YAML file to finished runs, and from their results to tables and pictures."""
