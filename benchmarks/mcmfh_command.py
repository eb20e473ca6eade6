"""The ``mcmfh`` command, as its users run it, from within a script."""

import warnings

from mcmfh_lightning.cli.train import main


def mcmfh(subcommand: str, *arguments: str) -> None:
    """Run ``mcmfh`` in this process, on one device: several would start this script anew, once each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="LightningCLI's args parameter")  # the script has flags of its own
        main([subcommand, *arguments, "--trainer.devices", "1", "--trainer.enable_progress_bar", "false"])
