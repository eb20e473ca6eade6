"""``mcmfh-archive search``."""

import sys
from io import StringIO
from pathlib import Path
from typing import Literal

from rich.console import Console

from mcmfh_lightning.archive.archive import RERANKED, Archive, K
from mcmfh_lightning.archive.code_index import IndexKind
from mcmfh_lightning.archive.commands.values import Names, listed
from mcmfh_lightning.archive.filters import Filters
from mcmfh_lightning.archive.results import Modality, SearchResult, Side
from mcmfh_lightning.archive.show import result_json, result_page, result_table
from mcmfh_lightning.datamodules.shards import atomic_write
from mcmfh_lightning.errors import ConfigError

_TABLE_WIDTH = 150


def search(
    archive: str,
    *,
    text: str | None = None,
    image: Path | None = None,
    id: str | None = None,  # noqa: A002  # the name of the option
    modality: Modality | None = None,
    k: int = K,
    radius: int | None = None,
    against: Side = "case",
    labels: Names = None,
    any_labels: Names = None,
    since: str | None = None,
    until: str | None = None,
    licences: Names = None,
    groups: Names = None,
    without_groups: Names = None,
    splits: Names = None,
    has_image: bool | None = None,
    has_text: bool | None = None,
    rerank: int = RERANKED,
    offset: int = 0,
    limit: int | None = None,
    index: IndexKind | None = None,
    device: str = "cpu",
    format: Literal["table", "json", "html"] = "table",  # noqa: A002  # the name of the option
    out: Path | None = None,
) -> None:
    """Find the items nearest to a text, a picture or an item. Give one of --text, --image and --id.

    Research use, not diagnosis.

    Args:
        archive: folder, or s3://bucket/prefix.
        text: what to look for, as a report would say it.
        image: JPEG, PNG or DICOM file to look for the like of.
        id: item of the archive to look for the like of; its own group is left out.
        modality: with --id, whether its image or its text is searched by. Default: its image, if it has one.
        k: how many to find; without a meaning if a radius is given.
        radius: find all within this Hamming distance instead.
        against: code that the query is compared with: of the case, or of the image or the text alone.
        labels: labels that an item must all have; more than one as [a, b].
        any_labels: labels of which it must have one.
        since: earliest date, YYYY-MM-DD.
        until: latest date, YYYY-MM-DD.
        licences: licences of which it must have one.
        groups: groups (patients, studies, articles) of which it must be, by their own names.
        without_groups: groups of which it must not be.
        splits: splits of which it must be.
        has_image: whether it must have, or lack, an image.
        has_text: whether it must have, or lack, a text.
        rerank: how many of the nearest are ordered anew by stored relaxed codes, ties included; 0 turns it off.
        offset: how many of the ranking to pass over.
        limit: how many to show at most. Default: all that are left.
        index: flat or hash; both find the same. Default: by the number of items.
        device: where the query is encoded.
        format: table and json are printed; html is one file with pictures, named by --out.
        out: file to write instead of printing.
    """
    if format == "html" and out is None:
        raise ConfigError("--format html writes a file: name it by --out")
    filters = Filters(
        labels=listed(labels),
        any_labels=listed(any_labels),
        since=since,
        until=until,
        licences=listed(licences),
        groups=listed(groups),
        without_groups=listed(without_groups),
        splits=listed(splits),
        has_image=has_image,
        has_text=has_text,
    )
    opened = Archive.open(archive, device, index)
    result = opened.search(
        text=text,
        image=image,
        id=id,
        modality=modality,
        k=k,
        radius=radius,
        against=against,
        filters=filters,
        rerank=rerank,
        offset=offset,
        limit=limit,
    )
    if format == "html":
        _write(result_page(result, opened.picture), out)
    elif format == "json":
        _write(f"{result_json(result)}\n", out)
    elif out is not None:
        _write(_table_text(result), out)
    else:
        console = Console()
        console.width = max(console.width, _TABLE_WIDTH)
        console.print(result_table(result))


def _table_text(result: SearchResult) -> str:
    console = Console(file=StringIO(), width=_TABLE_WIDTH, record=True)
    console.print(result_table(result))
    return console.export_text()


def _write(content: str, out: Path | None) -> None:
    if out is None:
        sys.stdout.write(content)
        return
    with atomic_write(out) as stream:
        stream.write(content.encode())
