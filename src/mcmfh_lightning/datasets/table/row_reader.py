"""Reader of the rows of a manifest, one after the other."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Collection as Container
from pathlib import Path
from typing import TypeVar

from mcmfh_lightning.datasets.collection import Candidate
from mcmfh_lightning.datasets.table import values
from mcmfh_lightning.datasets.table.files import Row
from mcmfh_lightning.datasets.table.labels import LabelRules
from mcmfh_lightning.datasets.table.references import Group, Groups, ImageFolder, group_key
from mcmfh_lightning.datasets.table.rows import Manifest, Problem, Side
from mcmfh_lightning.datasets.table.values import BadValueError, DateReader, is_missing
from mcmfh_lightning.shards.info import Split

_Value = TypeVar("_Value")


_OTHER_SIDE: Mapping[str, Side] = {"image": "text", "text": "image"}


class _Cells:
    """Cells of one row, what is wrong with them, and what had to be assumed.

    Args:
        row: The row.
        columns: Name of the column of each field that is read.
    """

    def __init__(self, row: Row, columns: Mapping[str, str]) -> None:
        self.problems: list[Problem] = []
        self.traits: list[str] = []
        self._row = row
        self._columns = columns

    def take(self, field: str, meaning: Callable[[object], _Value], named: Container[str] = ()) -> _Value | None:
        """Return what a cell means; None if its field is not read or its value cannot be used."""
        column = self._columns.get(field)
        if column is None:
            return None
        value = self._row.values.get(column)
        missing = is_missing(value) and not (isinstance(value, str) and value.strip() in named)
        if missing and isinstance(value, str) and value.strip():
            self.traits.append(f"a word for a missing value in {column!r}")
        try:
            return meaning(None if missing else value)
        except BadValueError as error:
            keeps = _OTHER_SIDE.get(field)
            self.problems.append(Problem(self._row.number, error.reason, error.fix, error.detail, column, keeps))
            return None

    def complain(self, reason: str, fix: str, detail: str = "") -> None:
        """Note something wrong with the row as a whole."""
        self.problems.append(Problem(self._row.number, reason, fix, detail))


class RowReader:
    """Reader of rows, one after the other, that knows what later rows must not repeat or contradict.

    Args:
        manifest: Takes candidates, problems and traits; says how it is to be read.
        dates: Reader of dates.
        labels: Rules by which cells become labels.

    Attributes:
        unread_dates: Dates that could not be read, by row.
        shared_images: Image files that an earlier row of another group shows.
        split_names: Values of the column of splits.
        spelled: Groups in one split that another group equals up to its spelling.
    """

    def __init__(self, manifest: Manifest, dates: DateReader, labels: LabelRules) -> None:
        self.unread_dates: dict[int, str] = {}
        self.spelled: list[str] = []
        self.shared_images: list[str] = []
        self.split_names: set[str] = set()
        self._manifest = manifest
        self._images = ImageFolder(manifest.images)
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
        cells = _Cells(row, reading.columns)
        name = cells.take("id", values.read_id)
        image = cells.take("image", lambda value: self._images.read(value, cells.traits.append))
        text = cells.take("text", values.read_text)
        labels = self._read_labels(row, cells)
        group = cells.take("group", self._groups.read)
        date = cells.take("date", lambda value: self._read_date(row.number, value, cells.traits.append))
        split: Split | None = None
        if given:
            names = reading.split_names
            split = cells.take("split", lambda value: values.read_split(value, names, cells.traits.append), names)
        self.split_names.add(str(row.values.get(reading.columns.get("split", ""), "")).strip())
        source = cells.take("source", values.read_word) or reading.source
        licence = cells.take("licence", values.read_word) or reading.licence
        if image is None and text is None and not cells.problems:
            cells.complain("neither image nor text", "fill in one of them, or remove the row")
        if name is not None:
            self._manifest.ids[row.number] = name
            first = self._row_of_id.setdefault(name, row.number)
            if first != row.number:
                fix = "give each row an id of its own, or remove one of them"
                cells.complain("duplicate id", fix, f"{name!r} is in row {first}")
        if group is not None and (split is not None or not given):
            self._check_group(row.number, group, split, cells)
            self._check_image(row.number, image, group, split, cells.traits)
        usable = self._settle(cells.problems, {"image": image, "text": text})
        if not usable or name is None or labels is None or group is None:
            return
        self._manifest.traits.setdefault(row.number, []).extend(cells.traits)
        self._manifest.candidates[row.number] = Candidate(
            name, image, text, labels, group.number, source, licence, date, split, group.name
        )

    def _settle(self, problems: Sequence[Problem], sides: Mapping[Side, object]) -> bool:
        """Account for the problems of a row, and decide whether it is converted: whole, or one of its sides."""
        alone = all(problem.keeps is not None and sides[problem.keeps] is not None for problem in problems)
        if alone and all(problem.keeps in self._manifest.reading.kept_alone for problem in problems):
            for problem in problems:
                self._manifest.keep_half(problem)
            return True
        self._manifest.problems += [problem if alone else problem._replace(keeps=None) for problem in problems]
        return False

    def _read_labels(self, row: Row, cells: _Cells) -> tuple[str, ...] | None:
        held = {column: row.values.get(column) for column in self._manifest.reading.columns_of_labels}
        try:
            return self._labels.read(held, cells.traits.append)
        except BadValueError as error:
            cells.problems.append(Problem(row.number, *error.args))
            return None

    def _read_date(self, row: int, value: object, note: Callable[[str], None]) -> str | None:
        """Read a date; one that cannot be read is left out, unless the split needs it."""
        try:
            return self._dates.read(value, note)
        except BadValueError:
            self.unread_dates[row] = str(value)
            if self._manifest.split_by == "date":
                raise
            note("a date that cannot be read, left out")
            return None

    def _check_group(self, row: int, group: Group, split: Split | None, cells: _Cells) -> None:
        """Compare the split and the spelling of a group with those of earlier rows.

        ``P1`` and ``p1`` are two groups: where splits are drawn, each is drawn by itself.
        """
        columns, name = self._manifest.reading.columns, group.name
        if split is not None:
            known, number = self._split_of_group.setdefault(group.number, (split, row))
            if known != split:
                detail = f"{name!r} is in {split}, and in {known} by row {number}"
                cells.complain("group in two splits", "put all rows of a group into one split", detail)
        if columns["group"] == columns["id"]:  # each row stands alone, and ids may differ in case
            return
        first, number, other = self._spelling_of_group.setdefault(group_key(name), (name, row, split))
        if first == name:
            return
        if split is None or split != other:
            cells.complain(
                "group spelled in two ways, which may cut a patient",
                "spell it alike in all rows; if these are two patients, number the groups: 1, 2, 3, ...",
                f"{name!r} here, {first!r} in row {number}",
            )
        else:
            cells.traits.append("a group that another group equals up to case, punctuation, leading zeros or .0")
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
