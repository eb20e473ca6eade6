"""Results of searches as files: JSON, CSV, one HTML page, a DataFrame."""

import csv
import io
import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import asdict, fields
from importlib.resources import files
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from mcmfh_lightning.archive.explaining import why
from mcmfh_lightning.archive.results import NOTICE, Hit, Item, SearchResult
from mcmfh_lightning.archive.show import cut_query, nothing_found, sentences
from mcmfh_lightning.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]  # pandas has no types of its own

# Begins a file of CSV: without it Excel reads UTF-8 as the code page of the machine, and names lose their umlauts.
# Printed CSV has none, for programs that read a pipe.
BOM = "\ufeff"
_HIT = ("rank", "distance", "similarity", "shared_labels", "alike", "why")
_ITEM = tuple(field.name for field in fields(Item))
# What spreadsheets take for the beginning of a formula, the wide forms of these characters too (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def _row(hit: Hit) -> dict[str, Any]:
    """Return a hit as a row of a table: its place, its place in each ranking, and its item."""
    row = {name: getattr(hit, name) for name in _HIT}
    for reason in hit.reasons:
        name = f"by_{reason.by}" if reason.item is None else f"like_{reason.item}"
        row |= {f"rank_{name}": reason.rank, f"distance_{name}": reason.distance}
    return row | {name: getattr(hit.item, name) for name in _ITEM}


def hits_frame(result: SearchResult) -> "pd.DataFrame":
    """Make a table of the hits; see `SearchResult.to_pandas`.

    Raises:
        ConfigError: If pandas is not installed.
    """
    if find_spec("pandas") is None:
        raise ConfigError("a DataFrame needs pandas, which is missing: pip install pandas")
    import pandas as pd  # an extra of nobody: most searches do without

    return pd.DataFrame(map(_row, result.hits))


def result_csv(result: SearchResult) -> str:
    """Write the hits as CSV (RFC 4180), one row each, with the columns of `hits_frame`.

    Labels are joined by "; ". A text that a spreadsheet would run as a formula begins with an apostrophe. Numbers are
    written as they are.

    Args:
        result: The result.

    Returns:
        The table without `BOM`.
    """
    rows = [{name: _cell(value) for name, value in _row(hit).items()} for hit in result.hits]
    names = dict.fromkeys(("rank", "id", *_HIT, *_ITEM, *(name for row in rows for name in row)))
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow(names)
    writer.writerows([row.get(name) for name in names] for row in rows)
    return stream.getvalue()


def _cell(value: object) -> object:
    """Join labels, and keep a spreadsheet from taking a text for a formula."""
    if isinstance(value, tuple):
        value = "; ".join(value)
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


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
        hits.append((hit, why(hit), None if jpeg is None else f"data:image/jpeg;base64,{b64encode(jpeg).decode()}"))
    return environment.from_string(template).render(
        result=result,
        cut=cut_query(result),
        sentences=sentences(result),
        notice=NOTICE,
        hits=hits,
        nothing=nothing_found(result),
    )
