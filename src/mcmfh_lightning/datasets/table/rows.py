"""Rows of a manifest: the settings by which they are read, and candidates or problems that they become."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple

from mcmfh_lightning.datasets.collection import Candidate, Collection
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards.info import Split
from mcmfh_lightning.shards.labels import NORMAL

Side = Literal["image", "text"]
SplitBy = Literal["given", "group", "date"]
BadImages = Literal["error", "keep-text"]
BadTexts = Literal["error", "keep-image"]

_NOT_STORED = ("split_by", "source", "licence", "label_prefixes")
_SINCE: Mapping[str, object] = {"prefix_labels": False, "bad_images": "error", "bad_texts": "error", "delimiter": None}
"""Options that earlier versions did not have, and their defaults."""


@dataclass(frozen=True)
class Reading:
    """Settings by which a manifest is read.

    Attributes:
        columns: Name of the column of each field that is read: id, image, text, labels (only where one column holds
            them), group, date, split, source, licence.
        label_columns: Several columns of labels, or none, as the user names them: ``COLUMN`` or ``COLUMN=PREFIX``.
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
        prefix_labels: Whether labels of several columns begin with the name of their column.
        bad_images: What becomes of a row whose image is missing or cannot be used.
        bad_texts: What becomes of a row whose text cannot be used.
        label_prefixes: What labels of a column begin with, where the user names it; see `of_table`.
        delimiter: Character between the fields of a CSV; None takes the comma, and of ``.tsv`` the tab.

    Raises:
        DataError: If the separator is empty, or an option is about several columns of labels and there are none.
    """

    columns: Mapping[str, str]
    label_columns: Sequence[str]
    encoding: str
    label_separator: str
    uncertain_is_present: bool
    normal_labels: Sequence[str]
    date_formats: Sequence[str] = ()
    split_names: Mapping[str, Split] = field(default_factory=dict)
    split_by: SplitBy | None = None
    source: str = ""
    licence: str = ""
    prefix_labels: bool = False
    bad_images: BadImages = "error"
    bad_texts: BadTexts = "error"
    label_prefixes: Mapping[str, str] = field(default_factory=dict)
    delimiter: str | None = None

    def __post_init__(self) -> None:
        if not self.label_separator:
            raise DataError("--label-separator is empty; give one or more characters")
        if self.uncertain_is_present and not self.label_columns:
            raise DataError("--uncertain-is-present is about columns of one finding each: name them by --label-columns")
        if self.prefix_labels and not self.label_columns:
            raise DataError("--prefix-labels is about several columns of labels: name them by --label-columns")

    @property
    def kept_alone(self) -> frozenset[Side]:
        """Sides that are converted although the other side of the row is bad."""
        kept: list[Side] = ["text"] if self.bad_images == "keep-text" else []
        return frozenset([*kept, "image"] if self.bad_texts == "keep-image" else kept)

    def wanted(self) -> set[str]:
        """Return the names of all columns that may be read."""
        parts = [name.split("=") for name in self.label_columns]
        return {*self.columns.values(), *("=".join(part[:end]) for part in parts for end in range(1, len(part) + 1))}

    def of_table(self, found: Sequence[str]) -> "Reading":
        """Take the prefixes apart from the names of columns of labels.

        Args:
            found: Names of the table's columns. One of them may hold ``=``: whole names come first.

        Raises:
            DataError: If a column is named twice.
        """
        prefixes: dict[str, str] = {}
        columns: list[str] = []
        for given in self.label_columns:
            parts = given.split("=")
            ends = [end for end in range(len(parts), 0, -1) if "=".join(parts[:end]) in found] or [1]
            column, prefix = "=".join(parts[: ends[0]]), parts[ends[0] :]
            if column in columns:
                raise DataError(f"--label-columns names {column!r} twice; leave out one of them")
            columns.append(column)
            if prefix:
                prefixes[column] = "=".join(prefix).strip()
        return replace(self, label_columns=columns, label_prefixes=prefixes)

    @property
    def columns_of_labels(self) -> Sequence[str]:
        """Columns that labels are read from."""
        return self.label_columns or [column for field, column in self.columns.items() if field == "labels"]

    def settings(self) -> dict[str, object]:
        """Return what decides the content of the shards, apart from the manifest's own content.

        Options that earlier versions did not have are left out unless they are used: a folder converted by one of these
        versions is still complete.
        """
        settings = {name: value for name, value in vars(self).items() if name not in _NOT_STORED}
        return {name: value for name, value in settings.items() if name not in _SINCE or value != _SINCE[name]}

    @property
    def normal_label(self) -> str:
        """Label that says that nothing was found."""
        return self.normal_labels[0] if self.normal_labels else NORMAL


class Problem(NamedTuple):
    """Something wrong with a row.

    Attributes:
        row: Number of the row.
        reason: What is wrong, as summaries count it.
        fix: What to do about it.
        detail: What exactly is wrong, or nothing.
        column: The column at fault, if one is.
        keeps: The side that could be converted without the one at fault, or nothing.
    """

    row: int
    reason: str
    fix: str
    detail: str = ""
    column: str | None = None
    keeps: Side | None = None

    def line(self, manifest: Path) -> str:
        """Return file, row, column, what is wrong and its fix in one line."""
        column = f", column {self.column!r}" if self.column else ""
        detail = f" ({self.detail})" if self.detail else ""
        return f"{manifest}, row {self.row}{column}: {self.reason}{detail}; {self.fix}"


@dataclass
class Manifest:
    """Manifest that was read.

    Attributes:
        path: The file.
        reading: How it was read.
        split_by: What splits are made of: as asked for, or as the columns suggest.
        unread: Columns that are not read.
        blank: Number of rows that say nothing.
        images: Folder below which all images are.
        candidates: The items, by row.
        ids: The id of each row that has one.
        problems: What is wrong with all other rows.
        halves: What is wrong with one side of rows of which the other side is kept.
        traits: What had to be assumed or may be wrong, by row.
        hints: What may be wrong with all rows.
    """

    path: Path
    reading: Reading
    split_by: SplitBy
    unread: list[str]
    blank: int = 0
    images: Path = Path()
    candidates: dict[int, Candidate] = field(default_factory=dict)
    ids: dict[int, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    halves: list[Problem] = field(default_factory=list)
    traits: dict[int, list[str]] = field(default_factory=dict)
    hints: list[str] = field(default_factory=list)

    def reject(self, problem: Problem) -> None:
        """Turn a candidate into a problem."""
        del self.candidates[problem.row]
        self.problems.append(problem)

    def reject_image(self, row: int, reason: str, fix: str, detail: str) -> None:
        """Turn a candidate whose image cannot be used into a problem, or into its text alone if that is asked for."""
        candidate = self.candidates[row]
        problem = Problem(row, reason, fix, detail, self.reading.columns["image"], "text" if candidate.text else None)
        if problem.keeps not in self.reading.kept_alone:
            self.reject(problem)
        else:
            self.candidates[row] = replace(candidate, image=None)
            self.keep_half(problem)

    def keep_half(self, problem: Problem) -> None:
        """Account for a row of which one side is kept."""
        self.halves.append(problem)
        self.traits.setdefault(problem.row, []).append(f"{problem.keeps} alone: {problem.reason}")

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
