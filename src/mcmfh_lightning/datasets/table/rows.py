"""Rows of a manifest: the settings by which they are read, and candidates or problems that they become."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Collection as Container
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from mcmfh_lightning.datasets.collection import Candidate, Collection
from mcmfh_lightning.datasets.table import values
from mcmfh_lightning.datasets.table.files import Problem, Row
from mcmfh_lightning.datasets.table.labels import LabelRules
from mcmfh_lightning.datasets.table.references import Group, Groups, ImageFolder, group_key
from mcmfh_lightning.datasets.table.values import BadValueError, DateReader, is_missing
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards.info import Split
from mcmfh_lightning.shards.labels import NORMAL

_Value = TypeVar("_Value")
SplitBy = Literal["given", "group", "date"]


@dataclass(frozen=True)
class Reading:
    """Settings by which a manifest is read.

    Attributes:
        columns: Name of the column of each field: id, image, text, labels (only where one column holds them), group,
            date, split, source, licence.
        label_columns: Several columns of labels, or none.
        encoding: Encoding of CSV and JSON lines.
        label_separator: Separator of the labels of a string.
        uncertain_is_present: Whether -1 in a column of one finding counts as present.
        normal_labels: Names of the normal label; all become the first. Without any it is called normal.
        date_formats: Formats of dates that are not ISO.
        split_names: Splits by other names.
        split_by: What the splits will be made of; the columns of the others are not read. None takes the column of
            splits if there is one, and draws groups if not.
        source: Source of rows that name none.
        licence: License of rows that name none.
        delimiter: Character between the fields of a CSV; None takes the comma, and of ``.tsv`` the tab.

    Raises:
        DataError: If the separator is empty, or there is no column of findings that may be uncertain.
    """

    columns: Mapping[str, str]
    label_columns: Sequence[str]
    encoding: str
    label_separator: str
    uncertain_is_present: bool
    normal_labels: Sequence[str]
    date_formats: Sequence[str]
    split_names: Mapping[str, Split]
    split_by: SplitBy | None
    source: str
    licence: str
    delimiter: str | None = None

    def __post_init__(self) -> None:
        if not self.label_separator:
            raise DataError("--label-separator is empty; give one or more characters")
        if self.uncertain_is_present and not self.label_columns:
            raise DataError("--uncertain-is-present is about columns of one finding each: name them by --label-columns")

    @property
    def columns_of_labels(self) -> Sequence[str]:
        """Columns that labels are read from."""
        return self.label_columns or [column for field, column in self.columns.items() if field == "labels"]

    def settings(self) -> dict[str, object]:
        """Return what decides the content of the shards, apart from the manifest's own content."""
        apart = {"split_by", "source", "licence", *(["delimiter"] if self.delimiter is None else [])}
        return {name: value for name, value in vars(self).items() if name not in apart}

    @property
    def normal_label(self) -> str:
        """Label that says that nothing was found."""
        return self.normal_labels[0] if self.normal_labels else NORMAL


