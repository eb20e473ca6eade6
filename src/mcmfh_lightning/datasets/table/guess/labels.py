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
_LONGEST = 40
"""Most letters of a label that a search is proposed for."""
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
        _ask(proposal, [c for c in columns if len(c.counts) > 1 and (c.is_categories or _is_list(c))], ())


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


def _is_list(column: Column) -> bool:
    """Say whether separators stand in a column, between parts that come again."""
    return bool(_separators(column)) and _holds_labels(column)


def _separators(column: Column) -> Counter[str]:
    """Count the cells that hold what may separate labels."""
    cells = [cell for cell in column.present if isinstance(cell, str) and not _is_printed(cell)]
    return Counter(sign for cell in cells for sign in _SEPARATORS if sign in cell.strip())


def _is_printed(cell: str) -> bool:
    return cell.strip()[:1] in ("[", "(", "{")


def _ask(proposal: Proposal, words: Sequence[Column], findings: Sequence[Column]) -> None:
    """Leave the choice of the labels to the owner; of several columns of words, all may be read."""
    answers = [Answer("labels-column", column.name, column.shows()) for column in words[:3]]
    shared = next((some for column in words if len(some := _with_labels_of(column, words)) > 1), [])
    several = shared or words[:3]
    if len(several) > 1:
        names = [column.name for column in several]
        all_of_them = Answer("label-columns", names, "reads all of them; with one alone, labels of the others are lost")
        answers.insert(0 if shared or len(words) == 2 else len(answers), all_of_them)
    tried = Proposal()
    _look_at(_count_all(several, tried), tried)
    proposal.search = tried.search
    also = [
        Answer(name, tried.options[name], f"remove this # too: {tried.reasons[name]}")
        for name in ("label-separator", "normal-label")
        if name in tried.options
    ]
    if findings:
        answers.append(Answer("label-columns", [column.name for column in findings], "columns of 1 and 0"))
    question = "which columns hold the labels?" if answers else "no column holds labels."
    question += " Items are relevant to each other where they share one"
    proposal.ask(question, *answers, _NO_LABELS, options=_COLUMNS, also=tuple(also))


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
    present = Counter({column.name: sum(read_state(cell) == 1 for cell in column.present) for column in taken})
    _look_at(+present, proposal)


def _take_several(columns: Sequence[Column], proposal: Proposal) -> None:
    """Take several columns of words: with their names before the labels, unless all have the same labels."""
    proposal.take("label-columns", [column.name for column in columns], "each holds words")
    prefix = len(_with_labels_of(columns[0], columns)) < len(columns)
    if prefix:
        proposal.take(
            "prefix-labels", value=True, reason="a label names its column: a word of two columns is two labels"
        )
    _look_at(_count_all(columns, proposal, prefix=prefix), proposal)


def _count_all(columns: Sequence[Column], proposal: Proposal, *, prefix: bool = False) -> Counter[str]:
    """Count the labels of several columns, with their names before them or not."""
    labels = Counter[str]()
    for column in columns:
        for label, count in _count(column, _separator(column, proposal)).items():
            labels[f"{column.name}: {label}" if prefix else label] += count
    return labels


def _take_words(column: Column, proposal: Proposal) -> None:
    proposal.take("labels-column", column.name, column.shows())
    labels = _count(column, _separator(column, proposal))
    if len(column.counts) == 1 and len(column.present) > 1:
        proposal.odd.append(
            f"{column.name!r} says {next(iter(column.counts))!r} alone: all rows are relevant to each other"
        )
    if column.missing:
        proposal.odd.append(f"{counted(column.missing, 'row')} without a label in {column.name!r}")
    _look_at(labels, proposal)


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
    taken, *more = _with_labels_of(taken, columns)
    if more:
        names = ", ".join(f'"{column.name}"' for column in (taken, *more))
        others = quoted((column.name for column in more), 4)
        proposal.odd.append(
            f"{others} has labels of {taken.name!r} and is not read; to read all of them, replace labels-column by "
            f"label-columns = [{names}]"
        )


def _with_labels_of(first: Column, columns: Sequence[Column]) -> list[Column]:
    """Return a column of labels, and the columns with the same labels: several, and half of what they hold."""
    known = {column.name: _parts(column) for column in columns}
    both = {name: parts & known[first.name] for name, parts in known.items()}
    same = [c for c in columns if c is not first and 1 < len(both[c.name]) >= len(known[c.name]) / 2]
    return [first, *same]


def _parts(column: Column) -> set[str]:
    """Return what a column may hold as labels, whatever separates them."""
    return {part.strip() for cell in column.counts for part in re.split("[;|,\t]", cell)} - {""}


def _look_at(labels: Counter[str], proposal: Proposal) -> None:
    """Name the normal label, say what is odd about the labels, and take a frequent one to search for."""
    names = near_labels(["normal"], labels)
    names.sort(key=lambda name: (name != "normal", -labels[name]))
    if names and names != ["normal"]:
        proposal.take("normal-label", names, _NORMAL)
    elif labels and not names:
        proposal.odd.append(_NO_NORMAL)
    if numbers := [label for label in labels if read_state(label) is not None and not is_missing(label)]:
        proposal.odd.append(f"labels that are numbers: {quoted(numbers, 4)}; write words, such as 'class 1'")
    words = [label.rpartition(": ")[2] for label, _ in labels.most_common() if label not in names]
    proposal.search = next((word for word in words if len(word) <= _LONGEST and any(map(str.isalpha, word))), "")
