"""Results and overviews of archives in words and on the terminal."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import pyarrow.compute as pc
from rich.cells import cell_len
from rich.console import Group
from rich.text import Text

from mcmfh_lightning.archive.explaining import explain, why
from mcmfh_lightning.archive.info import ArchiveInfo, Location
from mcmfh_lightning.archive.results import NOTICE, Hit, SearchResult
from mcmfh_lightning.archive.schema import count_facets, count_values
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.errors import without_controls
from mcmfh_lightning.tables import WIDTH, counted, make_table, paragraph

_MOST_LABELS = 10
_LONG_PLACE = 70  # columns, from which on there is little space for labels


def sentences(result: SearchResult) -> list[str]:
    """Describe how the result was made: number of items, order, time, and what `explain` says."""
    among = f"{result.total:,} found among {counted(result.candidates, 'item')}, by {_searched(result)}"
    if result.index is not None:
        among += f": {result.num_bits} bits ({result.code_bytes} bytes) each, {result.index} index"
    lines = [f"{among}."]
    lines.append(f"Order: {_order(result)}.")
    parts = ", ".join(f"{name} {1000 * seconds:.1f}" for name, seconds in asdict(result.timing).items())
    lines.append(f"Time after load: {1000 * result.timing.total:.1f} ms ({parts}).")
    return [*lines, *explain(result)]


def _searched(result: SearchResult) -> str:
    """Name what was searched."""
    codes = "codes of cases" if result.against == "both" else f"codes of {result.against}s"
    return {"codes": codes, "words": "words", "both": f"words and {codes}"}[result.match]


def _order(result: SearchResult) -> str:
    """Say what the order of the hits is."""
    if result.match == "words":
        return "by the words of texts (BM25), then id"
    if result.match == "both":
        return "by the sum of reciprocal ranks of both rankings, then id"
    if result.query_items > 1:
        return f"by the sum of reciprocal ranks of {result.query_items} rankings, then id"
    if result.reranked == 0:
        return "Hamming distance, then id"
    return (
        f"the {result.reranked:,} nearest by the cosine of their relaxed codes, the others by Hamming distance, then id"
    )


def cut_query(result: SearchResult) -> str | None:
    """Say that the encoder did not read all of a text; None if it did."""
    tokens, read = result.query_tokens, result.query_tokens_read
    if tokens is None or read is None or tokens <= read:
        return None
    return f"the text has {tokens:,} tokens; the encoder read the first {read:,}"


def no_candidates(result: SearchResult, items: int, remaining: Mapping[str, int], dates: tuple[str, str] | None) -> str:
    """Say which conditions of a search leave nothing.

    Args:
        result: Result of the search, without candidates.
        items: Number of the archive's items.
        remaining: Number of items that meet each condition alone; see `Archive.remaining`.
        dates: Earliest and latest date of the archive.
    """
    if not items:
        return "the archive has no items"
    alone = ", ".join(f"--{name.replace('_', '-')} {count:,}" for name, count in remaining.items())
    known = "no item has a date" if dates is None else f"dates are {dates[0]} to {dates[1]}"
    dated = f"; {known}" if {"since", "until"} & remaining.keys() else ""
    left = f"{result.candidates:,} of {counted(items, 'item')}"
    return f"the search leaves {left} to rank; each alone leaves: {alone}{dated}"


def nothing_found(result: SearchResult) -> str:
    """Say why a page of a ranking is empty."""
    if result.total:
        return f"Nothing here: the ranking ends at {result.total:,}, before the offset."
    return "Nothing found: no case has these words." if result.match == "words" else "Nothing found."


def result_table(result: SearchResult) -> Group:
    """Make lines about each hit, and below them how they were found.

    Nothing of an archive is read as markup, or by the terminal.
    """
    shared = " (* label that the query has or asks for)" if any(hit.shared_labels for hit in result.hits) else ""
    title = _one_line(f"{result.query_modality} query: {result.query}", WIDTH - len(shared))
    lines = [line for hit in result.hits for line in _hit_lines(hit)] or [Text(nothing_found(result))]
    return Group(Text(f"{title}{shared}", "bold"), *lines, paragraph(" ".join(_summary(result))))


def _hit_lines(hit: Hit) -> Iterator[Text]:
    """Yield rank, id, reasons and labels, on two lines if these are long, then the beginning of the text."""
    item = hit.item
    labels = ", ".join(f"{label}*" if label in hit.shared_labels else label for label in item.labels)
    place = f"{hit.rank:>4}. {item.id}  {why(hit)}"
    if cell_len(place) <= _LONG_PLACE:
        yield _one_line(f"{place}  {labels}", WIDTH)
    else:
        yield _one_line(place, cell_len(place))  # an id is never cut: people copy it
        yield _one_line(f"      {labels}", WIDTH)
    text = item.text or ("text not at hand" if item.has_text else "no text")
    yield _one_line(f"      {' '.join(text.split())}", WIDTH)


def _one_line(text: str, width: int) -> Text:
    """Write one line that nothing reads as markup; dots stand for what is beyond the width."""
    line = Text(without_controls(text).replace("\n", " "), no_wrap=True, overflow="ignore")
    if line.cell_len > width:
        line.truncate(width - 4, overflow="crop")
        line.rstrip()
        line.append(" ...")
    return line


def _summary(result: SearchResult) -> Iterator[str]:
    """Yield short sentences about how the result was made; `sentences` has the details."""
    among = counted(result.candidates, "item")
    yield f"{result.total:,} of {among} by {_searched(result).replace('codes', f'{result.num_bits}-bit codes')}."
    yield from explain(result)
    single = result.match == "codes"
    order = (
        _order(result)
        if not single
        else "by distance, then id"
        if not result.reranked
        else "by the cosine of relaxed codes"
    )
    yield f"Order: {order}. {1000 * result.timing.total:.0f} ms. {NOTICE}"


def overview(location: Location) -> dict[str, Any]:
    """Count the content of an archive; plain JSON.

    Raises:
        DataError: If there is none.
    """
    info = ArchiveInfo.load(location)
    table = ItemTable.open(location)
    items = table.select(["group", "split", "has_image", "has_text", "labels", "date", "licence", "folder"])
    facets = count_facets(items)
    size = None  # unknown on an object store
    if location.path is not None:  # earlier versions included
        size = sum(file.stat().st_size for file in location.path.rglob("*") if file.is_file())
    return {
        "archive": str(location),
        "version": table.version,
        "groups": pc.count_distinct(items["group"]).as_py(),
        **vars(facets),
        "dates": list(facets.dates or (None, None)),
        "collections": count_values(items["folder"]),
        **asdict(info),
        "bytes": size,
    }


def overview_table(content: Mapping[str, Any]) -> Group:
    """Make a table of an `overview`, without its long lists."""
    size = "" if content["bytes"] is None else f", {content['bytes'] / 1e6:,.1f} MB"
    labels = list(content["labels"].items())
    more = f" and {len(labels) - _MOST_LABELS} more" if len(labels) > _MOST_LABELS else ""
    items, groups = counted(content["items"], "item"), counted(content["groups"], "group")
    rows = {
        "items": f"{items} of {groups} (version {content['version']}{size})",
        "with an image, a text": f"{content['with_image']:,}, {content['with_text']:,}",
        "splits": _listed(content["splits"]),
        "labels": _listed(dict(labels[:_MOST_LABELS])) + more,
        "licences": _listed(content["licences"]),
        "dates": " to ".join(filter(None, content["dates"])) or "unknown",
        "codes": f"{content['num_bits']} bits of {content['hasher']} (weights {content['weights_sha256'][:16]})",
        "codes of queries": "one for each search" if content["query_codes"] else "those of items",
        "encoder": str(content["encoder"].get("name")),
        "texts and pictures": "in the archive" if content["store_content"] else "in their collection",
        "collections": _listed(content["collections"]),
        "relaxed codes": "kept" if content["keep_relaxed"] else "not kept",
        "made by": content["created_by"],
    }
    return make_table(content["archive"], ("what", "value"), list(rows.items()), whole=("what",), header=False)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"
