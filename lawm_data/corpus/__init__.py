"""The native format and its views: table, shards, masks, overlays, reading and writing."""
