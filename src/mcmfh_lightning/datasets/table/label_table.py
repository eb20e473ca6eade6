"""Tables of new labels for pairs that exist: ids and labels, read as a manifest is."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mcmfh_lightning.datasets.collection import Candidate
from mcmfh_lightning.datasets.table.files import Row, Table, read_table
from mcmfh_lightning.datasets.table.labels import LabelRules
from mcmfh_lightning.datasets.table.problems import Problem
from mcmfh_lightning.datasets.table.read import label_rules, look_at_labels, refuse_one_column
from mcmfh_lightning.datasets.table.rows import Manifest, Reading
from mcmfh_lightning.datasets.table.values import BadValueError, read_id
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.nearest import did_you_mean, nearest

_MOST_COMPARED = 10_000  # ids, for the nearest one
_FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")
_EXAMPLES = 3


@dataclass
class NewLabels:
    """Labels that a table gives to pairs.

    Attributes:
        path: The table.
        labels: Labels by id, of the pairs that have a row.
        missing: Ids of the pairs that have none.
        unknown: Ids of rows that no pair has.
        hints: What may be wrong with the labels.
    """

    path: Path
    labels: dict[str, tuple[str, ...]]
    missing: list[str]
    unknown: list[str]
    hints: list[str]

    def check_match(self, folder: str, *, allow_missing: bool, allow_unknown: bool) -> None:
        """Refuse ids that do not match.

        Args:
            folder: Name of the folder of the pairs, for the message.
            allow_missing: Whether pairs may be without a row.
            allow_unknown: Whether rows may be of no pair.

        Raises:
            DataError: If there are such pairs or rows, or no pair has a row.
        """
        pairs = len(self.labels) + len(self.missing)
        missing = [] if allow_missing and self.labels else self.missing
        unknown = [] if allow_unknown and self.labels else self.unknown
        complaints, options = [], []
        if missing:
            have = "pair has" if len(missing) == 1 else "pairs have"
            complaints.append(f"{len(missing):,} of the {pairs:,} {have} no row ({_examples(missing)})")
            options.append("--allow-missing (such pairs get no labels)")
        if unknown:
            rows = "row is" if len(unknown) == 1 else "rows are"
            near = nearest(unknown[0], missing[:_MOST_COMPARED], 1)
            hint = f"; the nearest to the first is {near[0]!r}" if near else ""
            complaints.append(f"{len(unknown):,} {rows} of no pair ({_examples(unknown)}{hint})")
            options.append("--allow-unknown (such rows are left out)")
        if complaints:
            fix = f"correct the ids, or pass {' and '.join(options)}"
            if not self.labels:
                fix = "write the ids of the pairs into the table, or name the column that holds them by --id-column"
            raise DataError(f"{self.path} does not fit {folder}: {' and '.join(complaints)}; {fix}")


def read_labels(path: Path, reading: Reading, items: Sequence[Candidate]) -> NewLabels:
    """Read the labels of each row whose id a pair has.

    Args:
        path: ``.csv``, ``.tsv``, ``.jsonl`` or ``.parquet``.
        reading: Names of columns and so on; those of ids and of labels are read.
        items: The pairs.

    Raises:
        DataError: If the file cannot be read, a column is missing, a row is bad or no row has a label; the message
            counts each kind of problem and shows the first.
    """
    if path.suffix.lower() not in _FORMATS:
        raise DataError(f"--labels {path}: tables of labels end in {', '.join(_FORMATS)}; save it as one of these")
    if not path.is_file():
        raise DataError(f"--labels {path}: no such file; correct its name")
    table = read_table(path, reading.encoding, reading.wanted(), reading.delimiter)
    reading = reading.of_table(table.columns)
    _check_columns(path, table, reading)
    if not table.rows and not table.problems:
        raise DataError(f"{path}: no row; write one for each pair, with its id and its labels")
    rules = label_rules(path, table, reading)
    manifest = Manifest(path, reading, "given", unread=[], problems=list(table.problems))
    by_id = {item.id: item for item in items}
    rows: dict[str, int] = {}
    unknown = []
    for row in table.rows:
        try:
            name = _read_id(row, reading.columns["id"], rows)
            if name in by_id:
                labels = _read_row(row, reading, rules)
                manifest.candidates[row.number] = replace(by_id[name], labels=labels)
            else:
                unknown.append(name)
        except BadValueError as error:
            manifest.problems.append(Problem(row.number, error.reason, error.fix, error.detail, error.column))
    _refuse_bad(manifest)
    found = {item.id: item.labels for item in manifest.candidates.values()}
    if found and not any(found.values()):
        columns = ", ".join(map(repr, reading.columns_of_labels))
        raise DataError(
            f"{path}: no row has a label in {columns}; fill it in, or read others by --labels-column or --label-columns"
        )
    hints = look_at_labels(manifest, table, rules) if found else []
    return NewLabels(path, found, sorted(by_id.keys() - found.keys()), unknown, hints)


def _check_columns(path: Path, table: Table, reading: Reading) -> None:
    refuse_one_column(path, table.columns)
    option = "--label-columns" if reading.label_columns else "--labels-column"
    for name, flag in {
        **dict.fromkeys(reading.columns_of_labels, option),
        reading.columns["id"]: "--id-column",
    }.items():
        if name not in table.columns:
            has = ", ".join(map(repr, table.columns))
            near = did_you_mean(name, table.columns) or ";"
            raise DataError(f"{path}, row 1: no column {name!r} (has {has}){near} name the right one by {flag}")
        if table.columns.count(name) > 1:
            raise DataError(f"{path}, row 1: column {name!r} occurs twice; rename or remove one")


def _read_id(row: Row, column: str, rows: dict[str, int]) -> str:
    """Read the id of a row, and note its number in ``rows``."""
    try:
        name = read_id(row.values.get(column))
    except BadValueError as error:
        raise BadValueError(error.reason, error.fix, error.detail, column) from error
    if rows.setdefault(name, row.number) != row.number:
        raise BadValueError("duplicate id", "keep one row for each pair", f"{name!r} is in row {rows[name]}", column)
    return name


def _read_row(row: Row, reading: Reading, rules: LabelRules) -> tuple[str, ...]:
    cells: Mapping[str, object] = {column: row.values.get(column) for column in reading.columns_of_labels}
    return rules.read(cells, lambda note: None)


def _refuse_bad(manifest: Manifest) -> None:
    """Refuse a table with bad rows: each kind with its number, then the first."""
    if not manifest.problems:
        return
    problems = sorted(manifest.problems, key=lambda problem: problem.row)
    kinds = Counter(problem.reason for problem in problems).most_common()
    counts = ", ".join(f"{reason}: {count:,}" for reason, count in kinds)
    rows = len({problem.row for problem in problems})
    bad = f"{rows:,} {'row is' if rows == 1 else 'rows are'} bad"
    raise DataError(
        f"{manifest.path}: {bad} ({counts}), so nothing was written; the first: {problems[0].line(manifest.path)}"
    )


def _examples(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:_EXAMPLES])) + ", ..." * (len(names) > _EXAMPLES)
