"""A collection of your own, told by a table: ``pairs.csv``, ``.jsonl`` or ``.parquet`` beside a folder of images."""
