"""``mcmfh-data roco``."""

from pathlib import Path
from typing import Any

from rich.console import Console

from mcmfh_lightning.datamodules.roco.convert import RocoOptions, convert_roco
from mcmfh_lightning.datamodules.summary import summary_table


def roco(*, out: Path, **options: Any) -> None:  # noqa: ANN401  (the parser takes names and types from RocoOptions)
    """Convert ROCO, radiological figures of open-access articles with captions, into pair shards.

    Args:
        out: folder of the pair shards to write; an interrupted conversion is completed.
        **options: see `RocoOptions`.
    """
    info = convert_roco(RocoOptions(**options), out, Console(stderr=True))
    Console().print(summary_table(info))
