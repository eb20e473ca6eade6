"""``mcmfh-bench``: evaluate anybody's codes, whatever trained them. Imports no Lightning."""
