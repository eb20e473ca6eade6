"""``mcmfh-bench``: evaluate anybody's codes; run and render tables. Imports Lightning only to run."""
