"""What is in a corpus: summaries, statistics, label errors, pictures, replay."""
