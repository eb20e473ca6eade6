"""Collections of a user's own, listed in a table (``.csv``, ``.jsonl`` or ``.parquet``) next to a folder of images."""
