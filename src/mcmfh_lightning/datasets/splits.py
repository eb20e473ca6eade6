"""Splits of a collection into train, val and test: as given, by group or by date, never by single image.

However it is split, all items of a group (study, article, patient) are in one split: two films of one patient are
near-copies, and a query whose twin was trained on measures memory.
"""

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from mcmfh_lightning.datasets.collection import Candidate, Collection
from mcmfh_lightning.datasets.stratify import split_by_label
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.nearest import did_you_mean
from mcmfh_lightning.shards.info import SPLITS, Split

Shares = tuple[int, int, int]
"""Per cent of train, val and test."""


def parse_shares(text: str) -> Shares:
    """Read ``80/10/10``.

    Raises:
        DataError: If it is not three whole numbers that sum to 100.

    >>> parse_shares("70/10/20")
    (70, 10, 20)
    """
    try:
        train, val, test = map(int, text.split("/"))
        return SplitPlan("group", (train, val, test)).shares
    except ValueError as error:
        raise DataError(
            f"--resplit {text!r} does not divide into train, val and test: write three percentages that sum to 100, "
            "such as 80/10/10"
        ) from error


@dataclass(frozen=True)
class SplitPlan:
    """Plan by which a collection is split.

    Attributes:
        by: ``given`` takes the split that each item names, ``group`` draws groups, ``date`` cuts in time.
        shares: Per cent of train, val and test where the split is not given.
        stratify: Whether groups are drawn so that each split has its share of each label.

    Raises:
        ValueError: If splits that are not drawn are to be stratified, a share is negative, there is nothing to train
            on, or the shares do not sum to 100.
    """

    by: Literal["given", "group", "date"]
    shares: Shares = (80, 10, 10)
    stratify: bool = False

    def __post_init__(self) -> None:
        if self.stratify and self.by != "group":
            raise ValueError(f"splits by {self.by} are not drawn, and cannot be stratified")
        if min(self.shares) < 0 or self.shares[0] == 0 or sum(self.shares) != 100:
            shown = "/".join(map(str, self.shares))
            raise ValueError(f"shares {shown}: per cent of train, val and test, such as 80/10/10, that sum to 100")


def assign_splits(collection: Collection, plan: SplitPlan, seed: int) -> list[Candidate]:
    """Give each candidate its split; those that have none are skipped.

    Args:
        collection: Its candidates are split, its account is continued.
        plan: How to split.
        seed: Seed of the split by group.

    Raises:
        DataError: If a given split cuts a group, or no item has a date to split by.
    """
    candidates = collection.candidates
    if plan.by == "given":
        assigned = [candidate for candidate in candidates if candidate.split is not None]
        require_disjoint({c.id: str(c.split) for c in assigned}, {c.id: c.group_name for c in assigned})
    elif plan.by == "group":
        if plan.stratify:
            of_group = split_by_label(candidates, seed, plan.shares)
        else:
            of_group = split_by_group((candidate.group for candidate in candidates), seed, plan.shares)
        assigned = [replace(candidate, split=of_group[candidate.group]) for candidate in candidates]
    else:
        dates: dict[int, str] = {}  # the date of a group is the earliest of its items
        for candidate in candidates:
            if candidate.date is not None:
                dates[candidate.group] = min(candidate.date, dates.get(candidate.group, candidate.date))
        if candidates and not dates:
            raise DataError("--split-by date: no item of the collection has a date; choose another --split-by")
        dated = [candidate for candidate in candidates if candidate.group in dates]
        of_group = split_by_date(dates, Counter(candidate.group for candidate in dated), plan.shares)
        assigned = [replace(candidate, split=of_group[candidate.group]) for candidate in dated]
    kept = {candidate.id for candidate in assigned}
    for candidate in candidates:
        if candidate.id not in kept:
            collection.skip(f"without a {'date' if plan.by == 'date' else 'split'}", candidate.id)
    return assigned


@dataclass(frozen=True)
class SplitRow:
    """Line of a splits CSV: split and ISO date of an image, each None where the file does not say it."""

    split: Split | None
    date: str | None


