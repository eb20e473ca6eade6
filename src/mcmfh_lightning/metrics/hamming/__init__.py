"""Ranking metrics of binary codes by Hamming distance, tie-aware and exact under any sharding of the database."""
