"""Changes to Lightning: checkpoints, loggers and the folder of a run."""
