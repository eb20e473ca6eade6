"""Files that belong to no data set."""

from mcmfh_lightning.datamodules.shards import DATASET_FILE, DatasetInfo
from mcmfh_lightning.datamodules.shards.folder import ShardFolder
from mcmfh_lightning.datamodules.shards.pair_writer import SKIPPED_FILE
from mcmfh_lightning.datamodules.verify.checks import LEFTOVERS
from mcmfh_lightning.datamodules.verify.report import Report

_LOCK_SUFFIX = ".lock"
"""Of the cache of a remote folder."""


def check_leftovers(folder: ShardFolder, info: DatasetInfo, report: Report) -> None:
    """Find what neither ``dataset.json`` lists nor a command of ours leaves on purpose."""
    expected = {DATASET_FILE, SKIPPED_FILE, *(shard.name for split in info.splits.values() for shard in split.shards)}
    for path in sorted(folder.path.iterdir()):
        report.look(LEFTOVERS)
        if path.name.removesuffix(_LOCK_SUFFIX) not in expected:
            report.find(LEFTOVERS, path.name + "/" * path.is_dir())
