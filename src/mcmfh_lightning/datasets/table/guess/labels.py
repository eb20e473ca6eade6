"""Columns of labels, what separates them, and the words for normal."""

import re
from collections import Counter
from collections.abc import Sequence

from mcmfh_lightning.datasets.table.guess.columns import Answer, Column, Proposal, Words
from mcmfh_lightning.datasets.table.label_hints import near_labels
from mcmfh_lightning.datasets.table.labels import LabelRules, read_state
from mcmfh_lightning.datasets.table.values import BadValueError, is_missing
from mcmfh_lightning.tables import counted, quoted

_SEPARATORS = (";", "|", "\t", "\uff1b", "\u3001", "\uff0c", " / ", "+", "&")
_NUMBERED = frozenset(("label", "labels", "class", "classes", "target"))
_NORMAL = "words that say that nothing was found; all become the first"
_NO_NORMAL = (
    "no label is known to say that nothing was found; if one does, name it by normal-label: the first table of a test "
    "leaves out the queries that have it"
)
_COLUMNS = ("labels-column", "label-columns")
_NO_LABELS = Answer("no-labels", value=True, meaning="train on pairs alone (--model.supervision pairs)")


def guess_labels(columns: Sequence[Column], proposal: Proposal) -> None:
    """Find the columns of labels: one of words, several of 1, 0 and -1, or several of words."""
    findings = [c for c in columns if c.is_finding and not c.words & (Words.NOT_A_FINDING | _NUMBERED)]
    words = [c for c in columns if c.words & Words.LABEL and _holds_labels(c)]
    exact = next((column for column in words if column.name == "labels"), None)
    numbers = [c for c in columns if c.words & _NUMBERED and c.is_numeric]
    empty = [column for column in columns if column.name == "labels" and not column.present]
    if empty and not findings:
        proposal.ask("no row has a label", _NO_LABELS, options=_COLUMNS)
    elif exact is not None or (len(words) == 1 and not findings):
        _take_words(exact or words[0], proposal)
        _name_more_columns(exact or words[0], columns, proposal)
    elif findings and words:
        _ask(proposal, words, findings)
    elif findings:
        _take_findings(columns, findings, proposal)
    elif numbers:
        shown = quoted(sorted(numbers[0].counts)[:3])
        question = f"{numbers[0].name!r} holds numbers ({shown}) in place of labels; write words, such as 'class 3'"
        proposal.ask(question, _NO_LABELS, options=_COLUMNS)
    elif words:
        _take_several(words, proposal)
    elif kinds := [c for c in columns if c.words & Words.KIND and c.is_categories and len(c.counts) > 1]:
        _take_several(kinds, proposal)
        proposal.odd.append("labels say what a picture shows and how it was made, and not what was found")
    else:
        _ask(proposal, [c for c in columns if c.is_categories and len(c.counts) > 1], ())


def _holds_labels(column: Column) -> bool:
    """Say whether a column holds labels: categories, lists, or parts that come again where a separator stands."""
    if not column.present or column.is_numeric:
        return False
    if column.is_categories or column.name == "labels" or any(map(_is_printed, column.counts)):
        return True
    if not (signs := _separators(column)):
        return column.words_a_cell < 3
    sign = max(signs, key=lambda sign: signs[sign])
    parts = Counter(part.strip() for cell in column.counts for part in cell.split(sign))
    return 2 * sum(times for times in parts.values() if times > 1) >= parts.total()


def _separators(column: Column) -> Counter[str]:
    """Count the cells that hold what may separate labels."""
    cells = [cell for cell in column.present if isinstance(cell, str) and not _is_printed(cell)]
    return Counter(sign for cell in cells for sign in _SEPARATORS if sign in cell.strip())


def _is_printed(cell: str) -> bool:
    return cell.strip()[:1] in ("[", "(", "{")


def _ask(proposal: Proposal, words: Sequence[Column], findings: Sequence[Column]) -> None:
    """Leave the choice of the labels to the owner."""
    answers = [Answer("labels-column", column.name, column.shows()) for column in words[:3]]
    if findings:
        answers.append(Answer("label-columns", [column.name for column in findings], "columns of 1 and 0"))
    question = "which columns hold the labels?" if answers else "no column holds labels."
    question += " Items are relevant to each other where they share one"
    proposal.ask(question, *answers, _NO_LABELS, options=_COLUMNS)


def _take_findings(columns: Sequence[Column], findings: Sequence[Column], proposal: Proposal) -> None:
    """Take columns of 1 and 0, and the empty ones between and next to them."""
    empty = [c for c in columns if not c.present and not c.words & Words.NOT_A_FINDING]
    at = [columns.index(column) for column in findings]
    first, last = at[0], at[-1]
    while last + 1 < len(columns) and columns[last + 1] in empty:
        last += 1
    while first > 0 and columns[first - 1] in empty:
        first -= 1
    taken = [column for column in columns[first : last + 1] if column in findings or column in empty]
    proposal.take("label-columns", [column.name for column in taken], "they hold 1, 0, -1 or nothing")
    if uncertain := sum(read_state(cell) == -1 for column in taken for cell in column.present):
        proposal.odd.append(
            f"{counted(uncertain, 'uncertain finding')} (-1) counted as absent; uncertain-is-present changes it"
        )
    if others := [column.name for column in columns if column.is_finding and column not in taken]:
        proposal.odd.append(f"columns of 1 and 0 that are not taken for findings: {quoted(others, 4)}")
    present = {column.name for column in taken if any(read_state(cell) == 1 for cell in column.present)}
    _name_normal(dict.fromkeys(present, 1), proposal)


