"""Manifests, tables of a user's own collection: reading of all rows, and what may be wrong with them together."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from itertools import chain
from pathlib import Path

from rich.console import Console
from rich.progress import track

from mcmfh_lightning.datasets.collection import Unusable, check_images
from mcmfh_lightning.datasets.table.files import Problem, Table, check_columns, read_table
from mcmfh_lightning.datasets.table.labels import LabelRules, is_numeric, read_state, says_whether
from mcmfh_lightning.datasets.table.rows import Manifest, Reading, RowReader
from mcmfh_lightning.datasets.table.values import DateReader, date_hint, is_missing, shortened
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.images.png import ValueRange
from mcmfh_lightning.images.unusable import FIXES

NORMAL_WITH_OTHERS = "the normal label together with another label"
STATE = "a label that is 1, 0, -1, true or false"
SPELLED_ALIKE = "a label that another label equals up to case, blanks, - and _"
LIKE_NORMAL = "a label that may be another name of the normal label"
_EXAMPLES = 5

_NORMAL = re.compile(
    r"normal(findings?|study|exam|chest(xray)?)?|withinnormallimits|wnl|healthy|unremarkable"
    r"|no(acute|significant|abnormal)*(findings?|disease|pathology|abnormalit(y|ies))(found|seen|detected)?"
)


def read_manifest(path: Path, images: Path, reading: Reading) -> Manifest:
    """Read every row, and find all that is wrong with it short of decoding its image.

    Args:
        path: ``.csv``, ``.jsonl`` or ``.parquet``.
        images: The folder below which all images are.
        reading: Names of columns and so on.

    Raises:
        DataError: If the file cannot be read as a whole, its labels are numbers, or no row has a label. What is wrong
            with single rows is in ``problems``.
    """
    columns = reading.columns
    dates = DateReader(reading.date_formats)
    table = read_table(path, reading.encoding, {*columns.values(), *reading.label_columns})
    split_by = reading.split_by or ("given" if columns["split"] in table.columns else "group")
    needed = {"id", "labels", "group"} | {"given": {"split"}, "group": set(), "date": {"date"}}[split_by]
    unread = check_columns(path, table.columns, columns, reading.label_columns, needed)
    _require_used(path, table, reading)
    manifest = Manifest(path, reading, split_by, unread, table.blank)
    if not table.rows and not table.problems:
        raise DataError(f"{path}: no row; write one for each image or text")
    if not images.is_dir():
        raise DataError(f"{images}: no such folder of images; correct --images")
    labels = label_rules(path, table, reading)
    rows = RowReader(manifest, images, dates, labels)
    for row in table.rows:
        rows.read(row)
    manifest.problems += table.problems
    if split_by == "date":
        dated = {candidate.group for candidate in manifest.candidates.values() if candidate.date is not None}
        for number in [row for row, candidate in manifest.candidates.items() if candidate.group not in dated]:
            fix = "--split-by date needs a date in at least one row of each group"
            manifest.reject(Problem(number, "no date", fix))
    hints = look_at_labels(manifest, table, labels) if reading.columns_of_labels else []
    if rows.unread_dates:
        hints.append(date_hint(rows.unread_dates))
    if rows.shared_images:
        first = min(rows.shared_images, key=lambda text: "splits" not in text)
        hints.append(
            f"{len(rows.shared_images):,} rows show an image file that a row of another group shows too, such as "
            f"{first}; in two splits it is a leak that raises every number: give all rows of an image one group"
        )
    if unused := [name for name in reading.split_names if name not in rows.split_names]:
        hints.append(f"no row has the split {unused[0]!r}, which --split-names names; correct it")
    if rows.spelled:
        hints.append(
            f"{len(rows.spelled):,} rows spell their group almost as an earlier row does, the first: "
            f"{rows.spelled[0]}; they count as different groups: spell them alike if they are one patient"
        )
    manifest.hints = [f"{path}: {hint}" for hint in hints]
    return manifest


def _require_used(path: Path, table: Table, reading: Reading) -> None:
    """Refuse options about a column that the table does not have: it may have another name."""
    options: dict[str, tuple[str, object]] = {
        "split": ("--split-names", reading.split_names),
        "date": ("--date-format", reading.date_formats),
    }
    for field, (option, value) in options.items():
        column = reading.columns[field]
        if value and column not in table.columns:
            listed = ", ".join(map(repr, table.columns))
            raise DataError(
                f"{path}, row 1: {option} needs a column {column!r} (has {listed}); add it, or name another by "
                f"--{field}-column"
            )


def label_rules(path: Path, table: Table, reading: Reading) -> LabelRules:
    """Decide which columns of labels say whether one finding is there, and refuse those that hold other numbers."""
    findings = set()
    several = bool(reading.label_columns)
    for column in reading.columns_of_labels:
        cells = table.cells(column)
        is_finding = says_whether(cells, one_of_several=several)
        if is_finding and several:
            findings.add(column)
        elif is_numeric(cells) or (is_finding and not all(map(is_missing, cells))):
            row, cell = next((row, cell) for row, cell in zip(table.rows, cells, strict=True) if not is_missing(cell))
            raise DataError(
                f"{path}, column {column!r}: numbers, or yes and no, in place of labels ({shortened(cell)} in row "
                f"{row.number}); if 1, 0 and -1 say whether a finding is there pass --label-columns with all such "
                "columns, else write words, such as 'class 3'"
            )
    return LabelRules(reading.label_separator, frozenset(findings), reading.uncertain_is_present, reading.normal_labels)


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
    columns = ", ".join(map(repr, reading.columns_of_labels))
    complete = labels and not manifest.problems  # otherwise the bad rows come first
    if complete and not any(labels.values()):
        raise DataError(
            f"{manifest.path}: no row has a label in {columns}; fill it in, read others by --labels-column or "
            "--label-columns, or pass --no-labels to train with --model.supervision pairs (no item is then relevant to "
            "another, and mAP is undefined)"
        )
    if complete and reading.normal_labels and not any(reading.normal_label in names for names in labels.values()):
        near = near_labels(reading.normal_labels, chain(*labels.values()))
        there = f", there is {', '.join(map(repr, near))}" if near else ""
        names = " or ".join(map(repr, reading.normal_labels))
        raise DataError(f"{manifest.path}: no row has the label {names} in {columns}{there}; correct --normal-label")
    traits, hints = label_traits(labels, reading.normal_label)
    for row, held in traits.items():
        manifest.traits.setdefault(row, []).extend(held)
    words: dict[str, Sequence[object]] = {
        column: table.cells(column) for column in reading.columns_of_labels if column not in rules.findings
    }
    more = (shared_words(words), separator_hint(words, rules), few_words(words) if reading.label_columns else None)
    return hints + [hint for hint in more if hint]


def verify_images(manifest: Manifest, console: Console, value_range: ValueRange | None = None) -> None:
    """Decode the image of each candidate on every core; rows whose image does not decode become problems."""
    rows: dict[Path, list[int]] = {}
    for row, candidate in manifest.candidates.items():
        if candidate.image is not None:
            rows.setdefault(candidate.image, []).append(row)
    checks = zip(rows, check_images(rows, value_range), strict=True)
    for path, check in track(checks, "Checking images", total=len(rows), console=console):
        if isinstance(check, Unusable):
            detail = f"{path.name}: {check.detail}" if check.detail else path.name
            for row in rows[path]:
                manifest.reject(Problem(row, check.reason, FIXES[check.reason], detail))


def _key(label: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKC", label).casefold() if not c.isspace() and c not in "-_")


def _like_normal(label: str) -> bool:
    key = _key(label)
    # As close as a lost letter; "abnormal" is not.
    typo = not key.startswith("ab") and get_close_matches(key, ("normal", "nofinding"), n=1, cutoff=0.9)
    return bool(_NORMAL.fullmatch(key) or typo)


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
    several = {label for same in alike for label in same}
    normals = sorted(label for label in counts if label != normal and _like_normal(label))
    findings = [same for same in alike if not {normal, *normals}.issuperset(same)]  # for normals there is an option
    states = sorted(label for label in counts if read_state(label) is not None)
    traits: dict[int, list[str]] = {}
    for row, names in labels.items():
        found = {
            SPELLED_ALIKE: not several.isdisjoint(names),
            LIKE_NORMAL: not set(normals).isdisjoint(names),
            STATE: not set(states).isdisjoint(names),
            NORMAL_WITH_OTHERS: normal in names and len(names) > 1,
        }
        if held := [trait for trait, holds in found.items() if holds]:
            traits[row] = held
    hints = [
        f"labels {_counted(same, counts)} differ by case, blanks, - or _ only and count as different; write them alike"
        for same in findings[:_EXAMPLES]
    ]
    if len(findings) > _EXAMPLES:
        hints.append(f"... and {len(findings) - _EXAMPLES:,} more labels are spelled in several ways")
    if normals:
        names = " ".join(f'"{label}"' for label in ([normal] if normal in counts else []) + normals)
        hints.append(
            f"{_counted(normals, counts)} may name the normal label; for now only {normal!r} does. If they do, pass "
            f"--normal-label {names}"
        )
    if states:
        hints.append(
            f"labels {_counted(states[:_EXAMPLES], counts)} say that something is there, and not what; write words, "
            "such as 'class 1', or pass --label-columns with columns of one finding each"
        )
    mixed = [row for row, held in traits.items() if NORMAL_WITH_OTHERS in held]
    if mixed:
        hints.append(
            f"{len(mixed):,} rows have the normal label {normal!r} together with another, the first is row "
            f"{min(mixed)}; correct them, or leave it so if the normal label does not rule out the others"
        )
    return traits, hints


def _counted(labels: Iterable[str], counts: Mapping[str, int]) -> str:
    return ", ".join(f"{label!r} (on {counts[label]:,})" for label in labels)


def near_labels(names: Iterable[str], labels: Iterable[str]) -> list[str]:
    """Return the labels that are, or may be meant by, names of the normal label that no row has."""
    keys = {_key(name) for name in names}
    return sorted({label for label in labels if _key(label) in keys or _like_normal(label)})


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
                    f"{word!r} stands in the columns {first[word]!r} and {column!r} and is one label; if it says how "
                    "much of each there is, write the finding with it"
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
                f"the column {column!r} holds {_counted(sorted(counts), counts)} and nothing else, each of which is a "
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
        return (
            f"{count:,} cells of labels hold {other!r} and are not split there; if that separates labels pass "
            f"--label-separator {other!r}, and write one separator in all rows"
        )
    return None
