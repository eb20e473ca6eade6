"""The column of dates and their form; day and month are not guessed."""

from collections.abc import Sequence

from mcmfh_lightning.datasets.table.guess import vocabulary
from mcmfh_lightning.datasets.table.guess.columns import Column, quoted
from mcmfh_lightning.datasets.table.guess.proposal import Answer, Proposal
from mcmfh_lightning.datasets.table.values import BadValueError, DateReader, fitting_formats
from mcmfh_lightning.tables import counted

_SAMPLE = 200
_SPREADSHEET_DAYS = range(20_000, 80_000)
"""Days from 1954 to 2118, as spreadsheets count them."""


def guess_date(columns: Sequence[Column], proposal: Proposal) -> None:
    """Find the column of dates, and the form of those that are not ISO."""
    likely = [column for column in columns if not column.words & vocabulary.BIRTH and _is_date(column)]
    exact = [column for column in likely if column.name == "date"]
    of_study = [column for column in likely if column.words & {"study", "exam", "acquisition", "image"}]
    if not likely:
        _say_unread(columns, proposal)
        return
    column = (exact or of_study or likely)[0]
    if len(likely) > 1:
        others = [other.name for other in likely if other is not column]
        proposal.odd.append(f"dates are read from {column.name!r}, and not from {quoted(others)}")
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
    if not column.words & vocabulary.DATE:  # a column that is not called so holds nothing but days
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
        if not column.words & vocabulary.DATE or column.words & vocabulary.BIRTH or not column.present:
            continue
        numbers = [str(cell).partition(".")[0] for cell in column.present]
        if all(number.isdigit() and int(number) in _SPREADSHEET_DAYS for number in numbers):
            text = "counts days as a spreadsheet does; format the column as dates and export it again"
        else:
            text = f"holds no dates that can be read ({str(column.present[0])[:20]!r})"
        proposal.odd.append(f"{column.name!r} {text}")
