"""Subcommands of ``mcmfh-data`` that convert published collections which a user has.

None of them downloads anything: these collections are given out under agreements, or are too large.
"""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from mcmfh_lightning.cli.command_line import Commands
from mcmfh_lightning.datasets.chexpert_plus import ChexpertPlusOptions, convert_chexpert_plus
from mcmfh_lightning.datasets.convert import summary_table
from mcmfh_lightning.datasets.mimic_cxr import MimicCxrOptions, convert_mimic_cxr
from mcmfh_lightning.datasets.padchest import PadChestOptions, convert_padchest
from mcmfh_lightning.datasets.rocov2 import Rocov2Options, convert_rocov2
from mcmfh_lightning.datasets.source_options import ShardOptions
from mcmfh_lightning.datasets.split_report import split_lines
from mcmfh_lightning.errors import say
from mcmfh_lightning.files import check_folder
from mcmfh_lightning.shards import DatasetInfo
from mcmfh_lightning.tables import show

_FLAT = Parameter(name="*")
_SHARDS = ShardOptions()


def print_summary(info: DatasetInfo) -> None:
    """Print what a conversion read, kept and wrote, and how it split that."""
    show(summary_table(info))
    for line in split_lines(info):
        say(line)


def mimic_cxr(
    *,
    out: Path,
    options: Annotated[MimicCxrOptions, _FLAT],
    shards: Annotated[ShardOptions, _FLAT] = _SHARDS,
) -> None:
    """Convert MIMIC-CXR-JPG, chest films with reports, into pair shards.

    Args:
        out: Folder of the pair shards to write; an interrupted conversion is completed.
        options: What to read.
        shards: What to write.
    """
    check_folder(out, "--out")
    print_summary(convert_mimic_cxr(options, shards, out, Console(stderr=True)))


def rocov2(
    *,
    out: Path,
    options: Annotated[Rocov2Options, _FLAT],
    shards: Annotated[ShardOptions, _FLAT] = _SHARDS,
) -> None:
    """Convert ROCOv2, figures of articles with captions and concepts, into pair shards.

    Args:
        out: Folder of the pair shards to write; an interrupted conversion is completed.
        options: What to read.
        shards: What to write.
    """
    check_folder(out, "--out")
    print_summary(convert_rocov2(options, shards, out, Console(stderr=True)))


def padchest(
    *,
    out: Path,
    options: Annotated[PadChestOptions, _FLAT],
    shards: Annotated[ShardOptions, _FLAT] = _SHARDS,
) -> None:
    """Convert PadChest, chest films with Spanish reports, into pair shards.

    Args:
        out: Folder of the pair shards to write; an interrupted conversion is completed.
        options: What to read.
        shards: What to write.
    """
    check_folder(out, "--out")
    print_summary(convert_padchest(options, shards, out, Console(stderr=True)))


def chexpert_plus(
    *,
    out: Path,
    options: Annotated[ChexpertPlusOptions, _FLAT],
    shards: Annotated[ShardOptions, _FLAT] = _SHARDS,
) -> None:
    """Convert CheXpert Plus, chest films with sections of reports, into pair shards.

    Args:
        out: Folder of the pair shards to write; an interrupted conversion is completed.
        options: What to read.
        shards: What to write.
    """
    check_folder(out, "--out")
    print_summary(convert_chexpert_plus(options, shards, out, Console(stderr=True)))


SOURCES: Commands = {
    "chexpert-plus": chexpert_plus,
    "mimic-cxr": mimic_cxr,
    "padchest": padchest,
    "rocov2": rocov2,
}