@dataclass
class Manifest:
    """Manifest that was read.

    Attributes:
        path: The file.
        reading: How it was read.
        split_by: What splits are made of: as asked for, or as the columns suggest.
        unread: Columns that are not read.
        blank: Number of rows that say nothing.
        candidates: The items, by row.
        ids: The id of each row that has one.
        problems: What is wrong with all other rows.
        traits: What had to be assumed or may be wrong, by row.
        hints: What may be wrong with all rows.
    """

    path: Path
    reading: Reading
    split_by: SplitBy
    unread: list[str]
    blank: int = 0
    candidates: dict[int, Candidate] = field(default_factory=dict)
    ids: dict[int, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    traits: dict[int, list[str]] = field(default_factory=dict)
    hints: list[str] = field(default_factory=list)

    def reject(self, problem: Problem) -> None:
        """Turn a candidate into a problem."""
        del self.candidates[problem.row]
        self.problems.append(problem)

    def collection(self) -> Collection:
        """Return the good rows as candidates; each bad row is skipped for the first of its problems."""
        collection = Collection(
            list(self.candidates.values()),
            normal_label=self.reading.normal_label,
            labeled=bool(self.reading.columns_of_labels),
        )
        reasons: dict[int, str] = {}
        for problem in self.problems:
            reasons.setdefault(problem.row, problem.reason)
        for row, reason in sorted(reasons.items()):
            collection.skip(reason, f"row {row}: {self.ids[row]}" if row in self.ids else f"row {row}")
        for row in self.candidates:
            for trait in dict.fromkeys(self.traits.get(row, ())):
                collection.note(trait)
        collection.read = {
            "rows read": len(self.candidates) + len(reasons),
            "rows that can be used": len(self.candidates),
            **({"blank rows": self.blank} if self.blank else {}),
        }
        return collection


class RowReader:
    """Reader of rows, one after the other, that knows what later rows must not repeat or contradict.

    Args:
        manifest: Takes candidates, problems and traits; says how it is to be read.
        images: Folder of the images.
        dates: Reader of dates.
        labels: Rules by which cells become labels.

    Attributes:
        unread_dates: Dates that could not be read, by row.
        shared_images: Image files that an earlier row of another group shows.
        split_names: Values of the column of splits.
        spelled: Groups in one split that another group equals up to its spelling.
    """

    def __init__(self, manifest: Manifest, images: Path, dates: DateReader, labels: LabelRules) -> None:
        self.unread_dates: dict[int, str] = {}
        self.spelled: list[str] = []
        self.shared_images: list[str] = []
        self.split_names: set[str] = set()
        self._manifest = manifest
        self._images = ImageFolder(images)
        self._dates = dates
        self._labels = labels
        self._groups = Groups()
        self._row_of_id: dict[str, int] = {}
        self._split_of_group: dict[int, tuple[Split, int]] = {}
        self._use_of_image: dict[Path, tuple[int, int, Split | None]] = {}
        self._spelling_of_group: dict[str, tuple[str, int, Split | None]] = {}

    def read(self, row: Row) -> None:
        """Make a row a candidate, or list all that is wrong with it."""
        reading, given = self._manifest.reading, self._manifest.split_by == "given"
        problems: list[Problem] = []
        traits: list[str] = []

        def take(name: str, meaning: Callable[[object], _Value], named: Container[str] = ()) -> _Value | None:
            column = reading.columns[name]
            value = row.values.get(column)
            missing = is_missing(value) and not (isinstance(value, str) and value.strip() in named)
            if missing and isinstance(value, str) and value.strip():
                traits.append(f"a word for a missing value in {column!r}")
            try:
                return meaning(None if missing else value)
            except BadValueError as error:
                problems.append(Problem(row.number, error.reason, error.fix, error.detail, column))
                return None

        def complain(reason: str, fix: str, detail: str = "") -> None:
            problems.append(Problem(row.number, reason, fix, detail))

        name = take("id", values.read_id)
        image = take("image", lambda value: self._images.read(value, traits.append))
        text = take("text", values.read_text)
        labels = self._read_labels(row, problems, traits)
        group = take("group", self._groups.read)
        date = take("date", lambda value: self._read_date(row.number, value, traits.append))
        names = reading.split_names
        split = take("split", lambda value: values.read_split(value, names, traits.append), names) if given else None
        self.split_names.add(str(row.values.get(reading.columns["split"], "")).strip())
        source = take("source", values.read_word) or reading.source
        licence = take("licence", values.read_word) or reading.licence
        if image is None and text is None and not problems:
            complain("neither image nor text", "fill in one of them, or remove the row")
        if name is not None:
            self._manifest.ids[row.number] = name
            first = self._row_of_id.setdefault(name, row.number)
            if first != row.number:
                fix = "give each row an id of its own, or remove one of them"
                complain("duplicate id", fix, f"{name!r} is in row {first}")
        if group is not None and (split is not None or not given):
            self._check_group(row.number, group, split, complain, traits)
            self._check_image(row.number, image, group, split, traits)
        if problems or name is None or labels is None or group is None:
            self._manifest.problems += problems
            return
        self._manifest.traits[row.number] = traits
        self._manifest.candidates[row.number] = Candidate(
            name, image, text, labels, group.number, source, licence, date, split, group.name
        )

    def _read_labels(self, row: Row, problems: list[Problem], traits: list[str]) -> tuple[str, ...] | None:
        cells = {column: row.values.get(column) for column in self._manifest.reading.columns_of_labels}
        try:
            return self._labels.read(cells, traits.append)
        except BadValueError as error:
            problems.append(Problem(row.number, *error.args))
            return None

    def _read_date(self, row: int, value: object, note: Callable[[str], None]) -> str | None:
        """Read a date; one that cannot be read is left out, unless the split needs it."""
        try:
            return self._dates.read(value, note)
        except BadValueError:
            if self._manifest.split_by == "date":
                raise
            self.unread_dates[row] = str(value)
            note("a date that cannot be read, left out")
            return None

    def _check_group(
        self, row: int, group: Group, split: Split | None, complain: Callable[[str, str, str], None], traits: list[str]
    ) -> None:
        """Compare the split and the spelling of a group with those of earlier rows.

        ``P1`` and ``p1`` are two groups: where splits are drawn, each is drawn by itself.
        """
        columns, name = self._manifest.reading.columns, group.name
        if split is not None:
            known, number = self._split_of_group.setdefault(group.number, (split, row))
            if known != split:
                detail = f"{name!r} is in {split}, and in {known} by row {number}"
                complain("group in two splits", "put all rows of a group into one split", detail)
        if columns["group"] == columns["id"]:  # each row stands alone, and ids may differ in case
            return
        first, number, other = self._spelling_of_group.setdefault(group_key(name), (name, row, split))
        if first == name:
            return
        if split is None or split != other:
            complain(
                "group spelled in two ways, which may cut a patient",
                "spell it alike in all rows; if these are two patients, number the groups: 1, 2, 3, ...",
                f"{name!r} here, {first!r} in row {number}",
            )
        else:
            traits.append("a group that another group equals up to case, punctuation, leading zeros or .0")
            self.spelled.append(f"{name!r} in row {row}, {first!r} in row {number}")

    def _check_image(self, row: int, image: Path | None, group: Group, split: Split | None, traits: list[str]) -> None:
        """Note a picture that two groups show: in two splits, it is a leak."""
        if image is None:
            return
        first, number, other = self._use_of_image.setdefault(image, (group.number, row, split))
        if first != group.number:
            traits.append("an image file that another group shows too")
            splits = f", in the splits {split} and {other}" if split != other else ""
            self.shared_images.append(f"{image.name!r} in row {row} and in row {number}{splits}")
