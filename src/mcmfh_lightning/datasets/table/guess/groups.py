"""The column of groups, the split, and dates: what decides whether numbers of a test can be believed."""

from collections.abc import Sequence

from mcmfh_lightning.datasets.table.guess.columns import Answer, Column, Proposal, Words
from mcmfh_lightning.datasets.table.values import is_missing
from mcmfh_lightning.shards.info import Split
from mcmfh_lightning.tables import counted, quoted

_DRAWN = Answer("split-by", "group", "draw new splits instead")
_ABOUT_A_PATIENT = Words.NOT_A_FINDING - Words.ID | {"name", "weight", "size", "position", "orientation", "status"}
"""Words next to that of a patient in names of columns that do not say which one it is, as in ``Patient Age``."""
_QUESTION = "which rows are of one patient? Rows of a patient in two splits raise every number of a test"


def guess_group(columns: Sequence[Column], rows: int, proposal: Proposal) -> Column | None:
    """Find the column of groups, patients before studies. It is never taken where its values do not fit its name."""
    named = [column for column in columns if column.name == "group"]
    held = [column for column in columns if column.present and not column.is_prose]
    patients = [column for column in held if column.words & Words.PATIENT and not column.words & _ABOUT_A_PATIENT]
    studies = [column for column in held if column.words & Words.STUDY]
    likely = named or patients or studies
    column = _coarsest(likely)
    if column is None:
        _ask(likely or [c for c in columns if _may_group(c, rows)], proposal)
        return None
    shown, question = [column], ""
    coarser = [c for c in columns if c not in likely and _may_group(c, rows) and _is_coarser(c, column)]
    cut = [c for c in patients if len(c.counts) > 1 and _divided(c, column)]
    if cut and column not in patients:
        shown = [*cut, *(c for c in coarser if c not in cut), column]
        question = _ask_of_cut(cut[0], column, proposal)
    elif coarser and column not in patients:
        shown = [*coarser, column]
        question = f"rows of several {column.name!r} may be of one patient: which column says so?"
    elif len(column.present) > 1 and len(column.counts) <= (3 if rows >= 30 else 1):
        question = f"the column {column.name!r} has only {column.shows()}: one patient each?"
    elif len(column.counts) == len(column.present) and column not in named and not column.words & Words.PATIENT:
        question = f"{column.name!r} differs in every row: it does not say which rows are of one patient"
    if question:
        _ask(shown, proposal, question)
        return None
    proposal.take("group-column", column.name, f"{column.shows()} stay together when splits are drawn")
    alone = len(column.counts) == len(column.present) > 1
    remarks = {
        f"values of {column.name!r} are kept, and shown by searches; if a hospital gave these numbers, replace them": (
            column.words & Words.PATIENT
        ),
        f"{column.name!r} differs in every row: if a patient has several rows, they may come into two splits": alone,
        f"{column.name!r} keeps studies together, not patients: if a patient has several studies, add a column for the "
        "patient and name it by group-column": column in studies and not (patients or named or alone),
        f"{counted(column.missing, 'row')} without {column.name!r}, of no use until it is filled in": column.missing,
    }
    proposal.odd += [remark for remark, holds in remarks.items() if holds]
    return column


def _ask_of_cut(patient: Column, group: Column, proposal: Proposal) -> str:
    """Return the question about groups that divide patients; say which groups are of several patients."""
    if mixed := _divided(group, patient):
        of = f"{len(mixed):,} of {counted(len(group.counts), 'value')} of {group.name!r}"
        proposal.odd.append(
            f"{of} on rows of several {patient.name!r}, such as {quoted(mixed, 2)}: a mistake, or numbers that begin "
            "again with each patient"
        )
    of = f"{len(_divided(patient, group)):,} of {counted(len(patient.counts), 'value')} of {patient.name!r}"
    return (
        f"{of} have several {group.name!r}, which may come into two splits: which column keeps the rows of a patient "
        "together?"
    )


def _may_group(column: Column, rows: int) -> bool:
    """Decide whether a column may say which rows belong together: not by what is seen in them."""
    seen = Words.LABEL | Words.KIND | Words.NOT_A_FINDING | Words.TEXT | Words.SPLIT
    return 1 < len(column.counts) < rows and not (column.is_prose or column.is_finding or column.words & seen)


def _is_coarser(coarse: Column, fine: Column) -> bool:
    filled = 2 * coarse.missing <= len(coarse.cells)
    return filled and 3 < len(coarse.counts) < len(fine.counts) and not _divided(fine, coarse)


def _coarsest(columns: Sequence[Column]) -> Column | None:
    """Return the column whose groups are made of whole groups of all the others: patients, not their studies."""
    filled = sorted(columns, key=lambda column: column.missing)
    return next((c for c in filled if not any(_divided(other, c) for other in columns if other is not c)), None)


