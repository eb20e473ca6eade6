"""Columns of ids, texts, dates, sources and licenses, and those that look like data of persons."""

from collections.abc import Sequence

from mcmfh_lightning.datasets.table.guess.columns import (
    BIRTH,
    DATE,
    ID,
    ID_ENDS,
    NOT_A_PERSON,
    PERSON,
    TEXT,
    Answer,
    Column,
    Proposal,
)
from mcmfh_lightning.datasets.table.values import BadValueError, DateReader, fitting_formats
from mcmfh_lightning.tables import counted, quoted


def name_persons(columns: Sequence[Column], proposal: Proposal) -> set[str]:
    """Find columns that look like data of persons, which no option may read."""
    found = {
        column.name
        for column in columns
        if column.words & PERSON and not column.words & NOT_A_PERSON and column.name not in ("id", "text", "group")
    }
    if found:
        proposal.odd.append(
            f"columns that look like data of persons are not read: {quoted(sorted(found), 4)}; remove them before the "
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
    return bool(column.words & ID) or any(word.endswith(ID_ENDS) for word in column.words)


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
    short = [column for column in columns if column.words & TEXT and _is_short_text(column)]
    exact = [column for column in columns if column.name == "text" and column in [*prose, *short]]
    named = [column for column in prose if column.words & TEXT]
    likely = exact or named or prose or short
    if len(likely) == 1:
        others = [column.name for column in prose if column not in likely]
        also = f"; {quoted(others, 4)} not" if others else ""
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


_SAMPLE = 200
_SPREADSHEET_DAYS = range(20_000, 80_000)
"""Days from 1954 to 2118, as spreadsheets count them."""


def guess_date(columns: Sequence[Column], proposal: Proposal) -> None:
    """Find the column of dates, and the form of those that are not ISO."""
    likely = [column for column in columns if not column.words & BIRTH and _is_date(column)]
    exact = [column for column in likely if column.name == "date"]
    of_study = [column for column in likely if column.words & {"study", "exam", "acquisition", "image"}]
    if not likely:
        _say_unread(columns, proposal)
        return
    column = (exact or of_study or likely)[0]
    if len(likely) > 1:
        others = [other.name for other in likely if other is not column]
        proposal.odd.append(f"dates are read from {column.name!r}, and not from {quoted(others, 4)}")
    unread = [cell for cell in column.present if not _is_iso(cell)]
    proposal.take(
        "date-column",
        column.name,
        "its values are dates" + (f"; {counted(column.missing, 'row')} without one" if column.missing else ""),
    )
    if unread:
        _guess_form(column, [str(cell) for cell in unread], proposal)


def _is_date(column: Column) -> bool:
    """Say whether a column is called like dates and holds some, or holds nothing but days."""
    sample = column.present[:_SAMPLE]
    if not column.words & DATE:  # a column that is not called so holds nothing but days
        return bool(sample) and all(_is_iso(cell, whole=True) or fitting_formats([str(cell)]) for cell in sample)
    days = [cell for cell in sample if _is_iso(cell, whole=True) or fitting_formats([str(cell)])]
    return 2 * len([cell for cell in sample if cell in days or _is_iso(cell)]) >= max(1, len(sample))


def _is_iso(cell: object, *, whole: bool = False) -> bool:
    """Say whether a value is read without a form; ``whole`` asks for the day too."""
    notes: list[str] = []
    try:
        return DateReader().read(cell, notes.append) is not None and not (whole and notes)
    except BadValueError:
        return False


def _guess_form(column: Column, unread: Sequence[str], proposal: Proposal) -> None:
    fitting = fitting_formats(unread)
    if not fitting:
        _guess_two_forms(column, unread, proposal)
        return
    days = {form: DateReader([form]) for form in fitting}
    meanings = {tuple(reader.read(word, lambda note: None) for word in unread) for reader in days.values()}
    if len(meanings) == 1:
        proposal.take("date-format", [fitting[0]], f"reads {unread[0]!r} and all others")
        return
    answers = [
        Answer("date-format", [form], f"{unread[0]!r} is then {reader.read(unread[0], lambda note: None)}")
        for form, reader in days.items()
    ]
    question = f"the dates of {column.name!r} can be read in {len(fitting)} ways: is the day or the month first?"
    proposal.ask(question, *answers, *_without(column))


def _without(column: Column) -> list[Answer]:
    """Offer to leave the dates out; a column of another name is left out by removing its line."""
    return [Answer("no-column", ["date"], "leave the dates out")] if column.name == "date" else []


def _guess_two_forms(column: Column, unread: Sequence[str], proposal: Proposal) -> None:
    """Say which forms read how many of the dates that no single form reads."""
    forms = {word: fitting_formats([word]) for word in dict.fromkeys(unread)}
    counts: dict[str, int] = {}
    for word in unread:
        for form in forms[word]:
            counts[form] = counts.get(form, 0) + 1
    best = sorted(counts, key=lambda form: -counts[form])[:2]
    rest = [word for word in unread if not set(forms[word]) & set(best)]
    both = [word for word in unread if len(set(forms[word]) & set(best)) > 1]
    shown = " and ".join(f"{counts[form]:,} as {form!r}" for form in best)
    if both and len(best) > 1:
        proposal.ask(
            f"the dates of {column.name!r} are of two orders ({shown}), and {len(both):,} such as {both[0]!r} fit "
            "both; write them as 2011-11-22, or keep those of one order",
            *[Answer("date-format", [form], "the others are left out") for form in best],
            *_without(column),
        )
    elif best and len(rest) <= len(unread) / 2:
        proposal.take("date-format", best, f"{shown}")
        if rest:
            proposal.odd.append(f"{len(rest):,} dates of {column.name!r} cannot be read and are left out: {rest[0]!r}")
    else:
        proposal.odd.append(f"dates of {column.name!r} such as {unread[0]!r} cannot be read and are left out")


def _say_unread(columns: Sequence[Column], proposal: Proposal) -> None:
    for column in columns:
        if not column.words & DATE or column.words & BIRTH or not column.present:
            continue
        numbers = [str(cell).partition(".")[0] for cell in column.present]
        if all(number.isdigit() and int(number) in _SPREADSHEET_DAYS for number in numbers):
            text = "counts days as a spreadsheet does; format the column as dates and export it again"
        else:
            text = f"holds no dates that can be read ({str(column.present[0])[:20]!r})"
        proposal.odd.append(f"{column.name!r} {text}")
