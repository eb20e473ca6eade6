"""What the labels of all rows together mean, and what may be wrong with them."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from itertools import chain
from pathlib import Path
from shlex import quote

from mcmfh_lightning.datasets.table.files import Table, is_encoded
from mcmfh_lightning.datasets.table.labels import LabelRules, is_numeric, read_state, says_whether
from mcmfh_lightning.datasets.table.rows import Manifest, Reading
from mcmfh_lightning.datasets.table.values import is_missing, shortened
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.nearest import nearest
from mcmfh_lightning.tables import counted, quoted

NORMAL_WITH_OTHERS = "the normal label together with another label"
STATE = "a label that is 1, 0, -1, true or false"
SPELLED_ALIKE = "a label that another label equals up to case, blanks, - and _"
LIKE_NORMAL = "a label that may be another name of the normal label"
_EXAMPLES = 5

_NORMAL = re.compile(
    r"normal(findings?|study|exam|chest(xray)?)?|withinnormallimits|wnl|healthy|unremarkable"
    r"|no(acute|significant|abnormal)*(findings?|disease|pathology|abnormalit(y|ies))(found|seen|detected)?"
    r"|normalbefund|unauffällig(erbefund)?|(ohne|kein)(pathologischen?r?)?befund|o\.b\.?"
    r"|sin(hallazgos|alteraciones)(patológicos|significativos|significativas)?|dentrodelímitesnormales"
)
"""Words for normal, without blanks and hyphens: English, German, Spanish."""


def _key(label: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKC", label).casefold() if not c.isspace() and c not in "-_")


def _like_normal(label: str) -> bool:
    key = _key(label.rpartition(": ")[2])  # behind the name of its column
    # As close as a lost letter; "abnormal" is not.
    typo = not key.startswith("ab") and get_close_matches(key, ("normal", "nofinding"), n=1, cutoff=0.9)
    return bool(_NORMAL.fullmatch(key) or typo)


def label_rules(path: Path, table: Table, reading: Reading) -> LabelRules:
    """Decide which columns of labels say whether one finding is there, and refuse those that hold other numbers."""
    findings = set()
    several = bool(reading.label_columns)
    for column in reading.columns_of_labels:
        cells = table.cells(column)
        is_finding = says_whether(cells, one_of_several=several)
        if is_finding and several:
            findings.add(column)
        elif reading.prefix_labels or reading.label_prefixes.get(column):
            continue  # "grade: 3" is a label
        elif is_numeric(cells) or (is_finding and not all(map(is_missing, cells))):
            row, cell = next((row, cell) for row, cell in zip(table.rows, cells, strict=True) if not is_missing(cell))
            raise DataError(
                f"{path}, column {column!r}: numbers, or yes and no, in place of labels ({shortened(cell)} in row "
                f"{row.number}); if 1, 0 and -1 say whether a finding is there pass --label-columns with each "
                "such column, else write words, such as 'class 3', or let a word precede them: "
                f"--label-columns {quote(f'{column}=class')}"
            )
    words = dict.fromkeys((column for column in reading.label_columns if column not in findings), "")
    if reading.prefix_labels:
        words = {column: column for column in words}
    return LabelRules(
        reading.label_separator,
        frozenset(findings),
        reading.uncertain_is_present,
        reading.normal_labels,
        {**words, **reading.label_prefixes},
    )


def look_at_labels(manifest: Manifest, table: Table, rules: LabelRules) -> list[str]:
    """Find what may be wrong with the labels of all rows.

    Args:
        manifest: Takes traits.
        table: Its rows.
        rules: How they were read.

    Returns:
        Hints.

    Raises:
        DataError: If no row has a label, or none has one that was named as the normal label.
    """
    reading = manifest.reading
    labels = {row: candidate.labels for row, candidate in manifest.candidates.items()}
    if labels and not manifest.problems:  # otherwise the bad rows come first
        require_labels(manifest)
    traits, hints = label_traits(labels, reading.normal_label)
    for row, held in traits.items():
        manifest.traits.setdefault(row, []).extend(held)
    words: dict[str, Sequence[object]] = {
        column: table.cells(column) for column in reading.columns_of_labels if column not in rules.findings
    }
    bare = {column: cells for column, cells in words.items() if not rules.prefixes.get(column)}
    more = (shared_words(bare), separator_hint(words, rules), few_words(bare) if reading.label_columns else None)
    return [*hints, *filter(None, more)]


def require_labels(manifest: Manifest) -> None:
    """Refuse a table whose rows have no label, or not the one that was named as the normal label.

    Raises:
        DataError: If it is one.
    """
    reading = manifest.reading
    columns = quoted(reading.columns_of_labels)
    labels = {label for candidate in manifest.candidates.values() for label in candidate.labels}
    if not labels:
        raise DataError(
            f"{manifest.path}: no row has a label in {columns}; fill it in, read others by --labels-column or "
            "--label-columns, or pass --no-labels to train with --model.supervision pairs (no item is then relevant to "
            "another, and mAP is undefined)"
        )
    if reading.normal_labels and reading.normal_label not in labels:
        near = near_labels(reading.normal_labels, labels) or nearest(reading.normal_label, labels, 1)
        there = f", there is {quoted(near)}" if near else ""
        names = " or ".join(map(repr, reading.normal_labels))
        fix = "correct --normal-label"
        foreign = {_ascii_of(name) for name in reading.normal_labels if not name.isascii()}
        if is_encoded(manifest.path, reading.encoding) and foreign.intersection(map(_ascii_of, near)):
            fix = f"if its letters are wrong, correct --encoding {reading.encoding}, else --normal-label"
        raise DataError(f"{manifest.path}: no row has the label {names} in {columns}{there}; {fix}")


def label_traits(labels: Mapping[int, Sequence[str]], normal: str) -> tuple[dict[int, list[str]], list[str]]:
    """Look for labels that may not mean what they seem to.

    Args:
        labels: Labels of each row, by its number.
        normal: The normal label.

    Returns:
        The traits of each row that has one, for the summary, and hints.
    """
    counts = Counter(label for row in labels.values() for label in row)
    spellings: dict[str, list[str]] = {}
    for label in sorted(counts):
        spellings.setdefault(_key(label), []).append(label)
    alike = [same for same in spellings.values() if len(same) > 1]
    normals = sorted(label for label in counts if label != normal and _like_normal(label))
    findings = [same for same in alike if not {normal, *normals}.issuperset(same)]  # for normals there is an option
    states = sorted(label for label in counts if read_state(label) is not None)
    marked = {SPELLED_ALIKE: set(chain(*alike)), LIKE_NORMAL: set(normals), STATE: set(states)}
    traits: dict[int, list[str]] = {}
    for row, names in labels.items():
        held = [trait for trait, some in marked.items() if not some.isdisjoint(names)]
        held += [NORMAL_WITH_OTHERS] if normal in names and len(names) > 1 else []
        if held:
            traits[row] = held
    hints = [
        f"labels {_each(same, counts)} differ by case, blanks, - or _ only and count as different; write them alike"
        for same in findings[:_EXAMPLES]
    ]
    if len(findings) > _EXAMPLES:
        hints.append(f"... and {len(findings) - _EXAMPLES:,} more labels are spelled in several ways")
    if normals:
        names = " ".join(f"--normal-label {quote(label)}" for label in ([normal] if normal in counts else []) + normals)
        may = f"{_each(normals, counts)} may name the normal label; for now only {normal!r} does."
        hints.append(f"{may} If they do, pass {names}")
    if states:
        hints.append(
            f"labels {_each(states[:_EXAMPLES], counts)} say that something is there, and not what; write words, "
            "such as 'class 1', or pass --label-columns with columns of one finding each"
        )
    if mixed := [row for row, held in traits.items() if NORMAL_WITH_OTHERS in held]:
        hints.append(
            f"{counted(len(mixed), 'row has', 'rows have')} the normal label {normal!r} together with another, the "
            f"first is row {min(mixed)}; correct this, or leave it so if the normal label does not rule out the others"
        )
    return traits, hints


def _each(labels: Iterable[str], counts: Mapping[str, int]) -> str:
    return ", ".join(f"{label!r} (on {counts[label]:,})" for label in labels)


def near_labels(names: Iterable[str], labels: Iterable[str]) -> list[str]:
    """Return the labels that are, or may be meant by, names of the normal label that no row has."""
    keys = {_key(name) for name in names} | {_ascii_of(name) for name in names if not name.isascii()}
    return sorted({label for label in labels if keys & {_key(label), _ascii_of(label)} or _like_normal(label)})


def _ascii_of(label: str) -> str:
    """Return the letters that every encoding of a table keeps, with one mark for those between them."""
    return re.sub(r"[^\x00-\x7f]+", "\0", label)


def shared_words(by_column: Mapping[str, Sequence[object]]) -> str | None:
    """Find a word that several columns of labels have: ``mild`` of two findings would be one label.

    Args:
        by_column: The values of each column.
    """
    first: dict[str, str] = {}
    for column, cells in by_column.items():
        for word in sorted({cell.strip() for cell in cells if isinstance(cell, str) and any(map(str.isalpha, cell))}):
            if not is_missing(word) and first.setdefault(word, column) != column:
                return (
                    f"{word!r} stands in the columns {first[word]!r} and {column!r} and is one label; if it says "
                    f"something else in each, pass --label-columns {quote(f'{column}=PREFIX')}, which puts a word of "
                    "yours before the labels of a column"
                )
    return None


def few_words(by_column: Mapping[str, Sequence[object]]) -> str | None:
    """Find a column of words that may say whether one finding is there, in words that are not known here.

    Args:
        by_column: The values of each column.
    """
    for column, cells in by_column.items():
        counts = Counter(str(cell).strip() for cell in cells if not is_missing(cell))
        if len(counts) <= 3 < counts.total():
            return (
                f"the column {column!r} holds {_each(sorted(counts), counts)} and nothing else, each of which is a "
                "label; if they say whether the finding is there, write 1 and 0"
            )
    return None


def separator_hint(by_column: Mapping[str, Sequence[object]], rules: LabelRules) -> str | None:
    """Find what may separate labels in cells that are not split there.

    Args:
        by_column: The values of each column of words.
        rules: How labels are read.
    """
    others = Counter(other for cell in chain(*by_column.values()) if (other := rules.other_separator(cell)))
    for other, count in others.most_common(1):
        held = counted(count, f"cell of labels holds {other!r} and is", f"cells of labels hold {other!r} and are")
        return (
            f"{held} not split there; if that separates labels pass "
            f"--label-separator {other!r}, and write one separator in all rows"
        )
    return None
