"""HTTP service of an archive, and its page."""
