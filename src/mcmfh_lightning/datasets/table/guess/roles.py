"""Columns of ids, texts, sources and licenses, and those that look like data of persons."""

from collections.abc import Sequence

from mcmfh_lightning.datasets.table.guess import vocabulary
from mcmfh_lightning.datasets.table.guess.columns import Column, quoted
from mcmfh_lightning.datasets.table.guess.proposal import Answer, Proposal
from mcmfh_lightning.tables import counted


def name_persons(columns: Sequence[Column], proposal: Proposal) -> set[str]:
    """Find columns that look like data of persons, which no option may read."""
    found = {
        column.name
        for column in columns
        if column.words & vocabulary.PERSON
        and not column.words & vocabulary.NOT_A_PERSON
        and column.name not in ("id", "text", "group")
    }
    if found:
        proposal.odd.append(
            f"columns that look like data of persons are not read: {quoted(sorted(found))}; remove them before the "
            "table is passed on"
        )
    return found


def guess_id(columns: Sequence[Column], image: str | None, proposal: Proposal) -> None:
    """Find the column of ids: of that name, unique by name and content, or else the column of images."""
    named = next((column for column in columns if column.name.casefold() == "id"), None)
    unique = [column for column in columns if _is_id(column)]
    if named is not None and (named in unique or len(named.counts) >= 0.95 * len(named.cells)):
        _take_id(named, "its name", proposal)
        return
    if named is not None:
        proposal.odd.append(f"the column {named.name!r} has {named.shows()}: it does not tell rows apart")
    by_name = [column for column in unique if _is_called_id(column) and not column.is_prose]
    pictures = [column for column in unique if column.name == image]
    if len(by_name) > 1 and (of_image := [column for column in by_name if column.words & {"image", "img", "sop"}]):
        by_name = of_image
    for column in [*by_name, *pictures][:1]:
        _take_id(column, "different in every row", proposal)
        return
    nearly = [c for c in columns if _is_called_id(c) and not c.is_prose and len(c.counts) >= 0.95 * len(c.cells)]
    if nearly:
        _take_id(nearly[0], "its name", proposal)
        return
    answers = [Answer("id-column", column.name, "different in every row") for column in unique if not column.is_prose]
    proposal.ask("no column is known to hold the id of each row", *answers[:4], options=("id-column",))


def _is_called_id(column: Column) -> bool:
    """Say whether the name of a column is a word for an id."""
    return bool(column.words & vocabulary.ID) or any(word.endswith(vocabulary.ID_ENDS) for word in column.words)


def _is_id(column: Column) -> bool:
    return column.is_unique and all(isinstance(cell, str | int) and len(str(cell)) <= 200 for cell in column.present)


def _take_id(column: Column, reason: str, proposal: Proposal) -> None:
    proposal.take("id-column", column.name, reason)
    if twice := [value for value, times in column.counts.items() if times > 1]:
        proposal.odd.append(
            f"{counted(len(twice), 'id')} of the column {column.name!r} on several rows: {quoted(twice, 3)}"
        )
    if column.missing:
        proposal.odd.append(f"{counted(column.missing, 'row')} without an id in the column {column.name!r}")


def guess_text(columns: Sequence[Column], proposal: Proposal) -> None:
    """Find the column of texts; of several that are alike, the owner chooses."""
    prose = [column for column in columns if column.is_prose]
    short = [column for column in columns if column.words & vocabulary.TEXT and _is_short_text(column)]
    exact = [column for column in columns if column.name == "text" and column in [*prose, *short]]
    named = [column for column in prose if column.words & vocabulary.TEXT]
    likely = exact or named or prose or short
    if len(likely) == 1:
        others = [column.name for column in prose if column not in likely]
        also = f"; {quoted(others)} not" if others else ""
        words = f"{likely[0].words_a_cell:.0f} words on average"
        proposal.take("text-column", likely[0].name, f"{words}{also}")
        return
    answers = [Answer("text-column", c.name, f"{c.words_a_cell:.0f} words on average") for c in likely]
    if likely:
        question = f"{len(likely)} columns hold texts, and a row has one text; to have several, join them in the table"
    else:
        question = "no column holds texts"
        answers = [Answer("no-column", ["text"], "there are none: nothing can be trained")]
    proposal.ask(question, *answers[:6], options=("text-column",))


def _is_short_text(column: Column) -> bool:
    """Say whether a column that is called like a text may hold short ones: strings, and not categories."""
    strings = all(isinstance(cell, str) for cell in column.present)
    return strings and not column.is_numeric and (column.name == "text" or not column.is_categories)


def guess_origin(columns: Sequence[Column], proposal: Proposal) -> None:
    """Find the columns of the source and the license of rows."""
    for option, words in (("source-column", {"source"}), ("licence-column", {"licence", "license"})):
        named = [column for column in columns if column.words & words and column.present and not column.is_numeric]
        if len(named) == 1:
            proposal.take(option, named[0].name, f"its name; {named[0].shows()}")
