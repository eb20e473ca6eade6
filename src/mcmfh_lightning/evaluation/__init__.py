"""Evaluation of codes by ranking: protocols, nulls, counts, statistics and reports."""
