"""What `mcmfh-data verify` does: look at everything in a folder of shards, and report what is not as it should be."""

from mcmfh_lightning.shards.verify.report import Report, verify_table
from mcmfh_lightning.shards.verify.run import verify

__all__ = ["Report", "verify", "verify_table"]
