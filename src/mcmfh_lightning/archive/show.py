"""Results and overviews of archives, for people and for programs."""

import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.resources import files
from typing import Any

import pyarrow.compute as pc
from rich.console import Group
from rich.table import Table
from rich.text import Text

from mcmfh_lightning.archive.info import ArchiveInfo, Location
from mcmfh_lightning.archive.results import NOTICE, SearchResult
from mcmfh_lightning.archive.schema import count_facets, count_values
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.errors import without_controls

_TEXT_CHARACTERS = 160
_MOST_LABELS = 10


def sentences(result: SearchResult) -> list[str]:
    """Describe how the result was made: number of items, ties, reranking, time."""
    lines = [
        f"{result.total:,} found among {_items(result.candidates)}, by codes of {result.against}s: "
        f"{result.num_bits} bits ({result.code_bytes} bytes) each, {result.index} index."
    ]
    if result.tie_distance is not None:
        lines.append(
            f"Ties: {_items(result.ties)} at Hamming distance {result.tie_distance}, where the ranking by codes ends; "
            f"{result.tied_shown:,} of them found."
        )
    if result.reranked == 0:
        lines.append("Order: Hamming distance, then id.")
    else:
        lines.append(
            f"Order: the {result.reranked:,} nearest by the cosine of their relaxed codes, the others by Hamming "
            "distance, then id."
        )
    parts = ", ".join(f"{name} {1000 * seconds:.1f}" for name, seconds in asdict(result.timing).items())
    lines.append(f"Time after load: {1000 * result.timing.total:.1f} ms ({parts}).")
    return lines


def cut_query(result: SearchResult) -> str | None:
    """Say that the encoder did not read all of a text; None if it did."""
    tokens, read = result.query_tokens, result.query_tokens_read
    if tokens is None or read is None or tokens <= read:
        return None
    return f"the text has {tokens:,} tokens; the encoder read the first {read:,}"


def result_json(result: SearchResult) -> str:
    """Write a result as JSON, under the names of `SearchResult`; times in seconds."""
    content = asdict(result)
    content["timing"]["total"] = result.timing.total
    return json.dumps({"notice": NOTICE, **content}, indent=1, ensure_ascii=False, allow_nan=False)


def result_page(result: SearchResult, picture: Callable[[str], bytes | None]) -> str:
    """Write a result as one HTML file, pictures and style included.

    Everything that comes from the archive is escaped, and in addition a content policy keeps the page from loading or
    running anything.

    Args:
        result: The result.
        picture: Function that returns the JPEG of an item by its id, or None.
    """
    from jinja2 import Environment, StrictUndefined  # the other commands do without

    template = files(__package__).joinpath("result.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    hits = []
    for hit in result.hits:
        jpeg = picture(hit.item.id) if hit.item.has_image else None
        hits.append((hit, None if jpeg is None else f"data:image/jpeg;base64,{b64encode(jpeg).decode()}"))
    return environment.from_string(template).render(
        result=result, cut=cut_query(result), sentences=sentences(result), notice=NOTICE, hits=hits
    )


def result_table(result: SearchResult) -> Group:
    """Make a table with a row for each hit, and below it how they were found.

    Nothing of an archive is read as markup, or by the terminal.
    """
    title = Text(without_controls(f"{result.query_modality} query: {result.query}"))
    table = Table(title=title, title_justify="left")
    for name in ("rank", "distance", "cosine"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("id", "labels (shared in bold)", "text"):
        table.add_column(name, overflow="fold")
    for hit in result.hits:
        item = hit.item
        labels = [Text(without_controls(label), "bold" if label in hit.shared_labels else "") for label in item.labels]
        text = " ".join((item.text or "").split())
        shown = text if len(text) <= _TEXT_CHARACTERS else f"{text[:_TEXT_CHARACTERS].rstrip()} ..."
        table.add_row(
            str(hit.rank),
            str(hit.distance),
            "" if hit.similarity is None else f"{hit.similarity:.3f}",
            Text(without_controls(item.id)),
            Text(", ").join(labels),
            Text(without_controls(shown)),
        )
    return Group(table, *(Text(line) for line in (*sentences(result), NOTICE)))


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


def overview_table(content: Mapping[str, Any]) -> Table:
    """Make a table of an `overview`, without its long lists."""
    table = Table(title=Text(content["archive"]), title_justify="left", show_header=False)
    size = "" if content["bytes"] is None else f", {content['bytes'] / 1e6:,.1f} MB"
    labels = list(content["labels"].items())
    more = f" and {len(labels) - _MOST_LABELS} more" if len(labels) > _MOST_LABELS else ""
    rows = {
        "items": f"{content['items']:,} of {content['groups']:,} groups (version {content['version']}{size})",
        "with an image, a text": f"{content['with_image']:,}, {content['with_text']:,}",
        "splits": _listed(content["splits"]),
        "labels": _listed(dict(labels[:_MOST_LABELS])) + more,
        "licences": _listed(content["licences"]),
        "dates": " to ".join(filter(None, content["dates"])) or "unknown",
        "codes": f"{content['num_bits']} bits of {content['hasher']} (weights {content['weights_sha256'][:16]})",
        "encoder": str(content["encoder"].get("name")),
        "texts and pictures": "in the archive" if content["store_content"] else "in their collection",
        "collections": _listed(content["collections"]),
        "relaxed codes": "kept" if content["keep_relaxed"] else "not kept",
        "made by": content["created_by"],
    }
    for name, value in rows.items():
        table.add_row(Text(name), Text(without_controls(value), overflow="fold"))
    return table


def _items(number: int) -> str:
    return f"{number:,} {'item' if number == 1 else 'items'}"


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"