def _take_several(columns: Sequence[Column], proposal: Proposal) -> None:
    proposal.take("label-columns", [column.name for column in columns], "each holds words")
    proposal.take("prefix-labels", value=True, reason="a label names its column: a word of two columns is two labels")
    labels: Counter[tuple[str, str]] = Counter()
    for column in columns:
        counts = _count(column, _separator(column, proposal))
        labels += Counter({(column.name, label): count for label, count in counts.items()})
    normal = set(near_labels(["normal"], [label for _, label in labels]))
    names = [f"{column}: {label}" for (column, label), _ in labels.most_common() if label in normal]
    if names:
        proposal.take("normal-label", names, _NORMAL)
    elif labels:
        proposal.odd.append(_NO_NORMAL)


def _take_words(column: Column, proposal: Proposal) -> None:
    proposal.take("labels-column", column.name, column.shows())
    labels = _count(column, _separator(column, proposal))
    if len(column.counts) == 1 and len(column.present) > 1:
        proposal.odd.append(
            f"{column.name!r} says {next(iter(column.counts))!r} alone: all rows are relevant to each other"
        )
    if column.missing:
        proposal.odd.append(f"{counted(column.missing, 'row')} without a label in {column.name!r}")
    _name_normal(labels, proposal)


def _separator(column: Column, proposal: Proposal) -> str:
    """Find what separates labels; ``;`` unless the cells say otherwise."""
    counts = _separators(column)
    best = max(counts, key=lambda sign: counts[sign], default=None)
    strong = [sign for sign in counts if sign not in ("+", "&", " / ")]
    if len(strong) > 1:
        answers = [Answer("label-separator", sign, f"in {counts[sign]:,} cells") for sign in strong]
        proposal.ask(f"labels of {column.name!r} hold several separators; write one in all rows", *answers)
        return strong[0]
    best = strong[0] if strong else best
    if best is None and any(isinstance(cell, str) and "," in cell for cell in column.present):
        return _comma(column, proposal)
    if best is None or best == ";":
        return ";"
    proposal.take("label-separator", best, f"stands in {counts[best]:,} cells of {column.name!r}")
    return best


def _comma(column: Column, proposal: Proposal) -> str:
    """Take the comma if the parts that it makes come again in other cells, and ask if not."""
    cells = [cell for cell in column.counts if not _is_printed(cell)]
    if not (held := [cell for cell in cells if "," in cell]):
        return ";"
    parts = Counter(part.strip() for cell in cells for part in cell.split(","))
    again = [part for cell in held for part in cell.split(",") if parts[part.strip()] > 1]
    total = sum(cell.count(",") + 1 for cell in held)
    if 2 * len(again) >= total:
        proposal.take("label-separator", ",", f"the parts of {held[0]!r} come again in other cells")
        return ","
    proposal.ask(
        f"does the comma separate labels of {column.name!r}, as in {held[0]!r}?",
        Answer("label-separator", ",", "yes"),
        Answer("label-separator", ";", "no, it is a part of a label"),
    )
    return ";"


def _count(column: Column, separator: str) -> Counter[str]:
    """Count the labels of a column; cells that cannot be read have none."""
    rules, labels = LabelRules(separator=separator), Counter[str]()
    for value, times in column.counts.items():
        try:
            found = rules.read({column.name: value}, lambda note: None)
        except BadValueError:
            continue
        labels.update(dict.fromkeys(found, times))
    return labels


def _name_more_columns(taken: Column, columns: Sequence[Column], proposal: Proposal) -> None:
    """Say which other columns hold the same labels, and how to read them too."""
    known = _parts(taken)
    more = [
        c for c in columns if c is not taken and len(both := known & _parts(c)) > 1 and 2 * len(both) >= len(_parts(c))
    ]
    if more:
        names = ", ".join(f'"{column.name}"' for column in (taken, *more))
        others = quoted((column.name for column in more), 4)
        proposal.odd.append(
            f"{others} has labels of {taken.name!r} and is not read; to read all of them, replace labels-column by "
            f"label-columns = [{names}]"
        )


def _parts(column: Column) -> set[str]:
    """Return what a column may hold as labels, whatever separates them."""
    return {part.strip() for cell in column.counts for part in re.split("[;|,\t]", cell)} - {""}


def _name_normal(labels: Counter[str] | dict[str, int], proposal: Proposal) -> None:
    names = near_labels(["normal"], labels)
    names.sort(key=lambda name: (name != "normal", -labels[name]))
    if names and names != ["normal"]:
        proposal.take("normal-label", names, _NORMAL)
    elif labels and not names:
        proposal.odd.append(_NO_NORMAL)
    if numbers := [label for label in labels if read_state(label) is not None and not is_missing(label)]:
        proposal.odd.append(f"labels that are numbers: {quoted(numbers, 4)}; write words, such as 'class 1'")
