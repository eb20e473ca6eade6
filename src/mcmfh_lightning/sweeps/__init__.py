"""Declared runs: what a sweep file declares, the runner, and the result of one run."""
