"""From the rows of a manifest to candidates of a collection, and problems."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from rich.console import Console
from rich.progress import track

from mcmfh_lightning.datamodules.collection import Candidate, Collection
from mcmfh_lightning.datamodules.depth import ValueRange
from mcmfh_lightning.datamodules.images import Unusable, check_images
from mcmfh_lightning.datamodules.manifest.columns import Columns, check_columns
from mcmfh_lightning.datamodules.manifest.problems import (
    DUPLICATE_ID,
    EMPTY,
    GROUP_CUT,
    NO_DATE,
    BadValueError,
    Flaw,
    Problem,
)
from mcmfh_lightning.datamodules.manifest.tables import Row, read_table
from mcmfh_lightning.datamodules.manifest.values import (
    Groups,
    other_separator,
    read_date,
    read_id,
    read_image,
    read_labels,
    read_split,
    read_text,
    read_word,
)
from mcmfh_lightning.datamodules.shards.info import Split
from mcmfh_lightning.datamodules.unusable import FIXES
from mcmfh_lightning.errors import DataError

SplitBy = Literal["given", "group", "date"]

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Reading:
    """How a manifest is to be read.

    Attributes:
        columns: The name of each field.
        encoding: Of CSV and JSON lines.
        label_separator: Between the labels of a string.
        split_by: What the splits will be made of; the columns of the others are not read. None takes the column of
            splits if there is one, and draws groups if not.
        source: Where rows come from that do not say so.
        licence: Of rows that do not say so.
    """

    columns: Columns
    encoding: str
    label_separator: str
    split_by: SplitBy | None
    source: str
    licence: str


@dataclass
class Manifest:
    """A manifest that was read.

    Attributes:
        path: The file.
        split_by: As asked for, or as its columns suggest.
        unread: Columns that are not read.
        candidates: The items, by row.
        ids: The id of each row that has one.
        problems: Those of all other rows.
        hint: What may be wrong with all rows, or None.
    """

    path: Path
    split_by: SplitBy
    unread: list[str]
    candidates: dict[int, Candidate] = field(default_factory=dict)
    ids: dict[int, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    hint: str | None = None

    def collection(self) -> Collection:
        """The good rows as candidates; each bad row is skipped for the first of its problems."""
        collection = Collection(list(self.candidates.values()))
        reasons: dict[int, str] = {}
        for problem in self.problems:
            reasons.setdefault(problem.row, problem.flaw.reason)
        for row, reason in sorted(reasons.items()):
            collection.skip(reason, f"row {row}: {self.ids[row]}" if row in self.ids else f"row {row}")
        collection.read = {
            "rows read": len(self.candidates) + len(reasons),
            "rows that can be used": len(self.candidates),
        }
        return collection


def read_manifest(path: Path, images: Path, reading: Reading) -> Manifest:
    """Read every row, and find all that is wrong with it short of decoding its image.

    Args:
        path: ``.csv``, ``.jsonl`` or ``.parquet``.
        images: the folder below which all images lie.
        reading: names of columns and so on.

    Raises:
        DataError: if the file cannot be read as a whole. What is wrong with single rows is in ``problems``.
    """
    columns = reading.columns
    table = read_table(path, reading.encoding, columns.names.values())
    split_by = reading.split_by or ("given" if columns.split in table.columns else "group")
    needed = {"id", "labels", "group"} | {"given": {"split"}, "group": set(), "date": {"date"}}[split_by]
    manifest = Manifest(path, split_by, check_columns(path, table.columns, columns, needed))
    if not table.rows and not table.problems:
        raise DataError(f"{path}: no row; write one for each image or text")
    if not images.is_dir():
        raise DataError(f"{images}: no such folder of images; correct --images")
    rows = _Rows(manifest, images.resolve(), reading)
    for row in table.rows:
        rows.read(row)
    manifest.problems += table.problems
    if split_by == "date":
        _require_dates(manifest)
    other = other_separator((row.values.get(columns.labels) for row in table.rows), reading.label_separator)
    if other:
        manifest.hint = (
            f"{path}: no labels hold the separator {reading.label_separator!r}, but some hold {other!r}; if that "
            f"separates them pass --label-separator {other!r}"
        )
    return manifest


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


class _Rows:
    """Reads rows one after the other, remembering what later ones must not repeat or contradict."""

    def __init__(self, manifest: Manifest, images: Path, reading: Reading) -> None:
        self._manifest = manifest
        self._images = images
        self._reading = reading
        self._groups = Groups()
        self._row_of_id: dict[str, int] = {}
        self._split_of_group: dict[int, tuple[Split, int]] = {}

    def read(self, row: Row) -> None:
        """Make a row a candidate, or list all that is wrong with it."""
        columns, given = self._reading.columns, self._manifest.split_by == "given"
        problems: list[Problem] = []

        def take(column: str, meaning: Callable[[object], _Value]) -> _Value | None:
            try:
                return meaning(row.values.get(column))
            except BadValueError as error:
                problems.append(Problem(row.number, error.flaw, error.detail, column))
                return None

        def complain(flaw: Flaw, detail: str = "") -> None:
            problems.append(Problem(row.number, flaw, detail))

        name = take(columns.id, read_id)
        image = take(columns.image, lambda value: read_image(value, self._images))
        text = take(columns.text, read_text)
        labels = take(columns.labels, lambda value: read_labels(value, self._reading.label_separator))
        group = take(columns.group, self._groups.read)
        date = take(columns.date, read_date)
        split = take(columns.split, read_split) if given else None
        source = take(columns.source, read_word) or self._reading.source
        licence = take(columns.licence, read_word) or self._reading.licence
        if image is None and text is None and not problems:
            complain(EMPTY)
        if name is not None:
            self._manifest.ids[row.number] = name
            first = self._row_of_id.setdefault(name, row.number)
            if first != row.number:
                complain(DUPLICATE_ID, f"{name!r} is in row {first}")
        if group is not None and split is not None:
            known, first = self._split_of_group.setdefault(group, (split, row.number))
            if known != split:
                complain(GROUP_CUT, f"{row.values[columns.group]!r} is in {split}, and in {known} by row {first}")
        if problems or name is None or labels is None or group is None:
            self._manifest.problems += problems
            return
        self._manifest.candidates[row.number] = Candidate(
            name, image, text, labels, group, source, licence, date, split
        )
