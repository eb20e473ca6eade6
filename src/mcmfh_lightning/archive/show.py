"""A result in sentences, the same in every output.

A result as JSON.

A result as one html file, pictures and style included: it loads nothing.

A result as a table of rich.
"""

import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import asdict
from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from rich.console import Group
from rich.table import Table
from rich.text import Text

from mcmfh_lightning.archive.results import Hit, SearchResult
from mcmfh_lightning.errors import without_controls

NOTICE = "Research use, not diagnosis."
_AGAINST = {"case": "codes of cases", "image": "codes of images", "text": "codes of texts"}


def heading(result: SearchResult) -> str:
    """What was asked."""
    return f"{result.query_modality} query: {result.query}"


def sentences(result: SearchResult) -> list[str]:
    """How the result came about: how many items, ties, ranking anew, time."""
    found = f"{result.total:,} found among {result.candidates:,} {_items(result.candidates)}"
    return [
        f"{found}, by {_AGAINST[result.against]}: {result.num_bits} bits ({result.code_bytes} bytes) each, "
        f"{result.index} index.",
        *_ties(result),
        _order(result),
        _time(result),
    ]


def _ties(result: SearchResult) -> list[str]:
    if result.tie_distance is None:
        return []
    return [
        f"Ties: {result.ties:,} {_items(result.ties)} at Hamming distance {result.tie_distance}, where the ranking by "
        f"codes ends; {result.tied_shown:,} of them found."
    ]


def _order(result: SearchResult) -> str:
    if result.reranked == 0:
        return "Order: Hamming distance, then id."
    return (
        f"Order: the {result.reranked:,} nearest by the cosine of their relaxed codes, the others by Hamming distance, "
        "then id."
    )


def _time(result: SearchResult) -> str:
    timing = result.timing
    parts = [("encode", timing.encode), ("search", timing.search), ("rerank", timing.rerank), ("fetch", timing.fetch)]
    told = ", ".join(f"{name} {1000 * seconds:.1f}" for name, seconds in parts)
    return f"Time after load: {1000 * timing.total:.1f} ms ({told})."


def _items(number: int) -> str:
    return "item" if number == 1 else "items"


def result_json(result: SearchResult) -> str:
    """All that a result says, under the names of `SearchResult`; times in seconds."""
    content = asdict(result)
    content["timing"]["total"] = result.timing.total
    return json.dumps({"notice": NOTICE, **content}, indent=1, ensure_ascii=False, allow_nan=False)


def result_page(result: SearchResult, picture: Callable[[str], bytes | None]) -> str:
    """Write the page.

    Everything that comes from the archive is escaped, and a content policy keeps the page from loading or running
    anything all the same.

    Args:
        result: What was found.
        picture: The JPEG of an item, by its id; None if there is none.
    """
    template = files(__package__).joinpath("result.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    hits = [(hit, _data_url(picture(hit.item.id) if hit.item.has_image else None)) for hit in result.hits]
    return environment.from_string(template).render(
        heading=heading(result), sentences=sentences(result), notice=NOTICE, hits=hits
    )


def _data_url(jpeg: bytes | None) -> str | None:
    return None if jpeg is None else f"data:image/jpeg;base64,{b64encode(jpeg).decode()}"


_TEXT_CHARACTERS = 160


def result_table(result: SearchResult) -> Group:
    """A row for each hit, and below how they were found.

    Nothing of an archive is read as markup, or by the terminal.
    """
    table = Table(title=Text(without_controls(heading(result))), title_justify="left", caption_justify="left")
    for name in ("rank", "distance", "cosine"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("id", "labels (shared in bold)", "text"):
        table.add_column(name, overflow="fold")
    for hit in result.hits:
        table.add_row(*_cells(hit))
    return Group(table, *(Text(line) for line in (*sentences(result), NOTICE)))


def _cells(hit: Hit) -> list[Text]:
    labels = Text(", ").join(
        Text(without_controls(name), "bold" if name in hit.shared_labels else "") for name in hit.item.labels
    )
    text = " ".join((hit.item.text or "").split())
    shown = text if len(text) <= _TEXT_CHARACTERS else f"{text[:_TEXT_CHARACTERS].rstrip()} ..."
    return [
        Text(str(hit.rank)),
        Text(str(hit.distance)),
        Text("" if hit.similarity is None else f"{hit.similarity:.3f}"),
        Text(without_controls(hit.item.id)),
        labels,
        Text(without_controls(shown)),
    ]
