"""One module of this package is one subcommand of ``mcmfh-archive``."""
