"""What `mcmfh-data verify` does: look at everything in a folder of shards, and report what is not as it should be."""

from mcmfh_lightning.datamodules.verify.report import Report
from mcmfh_lightning.datamodules.verify.run import verify
from mcmfh_lightning.datamodules.verify.table import verify_table

__all__ = ["Report", "verify", "verify_table"]
