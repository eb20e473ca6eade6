"""A result as a table of rich."""

from rich.console import Group
from rich.table import Table
from rich.text import Text

from mcmfh_lightning.archive.results import Hit, SearchResult
from mcmfh_lightning.archive.show.words import NOTICE, heading, sentences
from mcmfh_lightning.terminal import without_controls

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
