"""Columns of ids, dates, sources and licenses, and those that look like data of persons.

Whether the day or the month of a date comes first is not guessed.
"""

from collections import Counter
from collections.abc import Sequence

from mcmfh_lightning.datasets.table.guess.columns import Answer, Column, Proposal, Words
from mcmfh_lightning.datasets.table.values import BadValueError, DateReader, fitting_formats
from mcmfh_lightning.tables import counted, quoted


def name_persons(columns: Sequence[Column]) -> set[str]:
    """Find columns that look like data of persons, which no option may read but that of groups.

    Values decide before names: splits and image files are found in a column ``name`` too.
    """
    person = [c for c in columns if c.is_of_persons and not (c.names_splits or c.names_images)]
    return {column.name for column in person} - {"id", "text", "group"}


def say_persons(found: set[str], proposal: Proposal) -> None:
    """Say first which columns of persons are not read: neither proposed nor offered as groups."""
    offered = {
        answer.value for choice in proposal.choices for answer in choice.answers if isinstance(answer.value, str)
    }
    if unread := sorted(found - proposal.used - offered):
        proposal.odd.insert(
            0,
            f"columns that look like data of persons are not read: {quoted(unread, 4)}; remove them before the table "
            "is passed on",
        )


def guess_id(columns: Sequence[Column], image: str | None, proposal: Proposal) -> None:
    """Find the column of ids: of that name, unique by name and content, or else the column of images."""
    named = next((column for column in columns if column.name.casefold() == "id"), None)
    unique = [column for column in columns if _is_id(column)]
    if named is not None and (named in unique or _is_nearly_unique(named)):
        _take_id(named, "its name", proposal)
        return
    if named is not None:
        proposal.odd.append(f"the column {named.name!r} has {named.shows()}: it does not tell rows apart")
    called = [column for column in columns if _is_called_id(column) and not column.is_prose]
    by_name = [column for column in called if column in unique]
    if len(by_name) > 1 and (of_image := [column for column in by_name if column.words & {"image", "img", "sop"}]):
        by_name = of_image
    if likely := by_name or [column for column in unique if column.name == image]:
        _take_id(likely[0], "different in every row", proposal)
    elif nearly := [column for column in called if _is_nearly_unique(column)]:
        _take_id(nearly[0], "its name", proposal)
    else:
        likely = [column for column in unique if not column.is_prose][:4]
        answers = [Answer("id-column", column.name, "different in every row") for column in likely]
        proposal.ask("no column is known to hold the id of each row", *answers, options=("id-column",))


def _is_nearly_unique(column: Column) -> bool:
    return len(column.counts) >= 0.95 * len(column.cells)


def _is_called_id(column: Column) -> bool:
    """Say whether the name of a column is a word for an id."""
    return bool(column.words & Words.ID) or any(word.endswith(Words.ID_ENDS) for word in column.words)


def _is_id(column: Column) -> bool:
    unique = 0 < len(column.counts) == len(column.cells)
    return unique and all(isinstance(cell, str | int) and len(str(cell)) <= 200 for cell in column.cells)


def _take_id(column: Column, reason: str, proposal: Proposal) -> None:
    proposal.take("id-column", column.name, reason)
    if twice := [value for value, times in column.counts.items() if times > 1]:
        proposal.odd.append(
            f"{counted(len(twice), 'id')} of the column {column.name!r} on several rows: {quoted(twice, 3)}"
        )
    if column.missing:
        proposal.odd.append(f"{counted(column.missing, 'row')} without an id in the column {column.name!r}")


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
    likely = [column for column in columns if not column.words & Words.BIRTH and _is_date(column)]
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
    without = f"; {counted(column.missing, 'row')} without one" if column.missing else ""
    proposal.take("date-column", column.name, f"its values are dates{without}")
    if unread:
        _guess_form(column, [str(cell) for cell in unread], proposal)


def _is_date(column: Column) -> bool:
    """Say whether a column is called like dates and holds some, or holds nothing but days."""
    sample = column.present[:_SAMPLE]
    days = [cell for cell in sample if _is_iso(cell, whole=True) or fitting_formats([str(cell)])]
    if not column.words & Words.DATE:
        return bool(sample) and days == sample
    return 2 * sum(cell in days or _is_iso(cell) for cell in sample) >= max(1, len(sample))


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
    readers = {form: DateReader([form]) for form in fitting}
    days = {form: [reader.read(word, lambda note: None) for word in unread] for form, reader in readers.items()}
    if len(set(map(tuple, days.values()))) == 1:
        proposal.take("date-format", [fitting[0]], f"reads {unread[0]!r} and all others")
        return
    proposal.ask(
        f"the dates of {column.name!r} can be read in {len(fitting)} ways: is the day or the month first?",
        *[Answer("date-format", [form], f"{unread[0]!r} is then {read[0]}") for form, read in days.items()],
        *_without(column),
    )


def _without(column: Column) -> list[Answer]:
    """Offer to leave the dates out; a column of another name is left out by removing its line."""
    return [Answer("no-column", ["date"], "leave the dates out")] if column.name == "date" else []


def _guess_two_forms(column: Column, unread: Sequence[str], proposal: Proposal) -> None:
    """Say which forms read how many of the dates that no single form reads."""
    forms = {word: fitting_formats([word]) for word in dict.fromkeys(unread)}
    counts = Counter(form for word in unread for form in forms[word])
    best = [form for form, _ in counts.most_common(2)]
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
        proposal.take("date-format", best, shown)
        if rest:
            proposal.odd.append(f"{len(rest):,} dates of {column.name!r} cannot be read and are left out: {rest[0]!r}")
    else:
        proposal.odd.append(f"dates of {column.name!r} such as {unread[0]!r} cannot be read and are left out")


def _say_unread(columns: Sequence[Column], proposal: Proposal) -> None:
    for column in columns:
        if not column.words & Words.DATE or column.words & Words.BIRTH or not column.present:
            continue
        numbers = [str(cell).partition(".")[0] for cell in column.present]
        if all(number.isdigit() and int(number) in _SPREADSHEET_DAYS for number in numbers):
            text = "counts days as a spreadsheet does; format the column as dates and export it again"
        else:
            text = f"holds no dates that can be read ({str(column.present[0])[:20]!r})"
        proposal.odd.append(f"{column.name!r} {text}")
