"""What a search returns.

What an archive holds, for people and for programs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from rich.table import Table
from rich.text import Text

from mcmfh_lightning.archive.identity import ArchiveInfo
from mcmfh_lightning.archive.location import Location
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.errors import without_controls

Side = Literal["image", "text", "case"]
"""Which code of an item a query is compared with: that of its image alone, of its text alone, or the one code of the
case, which sees what the item has (protocols ``unimodal`` and ``asymmetric``)."""

Modality = Literal["image", "text"]


@dataclass(frozen=True)
class Item:
    """What an archive knows of an item, its picture left out (`Archive.picture`)."""

    id: str
    group: str
    """The collection's own name of its study, article or patient."""
    split: str | None
    """``train``, ``val``, ``test`` of the collection it comes from; None for one added without."""
    has_image: bool
    has_text: bool
    labels: tuple[str, ...]
    date: str | None
    """ISO date."""
    licence: str
    source: str
    text: str | None
    """None also where the archive stores no content and its collection cannot be read."""


@dataclass(frozen=True)
class Hit:
    """An item that was found."""

    rank: int
    """From 1, over the whole result, not the page."""
    item: Item
    distance: int
    """Hamming distance of the codes, in bits."""
    similarity: float | None
    """Cosine of the relaxed codes, where the hit was ranked by it anew; in [-1, 1]."""
    shared_labels: tuple[str, ...]
    """Labels of the item that the query has: those of a query item, those that a query's text names, those filtered
    by."""


@dataclass(frozen=True)
class Timing:
    """Where the time of a search went, in seconds."""

    encode: float
    search: float
    """Filters included."""
    rerank: float
    fetch: float

    @property
    def total(self) -> float:
        """All together."""
        return self.encode + self.search + self.rerank + self.fetch


@dataclass(frozen=True)
class SearchResult:
    """Hits in order, and how they came about."""

    query: str
    """For people: the text, the file's name or the item's id."""
    query_modality: Modality
    """What the query's code was computed from."""
    against: Side
    hits: tuple[Hit, ...]
    """One page of the ranking."""
    total: int
    """Items that were ranked, before paging: at most ``k``, or all within the radius."""
    candidates: int
    """Items that passed the filters and have the code that was asked for."""
    tie_distance: int | None
    """Distance at which the ranking by codes alone ends, that of its last item; None if nothing was found."""
    ties: int
    """Candidates at exactly that distance, which codes alone can only order by id."""
    tied_shown: int
    """How many of these are in the ranking."""
    reranked: int
    """How many candidates were ranked anew by stored relaxed codes; 0 if none."""
    num_bits: int
    code_bytes: int
    """Bytes of a code in the index."""
    index: Literal["flat", "hash"]
    timing: Timing


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
