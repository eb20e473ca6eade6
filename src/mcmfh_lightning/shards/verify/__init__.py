"""Verification of a folder of shards: everything in it is read, and what is wrong is reported."""
