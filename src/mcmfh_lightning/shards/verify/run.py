"""Verify a folder from end to end: every check runs, whatever an earlier one found."""

from concurrent.futures import Executor, ThreadPoolExecutor
from os import cpu_count

from rich.console import Console
from rich.progress import Progress

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards import SPLITS, DatasetInfo
from mcmfh_lightning.shards.folder import ShardFolder
from mcmfh_lightning.shards.verify.across import Items, check_across
from mcmfh_lightning.shards.verify.feature_shards import FeatureShards
from mcmfh_lightning.shards.verify.pair_shards import PairShards
from mcmfh_lightning.shards.verify.report import DATASET, FEATURE_CHECKS, PAIR_CHECKS, Look, Report
from mcmfh_lightning.shards.verify.shard_files import check_leftovers, open_shard


def verify(folder: ShardFolder, console: Console) -> Report:
    """Look at everything in a folder of pair or feature shards.

    Records are read, and pictures decoded, by one thread a core; Pillow, NumPy and checksums work outside the GIL.

    Args:
        folder: The folder; the shards of a URL are fetched into the cache.
        console: Where progress is shown.

    Returns:
        One row a check.
    """
    try:
        info = DatasetInfo.load(folder.path)
    except DataError as error:
        report = Report([DATASET])
        report.extend([Look(DATASET, str(error))])
        return report
    pairs = info.format == "mcmfh-pairs"
    report = Report(PAIR_CHECKS if pairs else FEATURE_CHECKS)
    report.look(DATASET)
    shards = PairShards(info, report) if pairs else FeatureShards(info, report)
    with Progress(console=console) as progress, ThreadPoolExecutor(cpu_count()) as pool:
        items = _read_all(folder, info, shards, report, pool, progress)
    if isinstance(shards, FeatureShards):
        shards.check_dimensions()
    check_across(items, report)
    check_leftovers(folder, info, report)
    return report


def _read_all(
    folder: ShardFolder,
    info: DatasetInfo,
    shards: PairShards | FeatureShards,
    report: Report,
    pool: Executor,
    progress: Progress,
) -> Items:
    parts = []
    task = progress.add_task("verifying", total=sum(split.pairs for split in info.splits.values()))
    for number, split in enumerate(SPLITS):
        for shard in info.split(split).shards:
            opened = open_shard(folder, shard, report)
            if opened is not None:
                parts.append(shards.read(number, opened, pool))
            progress.advance(task, shard.pairs)
    return Items.join(parts)
