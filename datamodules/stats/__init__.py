"""What `mcmfh-data stats` does: describe a folder of shards, and score on it what learns nothing."""

from mcmfh_lightning.datamodules.stats.plots import plot_stats
from mcmfh_lightning.datamodules.stats.split_table import SplitTable, read_split
from mcmfh_lightning.datamodules.stats.summary import summarise
from mcmfh_lightning.datamodules.stats.tables import stats_tables

__all__ = ["SplitTable", "plot_stats", "read_split", "stats_tables", "summarise"]
