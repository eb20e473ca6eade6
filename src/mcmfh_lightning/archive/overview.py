"""What an archive holds, for people and for programs."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.table import Table
from rich.text import Text

from mcmfh_lightning.archive.identity import ArchiveInfo
from mcmfh_lightning.archive.location import Location
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.terminal import without_controls

_MOST_LABELS = 10


def overview(location: Location) -> dict[str, Any]:
    """Count what is in an archive; plain JSON.

    Raises:
        DataError: If there is none.
    """
    info = ArchiveInfo.load(location)
    table = ItemTable.open(location)
    items = table.select(["group", "split", "has_image", "has_text", "labels", "date", "licence", "folder"])
    dates = pc.min_max(items["date"]).as_py()
    return {
        "archive": str(location),
        "version": table.version,
        "items": len(items),
        "with_image": pc.sum(items["has_image"]).as_py() or 0,
        "with_text": pc.sum(items["has_text"]).as_py() or 0,
        "groups": pc.count_distinct(items["group"]).as_py(),
        "splits": _counts(items["split"]),
        "labels": _counts(pc.list_flatten(items["labels"])),
        "licences": _counts(items["licence"]),
        "dates": [dates["min"], dates["max"]],
        "collections": _counts(items["folder"]),
        "num_bits": info.num_bits,
        "hasher": info.hasher,
        "weights_sha256": info.weights_sha256,
        "encoder": dict(info.encoder),
        "encoder_spec": dict(info.encoder_spec),
        "label_vocabulary": list(info.label_vocabulary),
        "store_content": info.store_content,
        "keep_relaxed": info.keep_relaxed,
        "created_by": info.created_by,
        "bytes": _size(location),
    }


def overview_table(content: Mapping[str, Any]) -> Table:
    """The same as a table, without long lists."""
    table = Table(title=Text(content["archive"]), title_justify="left", show_header=False)
    size = "" if content["bytes"] is None else f", {content['bytes'] / 1e6:,.1f} MB"
    labels = list(content["labels"].items())
    more = f" and {len(labels) - _MOST_LABELS} more" if len(labels) > _MOST_LABELS else ""
    known = [day for day in content["dates"] if day]
    rows = {
        "items": f"{content['items']:,} of {content['groups']:,} groups (version {content['version']}{size})",
        "with an image, a text": f"{content['with_image']:,}, {content['with_text']:,}",
        "splits": _listed(content["splits"]),
        "labels": _listed(dict(labels[:_MOST_LABELS])) + more,
        "licences": _listed(content["licences"]),
        "dates": " to ".join(known) if known else "unknown",
        "codes": f"{content['num_bits']} bits of {content['hasher']} (weights {content['weights_sha256'][:16]})",
        "encoder": str(content["encoder"].get("name")),
        "texts and pictures": "in the archive" if content["store_content"] else "where their collection lies",
        "collections": _listed(content["collections"]),
        "relaxed codes": "kept" if content["keep_relaxed"] else "not kept",
        "made by": content["created_by"],
    }
    for name, value in rows.items():
        table.add_row(Text(name), Text(without_controls(value), overflow="fold"))
    return table


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    """How often each value occurs, the most frequent first, then by name; nulls are left out."""
    counts = {pair["values"]: pair["counts"] for pair in pc.value_counts(column.drop_null()).to_pylist()}
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _size(location: Location) -> int | None:
    """Bytes on the disk, earlier versions included; None on an object store."""
    if location.path is None:
        return None
    return sum(file.stat().st_size for file in location.path.rglob("*") if file.is_file())
