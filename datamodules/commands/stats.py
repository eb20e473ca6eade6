"""``mcmfh-data stats``."""

from pathlib import Path

from rich.console import Console

from mcmfh_lightning.datamodules.shards import DatasetInfo, write_json
from mcmfh_lightning.datamodules.shards.folder import ShardFolder
from mcmfh_lightning.datamodules.stats import plot_stats, read_split, stats_tables, summarise

_TABLE_WIDTH = 150


def stats(folder: str, out: Path | None = None) -> None:
    """Describe a folder of pair or feature shards: labels, groups, sizes, and what learns nothing scores on it.

    Args:
        folder: local path or URL of the folder.
        out: folder for stats.json and the figures; without it, tables are printed and nothing is written.
    """
    shards = ShardFolder(folder)
    info = DatasetInfo.load(shards.path)
    progress = Console(stderr=True)
    tables = {split: read_split(shards, info, split, progress) for split in info.splits}
    numbers = summarise(info, tables)
    console = Console()
    console.width = max(console.width, _TABLE_WIDTH)
    console.print(stats_tables(numbers))
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / "stats.json", numbers)
        plot_stats(out, numbers, tables)
