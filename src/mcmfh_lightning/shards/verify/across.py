"""Checks that compare every item with all others: unique ids, and nothing on both sides of a split.

What is remembered of every item, to compare it with all others: its id and 40 bytes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcmfh_lightning.shards import SPLITS
from mcmfh_lightning.shards.verify.report import GROUP_NAMES, GROUPS, IDS, SAME_PICTURES, SAME_TEXTS, Report


@dataclass(frozen=True)
class Items:
    """n items, in the order of their shards.

    Attributes:
        ids: n ids.
        shards: n names of shards.
        splits: (n,) positions in `SPLITS`.
        groups: (n,) int64.
        group_names: n names of the groups.
        pictures: (n,) int64, equal for equal pictures; 0 where there is none to compare.
        texts: (n,) int64 `text_hash`; 0 where there is none to compare.
    """

    ids: Sequence[str]
    shards: Sequence[str]
    splits: NDArray[np.int64]
    groups: NDArray[np.int64]
    group_names: Sequence[str]
    pictures: NDArray[np.int64]
    texts: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        split: int,
        ids: Sequence[str],
        shard: str,
        groups: Sequence[int] | NDArray[np.int64],
        group_names: Sequence[str],
        pictures: Sequence[int] | NDArray[np.int64],
        texts: Sequence[int] | NDArray[np.int64],
    ) -> "Items":
        """Make the items of one shard."""
        splits, groups, pictures, texts = (
            np.asarray(column, dtype=np.int64) for column in ([split] * len(ids), groups, pictures, texts)
        )
        return cls(ids, [shard] * len(ids), splits, groups, group_names, pictures, texts)

    def place(self, row: int) -> str:
        """Name shard and id of an item."""
        return f"{self.shards[row]} {self.ids[row]}"

    @classmethod
    def join(cls, parts: Sequence["Items"]) -> "Items":
        """Put the items of all shards together."""
        if not parts:
            return cls.of(0, [], "", [], [], [], [])
        return cls(
            [one for part in parts for one in part.ids],
            [shard for part in parts for shard in part.shards],
            np.concatenate([part.splits for part in parts]),
            np.concatenate([part.groups for part in parts]),
            [name for part in parts for name in part.group_names],
            np.concatenate([part.pictures for part in parts]),
            np.concatenate([part.texts for part in parts]),
        )


def check_across(items: Items, report: Report) -> None:
    """Run all of them."""
    _check_ids(items, report)
    _check_group_names(items, report)
    _check_groups(items, report)
    _check_pictures(items, report)
    _check_texts(items, report)


def _check_ids(items: Items, report: Report) -> None:
    report.look(IDS, len(items.ids))
    first: dict[str, int] = {}
    for row, name in enumerate(items.ids):
        if first.setdefault(name, row) != row:
            report.find(IDS, f"{items.place(first[name])} and {items.place(row)}")


def _check_group_names(items: Items, report: Report) -> None:
    numbers: dict[str, int] = {}  # the first row that has a name
    names: dict[int, int] = {}  # the first row that has a number
    for row, (name, number) in enumerate(zip(items.group_names, items.groups.tolist(), strict=True)):
        first, other = numbers.setdefault(name, row), names.setdefault(number, row)
        if items.groups[first] != number:
            two = f"group {name!r} has the numbers {items.groups[first]} and {number}"
            report.find(GROUP_NAMES, f"{two}: {items.place(first)} and {items.place(row)}")
        if items.group_names[other] != name:
            two = f"groups {items.group_names[other]!r} and {name!r} have one number"
            report.find(GROUP_NAMES, f"{two}: {items.place(other)} and {items.place(row)}")
    report.look(GROUP_NAMES, len(numbers))


def _check_groups(items: Items, report: Report) -> None:
    report.look(GROUPS, len(np.unique(items.groups)))
    for _, rows in _in_two_splits(items.groups, items.splits):
        report.find(GROUPS, f"group {items.group_names[rows[0]]}: {_two_places(items, rows)}")


def _check_pictures(items: Items, report: Report) -> None:
    known = items.pictures.nonzero()[0]
    report.look(SAME_PICTURES, len(known))
    for _, rows in _in_two_splits(items.pictures[known], items.splits[known]):
        report.find(SAME_PICTURES, _two_places(items, known[rows]))


def _check_texts(items: Items, report: Report) -> None:
    """Count the items of the evaluation splits whose text is in another split: what a result is made of."""
    known = items.texts.nonzero()[0]
    report.look(SAME_TEXTS, len(known))
    splits, texts = items.splits[known], items.texts[known]
    for number, split in enumerate(SPLITS[1:], start=1):
        ours = splits == number
        shared = np.isin(texts[ours], texts[~ours])
        if shared.any():
            count, all_of_split = int(shared.sum()), int(ours.sum())
            mine = known[ours][shared][0]
            other = known[~ours & (texts == items.texts[mine])][0]
            share = f"{split}: {count} of {all_of_split} ({count / all_of_split:.1%})"
            report.find(SAME_TEXTS, f"{share}; {items.place(mine)} and {items.place(other)}", count)


def _in_two_splits(values: NDArray[np.int64], splits: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Each value that occurs in more than one split, with the rows that have it."""
    order = np.lexsort((splits, values))
    for rows in np.split(order, np.flatnonzero(np.diff(values[order])) + 1):
        if len(rows) and splits[rows[0]] != splits[rows[-1]]:
            yield int(values[rows[0]]), rows


def _two_places(items: Items, rows: NDArray[np.int64]) -> str:
    """Name the first of the rows and the first of another split."""
    first = rows[0]
    other = rows[items.splits[rows] != items.splits[first]][0]
    return f"{items.place(first)} and {items.place(other)}"