def _divided(column: Column, by: Column) -> list[str]:
    """List the values of a column whose rows have several values of another; a row that lacks either says nothing."""
    found: dict[str, set[str]] = {}
    for value, other in zip(column.cells, by.cells, strict=True):
        if not (is_missing(value) or is_missing(other)):
            found.setdefault(str(value).strip(), set()).add(str(other).strip())
    return [value for value, others in found.items() if len(others) > 1]


def _ask(columns: Sequence[Column], proposal: Proposal, question: str = _QUESTION) -> None:
    shown = sorted(columns, key=lambda column: not column.words & (Words.PATIENT | Words.STUDY))[:4]
    kept = "; these values are kept, and shown by searches"
    answers = [Answer("group-column", c.name, c.shows() + kept * bool(c.words & Words.PERSON)) for c in shown]
    alone = Answer("group-column", proposal.options.get("id-column", "id"), "only if each row is of another patient")
    proposal.ask(question, *answers, alone)


def guess_split(columns: Sequence[Column], proposal: Proposal) -> Column | None:
    """Find the column of splits that the table gives."""
    complete = [
        c for c in columns if len(c.counts) > 1 and all(word.casefold() in Words.SPLIT_NAMES for word in c.counts)
    ]
    if len(complete) > 1 and not any(column.name == "split" for column in complete):
        answers = [Answer("split-column", column.name, column.shows()) for column in complete]
        proposal.ask("several columns name splits", *answers, _DRAWN)
        return None
    for column in sorted(columns, key=lambda column: column.name != "split"):
        spelled = {value: value.casefold() for value in column.counts}
        known = {value: Words.SPLIT_NAMES[word] for value, word in spelled.items() if word in Words.SPLIT_NAMES}
        unclear = [value for value, word in spelled.items() if word in Words.UNCLEAR_SPLITS]
        if len(spelled) <= 6 and spelled and len(known) + len(unclear) == len(spelled) and "train" in known.values():
            return _take_split(column, known, unclear, proposal)
        if column.words & Words.SPLIT and known and len(spelled) <= 10:
            others = [value for value in spelled if value not in known]
            proposal.take("split-column", column.name, f"its name; {column.shows()}")
            proposal.ask(
                f"what are {quoted(others, 4)} of the column {column.name!r}: train, val or test?",
                *[Answer("split-names", [f"{other}={split}"], "") for other in others[:2] for split in ("val", "test")],
                _DRAWN,
            )
            return None
    for column in columns:
        if "fold" in column.words and column.is_numeric:
            proposal.odd.append(
                f"{column.name!r} has numbers of folds and is not read; write train, val, test to use it"
            )
        elif column.name == "split":
            proposal.take("split-by", "group", f"the column 'split' says {quoted(column.counts, 2)}: not read")
    return None


def _take_split(column: Column, known: dict[str, Split], unclear: Sequence[str], proposal: Proposal) -> Column | None:
    proposal.take("split-column", column.name, ", ".join(f"{n:,} {value}" for value, n in column.counts.most_common()))
    names = [f"{value}={split}" for value, split in known.items() if value != split]
    if unclear:
        proposal.ask(
            f"is {unclear[0]!r} of the column {column.name!r} the validation or the test?",
            *[Answer("split-names", [*names, f"{unclear[0]}={split}"], split) for split in ("val", "test")],
            _DRAWN,
        )
        return None
    proposal.take("split-by", "given", "the table says which row is in which split")
    if names:
        proposal.take("split-names", names, "other names of splits")
    for split, lack in (("val", "`fit` cannot choose the best epoch"), ("test", "`test` has nothing to measure")):
        if split not in known.values():
            proposal.odd.append(f"no row of the column {column.name!r} is in {split}: {lack}")
    if column.missing:
        proposal.odd.append(f"{counted(column.missing, 'row')} without a split in the column {column.name!r}")
    return column


def check_leak(given: Column | None, group: Column | None, proposal: Proposal) -> None:
    """Ask what to do where the splits that a table gives cut a patient; draw splits by group where none are given."""
    asked = any("split-by" in choice.options for choice in proposal.choices)
    if given is None and not asked and "split-by" not in proposal.options:
        proposal.take("split-by", "group", "80/10/10 per cent, drawn by group: the table has no splits")
    if given is None or group is None:
        return
    if cut := _divided(group, given):
        del proposal.options["split-by"], proposal.reasons["split-by"]
        proposal.options.pop("split-names", None)
        text = (
            f"{len(cut):,} of {len(group.counts):,} values of {group.name!r} are in two given splits: {quoted(cut, 2)}"
        )
        proposal.ask(
            f"{text}. That is a leak",
            Answer("split-by", "group", "draw new splits, each group whole"),
            Answer("split-by", "given", "once the table is corrected"),
        )