def read_splits_csv(path: Path) -> dict[str, SplitRow]:
    """Read a CSV with a column ``image_id`` and ``split`` and/or ``study_date``; other columns are not read.

    Args:
        path: The file; dates are ``YYYYMMDD`` or ``YYYY-MM-DD``, empty where unknown.

    Returns:
        The row of each image id.

    Raises:
        DataError: If a column is missing, an image id is listed twice, or a split or date is impossible; with its line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = set(reader.fieldnames or ())
            if "image_id" not in columns or not columns & {"split", "study_date"}:
                raise DataError(f"{path}: needs the columns image_id and split (or study_date), has {sorted(columns)}")
            rows: dict[str, SplitRow] = {}
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                image_id = (row["image_id"] or "").strip()
                if image_id in rows:
                    raise DataError(f"{where}: image id {image_id!r} is listed twice; keep one line per image")
                rows[image_id] = SplitRow(_split(row.get("split"), where), _date(row.get("study_date"), where))
            return rows
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a CSV file ({error})") from error


def _split(text: str | None, where: str) -> Split | None:
    name = (text or "").strip()
    for split in SPLITS:
        if name == split:
            return split
    if name:
        raise DataError(f"{where}: unknown split {name!r}; valid are {', '.join(SPLITS)}{did_you_mean(name, SPLITS)}")
    return None


def _date(text: str | None, where: str) -> str | None:
    digits = (text or "").strip().replace("-", "")
    if not digits:
        return None
    try:
        return datetime.strptime(digits, "%Y%m%d").date().isoformat()
    except ValueError as error:
        raise DataError(f"{where}: {text!r} is not a date like 20111122 or 2011-11-22") from error


def apply_rows(collection: Collection, rows: Mapping[str, SplitRow]) -> Collection:
    """Give each candidate the split and the date of its row; those without a row are skipped."""
    result = collection.copy()
    result.candidates = []
    for candidate in collection.candidates:
        row = rows.get(candidate.id)
        if row is None:
            result.skip("not in the splits CSV", candidate.id)
        else:
            result.candidates.append(replace(candidate, split=row.split, date=row.date))
    return result


def split_by_group(groups: Iterable[int], seed: int, shares: Shares) -> dict[int, Split]:
    """Draw the split of each group from a hash of (seed, group).

    The split of a group depends on its own number only, so a group never moves from test to train when the collection
    grows or when other groups are skipped. The shares hold in expectation.
    """
    splits = {}
    for group in set(groups):
        digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
        splits[group] = _split_at(int.from_bytes(digest[:8], "big") / 2**64, shares)
    return splits


def _split_at(position: float, shares: Shares) -> Split:
    """Return the split at a position in [0, 1) of a collection in the order train, val, test."""
    train, val, _ = shares
    if position < train / 100:
        return "train"
    return "val" if position < (train + val) / 100 else "test"


def split_by_date(date_of: Mapping[int, str], items_of: Mapping[int, int], shares: Shares) -> dict[int, Split]:
    """Cut the collection in time: the oldest items are for training, the latest for the test.

    Args:
        date_of: Date of each group, a string that sorts by time.
        items_of: Number of items of each group.
        shares: Per cent of train, val and test.

    Returns:
        The split of each group. A date is never cut, so every training date is before every validation date, and
        these before every test date.
    """
    items_on: Counter[str] = Counter()
    for group, date in date_of.items():
        items_on[date] += items_of[group]
    split_on: dict[str, Split] = {}
    seen, total = 0, items_on.total()
    for date in sorted(items_on):
        split_on[date] = _split_at((seen + items_on[date] / 2) / total, shares)
        seen += items_on[date]
    return {group: split_on[date] for group, date in date_of.items()}


def require_disjoint(
    split_of: Mapping[str, str], group_of: Mapping[str, int | str], fix: str = "put all items of a group into one split"
) -> None:
    """Refuse a split that puts items of one group into two splits.

    Args:
        split_of: Split of each item.
        group_of: Group of each item, as the message names it.
        fix: What to do about it, for the message.

    Raises:
        DataError: If a group is cut; the message names it, two of its items, and the number of groups that are cut.
    """
    first: dict[int | str, str] = {}
    cut: dict[int | str, str] = {}
    for item, split in split_of.items():
        other = first.setdefault(group_of[item], item)
        if split_of[other] != split:
            cut.setdefault(group_of[item], item)
    if cut:
        group, item = next(iter(cut.items()))
        other = first[group]
        raise DataError(
            f"{len(cut)} of {len(first)} groups (studies, articles, patients) are in two splits, the first is group "
            f"{group}: {other} in {split_of[other]}, {item} in {split_of[item]}; {fix}"
        )
