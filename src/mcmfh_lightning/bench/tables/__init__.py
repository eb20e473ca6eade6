"""``mcmfh-bench table``: runs what a file declares and renders tables. Only running imports Lightning."""
