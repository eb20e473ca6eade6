"""Splits of a collection into train, val and test: as given, by group or by date, never by single image.

However it is split, all items of a group (study, article, patient) are in one split: two films of one patient are
near-copies, and a query whose twin was trained on measures memory.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush
from typing import Literal

from mcmfh_lightning.datasets.collection import Candidate, Collection
from mcmfh_lightning.errors import DataError
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
            of_group = _LabelDraw(candidates, seed, plan.shares).run()
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


_HALF = 50
"""A label takes part if each split is due half a group of it (in per cent of a group). Rarer labels are left to chance:
the split with the largest share would get all of them, and the test would never ask about a rare finding."""


class _LabelDraw:
    """Draw of the split of each group so that each split has its share of each label.

    After Sechidis, Tsoumakas and Vlahavas, "On the Stratification of Multi-Label Data" (2011), with groups in place of
    single items. The rarest label comes first, because the others can be balanced later; groups without a label come
    last and correct the sizes of the splits.

    Other than by `split_by_group`, the split of a group depends on all groups: it may change when the collection grows.
    The state is what each split is still due, of each label and of all items.

    Args:
        candidates: The items; all items of a group are put into one split.
        seed: Seed of the order of the groups.
        shares: Per cent of train, val and test.
    """

    def __init__(self, candidates: Iterable[Candidate], seed: int, shares: Shares) -> None:
        share_of = {split: share for split, share in zip(SPLITS, shares, strict=True) if share}
        self._labels: dict[int, Counter[str]] = {}  # number of items by label, of each group
        self._items: Counter[int] = Counter()
        for item in candidates:
            self._labels.setdefault(item.group, Counter()).update(set(item.labels))
            self._items[item.group] += 1
        self._seed = seed
        self._splits = list(share_of)
        self._order = sorted(self._items, key=self._drawn)
        self._groups: dict[str, list[int]] = {}
        for group in self._order:
            for label in self._labels[group]:
                self._groups.setdefault(label, []).append(group)
        least = min(share_of.values())
        self._groups = {label: held for label, held in self._groups.items() if len(held) * least >= _HALF}
        self._left = {label: sum(self._labels[group][label] for group in held) for label, held in self._groups.items()}
        self._due = {
            label: {split: left * share / 100 for split, share in share_of.items()}
            for label, left in self._left.items()
        }
        self._due_items = {split: self._items.total() * share / 100 for split, share in share_of.items()}
        self._split_of: dict[int, Split] = {}

    def _drawn(self, *what: object) -> bytes:
        return hashlib.sha256(":".join(map(str, (self._seed, *what))).encode()).digest()

    def run(self) -> dict[int, Split]:
        """Give each group a split."""
        waiting = [(left, label) for label, left in self._left.items()]
        heapify(waiting)
        while waiting:
            left, label = heappop(waiting)
            if left > self._left[label] > 0:  # groups of it were given away with rarer labels
                heappush(waiting, (self._left[label], label))
            elif left == self._left[label]:
                for group in self._groups[label]:
                    if group not in self._split_of:
                        self._give(group, self._due[label])
        for group in self._order:
            if group not in self._split_of:
                self._give(group, self._due_items)
        return self._split_of

    def _give(self, group: int, due: dict[Split, float]) -> None:
        """Put a group into the split that is due the most; between equals, into the one that lacks the most items."""
        split = max(self._splits, key=lambda split: (due[split], self._due_items[split], self._drawn(group, split)))
        self._split_of[group] = split
        self._due_items[split] -= self._items[group]
        for label, count in self._labels[group].items():
            if label in self._due:
                self._due[label][split] -= count
                self._left[label] -= count
