"""What this package changes in Lightning: checkpoints, loggers and the folder of a run."""
