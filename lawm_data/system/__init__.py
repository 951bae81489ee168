"""What the machine gives: atomic files, locks, HDF5, images, video, terminal, figures, workers."""
