"""Verification of a folder of shards: everything in it is read, and what is wrong is reported."""

from mcmfh_lightning.shards.verify.report import Report, verify_table
from mcmfh_lightning.shards.verify.run import verify

__all__ = ["Report", "verify", "verify_table"]
