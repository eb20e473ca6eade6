"""From the rows of a manifest to candidates of a collection, and problems."""

from collections import Counter
from itertools import chain
from pathlib import Path

from rich.console import Console
from rich.progress import track

from mcmfh_lightning.datamodules.depth import ValueRange
from mcmfh_lightning.datamodules.images import Unusable, check_images
from mcmfh_lightning.datamodules.manifest.columns import check_columns
from mcmfh_lightning.datamodules.manifest.dates import DateReader
from mcmfh_lightning.datamodules.manifest.hints import date_hint, few_words, label_traits, near_labels, shared_words
from mcmfh_lightning.datamodules.manifest.labels import LabelRules, is_numeric, says_whether
from mcmfh_lightning.datamodules.manifest.problems import NO_DATE, Flaw, Problem
from mcmfh_lightning.datamodules.manifest.reading import Manifest, Reading
from mcmfh_lightning.datamodules.manifest.rows import RowReader
from mcmfh_lightning.datamodules.manifest.tables import Table, read_table
from mcmfh_lightning.datamodules.manifest.values import is_missing, shortened
from mcmfh_lightning.datamodules.unusable import FIXES
from mcmfh_lightning.errors import DataError


def read_manifest(path: Path, images: Path, reading: Reading) -> Manifest:
    """Read every row, and find all that is wrong with it short of decoding its image.

    Args:
        path: ``.csv``, ``.jsonl`` or ``.parquet``.
        images: the folder below which all images lie.
        reading: names of columns and so on.

    Raises:
        DataError: If the file cannot be read as a whole, its labels are numbers, or no row has a label. What is wrong
            with single rows is in ``problems``.
    """
    columns = reading.columns
    dates = DateReader(reading.date_formats)
    table = read_table(path, reading.encoding, {*columns.names.values(), *columns.label_columns})
    split_by = reading.split_by or ("given" if columns.split in table.columns else "group")
    needed = {"id", "labels", "group"} | {"given": {"split"}, "group": set(), "date": {"date"}}[split_by]
    unread = check_columns(path, table.columns, columns, needed)
    _require_used(path, table, reading)
    manifest = Manifest(path, reading, split_by, unread, table.blank)
    if not table.rows and not table.problems:
        raise DataError(f"{path}: no row; write one for each image or text")
    if not images.is_dir():
        raise DataError(f"{images}: no such folder of images; correct --images")
    labels = _label_rules(path, table, reading)
    rows = RowReader(manifest, images.resolve(), reading, dates, labels)
    for row in table.rows:
        rows.read(row)
    manifest.problems += table.problems
    if split_by == "date":
        _require_dates(manifest)
    if columns.of_labels:
        _look_at_labels(manifest, table, labels)
    if hint := date_hint(rows.unread_dates):
        manifest.hints.append(f"{path}: {hint}")
    if rows.shared_images:
        first = min(rows.shared_images, key=lambda text: "splits" not in text)
        manifest.hints.append(
            f"{path}: {len(rows.shared_images):,} rows show an image file that a row of another group shows too, such "
            f"as {first}; in two splits it is a leak that raises every number: give all rows of an image one group"
        )
    if unused := [name for name in reading.split_names if name not in rows.split_names]:
        manifest.hints.append(f"{path}: no row has the split {unused[0]!r}, which --split-names names; correct it")
    if rows.spelled:
        manifest.hints.append(
            f"{path}: {len(rows.spelled):,} rows spell their group almost as an earlier row does, the first: "
            f"{rows.spelled[0]}; they count as different groups: spell them alike if they are one patient"
        )
    return manifest


def _require_used(path: Path, table: Table, reading: Reading) -> None:
    """Refuse options about a column that the table does not have: it may have another name."""
    options = {"split": ("--split-names", reading.split_names), "date": ("--date-format", reading.date_formats)}
    for field, (option, value) in options.items():
        column = reading.columns.names[field]
        if value and column not in table.columns:
            listed = ", ".join(map(repr, table.columns))
            raise DataError(
                f"{path}, row 1: {option} needs a column {column!r} (has {listed}); add it, or name another by "
                f"--{field}-column"
            )


def _label_rules(path: Path, table: Table, reading: Reading) -> LabelRules:
    """Decide which columns of labels say whether one finding is there, and refuse those that hold other numbers."""
    findings = set()
    for column in reading.columns.of_labels:
        cells = [row.values.get(column) for row in table.rows]
        several = bool(reading.columns.label_columns)
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


def _look_at_labels(manifest: Manifest, table: Table, rules: LabelRules) -> None:
    """Find what may be wrong with the labels of all rows.

    Args:
        manifest: Takes hints and traits.
        table: Its rows.
        rules: How they were read.

    Raises:
        DataError: If no row has a label, or none has one that was named as the normal label.
    """
    reading = manifest.reading
    labels = {row: candidate.labels for row, candidate in manifest.candidates.items()}
    columns = ", ".join(map(repr, reading.columns.of_labels))
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
    manifest.hints += [f"{manifest.path}: {hint}" for hint in hints]
    words = [column for column in reading.columns.of_labels if column not in rules.findings]
    by_column = {column: [row.values.get(column) for row in table.rows] for column in words}
    if hint := shared_words(by_column):
        manifest.hints.append(f"{manifest.path}: {hint}")
    others = Counter(other for cell in chain(*by_column.values()) if (other := rules.other_separator(cell)))
    for other, count in others.most_common(1):
        manifest.hints.append(
            f"{manifest.path}: {count:,} cells of labels hold {other!r} and are not split there; if that separates "
            f"labels pass --label-separator {other!r}, and write one separator in all rows"
        )
    if reading.columns.label_columns and (hint := few_words(by_column)):
        manifest.hints.append(f"{manifest.path}: {hint}")


def verify_images(manifest: Manifest, console: Console, value_range: ValueRange | None = None) -> None:
    """Decode the image of each candidate in full, on every core; those that do not decode become problems."""
    rows: dict[Path, list[int]] = {}
    for row, candidate in manifest.candidates.items():
        if candidate.image is not None:
            rows.setdefault(candidate.image, []).append(row)
    checks = zip(rows, check_images(rows, value_range), strict=True)
    for path, check in track(checks, "Checking images", total=len(rows), console=console):
        if isinstance(check, Unusable):
            flaw = Flaw(check.reason, FIXES[check.reason])
            _reject(manifest, rows[path], flaw, f"{path.name}: {check.detail}" if check.detail else path.name)


def _reject(manifest: Manifest, rows: list[int], flaw: Flaw, detail: str = "") -> None:
    for row in rows:
        del manifest.candidates[row]
        manifest.problems.append(Problem(row, flaw, detail))


def _require_dates(manifest: Manifest) -> None:
    dated = {candidate.group for candidate in manifest.candidates.values() if candidate.date is not None}
    _reject(manifest, [row for row, c in manifest.candidates.items() if c.group not in dated], NO_DATE)
