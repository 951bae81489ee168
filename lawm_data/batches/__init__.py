"""From windows to tensors: sampling, gathering, mixing, loading."""
