"""Files of others, read with distrust: sizes before allocation, no links, no code."""
