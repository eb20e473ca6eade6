"""``mcmfh-bench sweep``: the runs that an agent of Weights & Biases would start, without its server."""
