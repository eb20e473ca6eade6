"""Raw collections to pair shards."""
