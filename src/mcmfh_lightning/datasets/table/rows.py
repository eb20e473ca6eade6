"""From a row of a manifest to a candidate of a collection, or problems."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TypeVar

from mcmfh_lightning.datasets.collection import Candidate
from mcmfh_lightning.datasets.table.files import Row
from mcmfh_lightning.datasets.table.labels import LabelRules
from mcmfh_lightning.datasets.table.paths import ImageFolder
from mcmfh_lightning.datasets.table.problems import (
    DUPLICATE_ID,
    EMPTY,
    GROUP_CUT,
    GROUP_SPELLED,
    BadValueError,
    Flaw,
    Problem,
)
from mcmfh_lightning.datasets.table.reading import Manifest, Reading
from mcmfh_lightning.datasets.table.values import (
    DateReader,
    Group,
    Groups,
    group_key,
    is_missing,
    known_group,
    read_id,
    read_split,
    read_text,
    read_word,
)
from mcmfh_lightning.shards.info import Split

_Value = TypeVar("_Value")


class RowReader:
    """Reads rows one after the other, remembering what later ones must not repeat or contradict.

    Args:
        manifest: Takes candidates, problems and traits.
        images: The folder of images, resolved.
        reading: Names of columns and so on.
        dates: Reads dates.
        labels: Reads labels.

    Attributes:
        unread_dates: Dates that could not be read, by row.
        shared_images: Image files that an earlier row of another group shows.
        split_names: What the rows say in the column of splits.
        spelled: Groups in one split that another group equals up to its spelling.
    """

    def __init__(
        self, manifest: Manifest, images: Path, reading: Reading, dates: DateReader, labels: LabelRules
    ) -> None:
        self.unread_dates: dict[int, str] = {}
        self.spelled: list[str] = []
        self.shared_images: list[str] = []
        self.split_names: set[str] = set()
        self._manifest = manifest
        self._images = ImageFolder(images)
        self._reading = reading
        self._dates = dates
        self._labels = labels
        self._groups = Groups()
        self._row_of_id: dict[str, int] = {}
        self._split_of_group: dict[int, tuple[Split, int]] = {}
        self._use_of_image: dict[Path, tuple[int, int, Split | None]] = {}
        self._spelling_of_group: dict[str, tuple[str, int, Split | None]] = {}

    def read(self, row: Row) -> None:
        """Make a row a candidate, or list all that is wrong with it."""
        columns, given = self._reading.columns, self._manifest.split_by == "given"
        problems: list[Problem] = []
        traits: list[str] = []

        def take(column: str, meaning: Callable[[object], _Value], named: Collection[str] = ()) -> _Value | None:
            value = row.values.get(column)
            missing = is_missing(value) and not (isinstance(value, str) and value.strip() in named)
            if missing and isinstance(value, str) and value.strip():
                traits.append(f"a word for a missing value in {column!r}")
            try:
                return meaning(None if missing else value)
            except BadValueError as error:
                problems.append(Problem(row.number, error.flaw, error.detail, column))
                return None

        def complain(flaw: Flaw, detail: str = "") -> None:
            problems.append(Problem(row.number, flaw, detail))

        name = take(columns.id, read_id)
        image = take(columns.image, lambda value: self._images.read(value, traits.append))
        text = take(columns.text, read_text)
        labels = self._read_labels(row, problems, traits)
        group = take(columns.group, lambda value: self._groups.read(known_group(value)))
        date = take(columns.date, lambda value: self._read_date(row.number, value, traits.append))
        names = self._reading.split_names
        split = take(columns.split, lambda value: read_split(value, names, traits.append), names) if given else None
        self.split_names.add(str(row.values.get(columns.split, "")).strip())
        source = take(columns.source, read_word) or self._reading.source
        licence = take(columns.licence, read_word) or self._reading.licence
        if image is None and text is None and not problems:
            complain(EMPTY)
        if name is not None:
            self._manifest.ids[row.number] = name
            first = self._row_of_id.setdefault(name, row.number)
            if first != row.number:
                complain(DUPLICATE_ID, f"{name!r} is in row {first}")
        if group is not None and (split is not None or not given):
            self._check_group(row, group, split, complain, traits)
            self._check_image(row.number, image, group, split, traits)
        if problems or name is None or labels is None or group is None:
            self._manifest.problems += problems
            return
        self._manifest.traits[row.number] = traits
        self._manifest.candidates[row.number] = Candidate(
            name, image, text, labels, group.number, source, licence, date, split, group.name
        )

    def _read_labels(self, row: Row, problems: list[Problem], traits: list[str]) -> tuple[str, ...] | None:
        cells = {column: row.values.get(column) for column in self._reading.columns.of_labels}
        try:
            return self._labels.read(cells, traits.append)
        except BadValueError as error:
            problems.append(Problem(row.number, error.flaw, error.detail, error.column))
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
        self, row: Row, group: Group, split: Split | None, complain: Callable[[Flaw, str], None], traits: list[str]
    ) -> None:
        """Compare the split and the spelling of a group with those of earlier rows.

        ``P1`` and ``p1`` are two groups: where splits are drawn, each is drawn by itself.
        """
        columns, name = self._reading.columns, group.name
        if split is not None:
            known, number = self._split_of_group.setdefault(group.number, (split, row.number))
            if known != split:
                complain(GROUP_CUT, f"{name!r} is in {split}, and in {known} by row {number}")
        if columns.group == columns.id:  # each row stands alone, and ids may differ in case
            return
        first, number, other = self._spelling_of_group.setdefault(group_key(name), (name, row.number, split))
        if first == name:
            return
        if split is None or split != other:
            complain(GROUP_SPELLED, f"{name!r} here, {first!r} in row {number}")
        else:
            traits.append("a group that another group equals up to case, punctuation, leading zeros or .0")
            self.spelled.append(f"{name!r} in row {row.number}, {first!r} in row {number}")

    def _check_image(self, row: int, image: Path | None, group: Group, split: Split | None, traits: list[str]) -> None:
        """Note a picture that two groups show: in two splits, it is a leak."""
        if image is None:
            return
        first, number, other = self._use_of_image.setdefault(image, (group.number, row, split))
        if first != group.number:
            traits.append("an image file that another group shows too")
            splits = f", in the splits {split} and {other}" if split != other else ""
            self.shared_images.append(f"{image.name!r} in row {row} and in row {number}{splits}")
