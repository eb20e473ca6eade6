"""How a manifest is to be read, and what was read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mcmfh_lightning.datamodules.collection import Candidate, Collection
from mcmfh_lightning.datamodules.labels import NORMAL
from mcmfh_lightning.datamodules.manifest.columns import Columns
from mcmfh_lightning.datamodules.manifest.problems import Problem
from mcmfh_lightning.datamodules.shards.info import Split

SplitBy = Literal["given", "group", "date"]


@dataclass(frozen=True)
class Reading:
    """How a manifest is to be read.

    Attributes:
        columns: The name of each field.
        encoding: Of CSV and JSON lines.
        label_separator: Between the labels of a string.
        uncertain_is_present: Whether -1 in a column of one finding counts as present.
        normal_labels: Names of the normal label; all become the first. Without any it is called normal.
        date_formats: Forms of dates that are not ISO.
        split_names: Splits by other names.
        split_by: What the splits will be made of; the columns of the others are not read. None takes the column of
            splits if there is one, and draws groups if not.
        source: Where rows come from that do not say so.
        licence: Of rows that do not say so.
    """

    columns: Columns
    encoding: str
    label_separator: str
    uncertain_is_present: bool
    normal_labels: tuple[str, ...]
    date_formats: tuple[str, ...]
    split_names: Mapping[str, Split]
    split_by: SplitBy | None
    source: str
    licence: str

    @property
    def normal_label(self) -> str:
        """The label that says that nothing was found."""
        return self.normal_labels[0] if self.normal_labels else NORMAL


@dataclass
class Manifest:
    """A manifest that was read.

    Attributes:
        path: The file.
        reading: How it was read.
        split_by: As asked for, or as its columns suggest.
        unread: Columns that are not read.
        blank: Rows that say nothing.
        candidates: The items, by row.
        ids: The id of each row that has one.
        problems: Those of all other rows.
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

    def collection(self) -> Collection:
        """The good rows as candidates; each bad row is skipped for the first of its problems."""
        collection = Collection(
            list(self.candidates.values()),
            normal_label=self.reading.normal_label,
            labelled=bool(self.reading.columns.of_labels),
        )
        reasons: dict[int, str] = {}
        for problem in self.problems:
            reasons.setdefault(problem.row, problem.flaw.reason)
        for row, reason in sorted(reasons.items()):
            collection.skip(reason, f"row {row}: {self.ids[row]}" if row in self.ids else f"row {row}")
        for row in self.candidates:
            for trait in dict.fromkeys(self.traits.get(row, ())):
                collection.note(trait)
        collection.read = {
            "rows read": len(self.candidates) + len(reasons),
            "rows that can be used": len(self.candidates),
        }
        if self.blank:
            collection.read["blank rows"] = self.blank
        return collection
