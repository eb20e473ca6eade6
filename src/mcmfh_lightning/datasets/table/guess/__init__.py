"""Guesses about a table that somebody else made: its encoding, what its columns are, and what cannot be known."""
