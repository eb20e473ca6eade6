"""Splits of groups in which each split has its share of each label: iterative stratification.

After Sechidis, Tsoumakas and Vlahavas, "On the Stratification of Multi-Label Data" (2011), with groups in place of
single items. The rarest label comes first, because the others can be balanced later; groups without a label come last
and correct the sizes of the splits.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush

from mcmfh_lightning.datasets.collection import Candidate
from mcmfh_lightning.shards.info import SPLITS, Split

_HALF = 50
"""A label takes part if each split is due half a group of it (in per cent of a group). Rarer labels are left to chance:
the split with the largest share would get all of them, and the test would never ask about a rare finding."""


def split_by_label(candidates: Iterable[Candidate], seed: int, shares: Sequence[int]) -> dict[int, Split]:
    """Draw the split of each group so that each split has its share of each label.

    Other than by `mcmfh_lightning.datasets.splits.split_by_group`, the split of a group depends on all groups: it may
    change when the collection grows.

    Args:
        candidates: The items; all items of a group are put into one split.
        seed: Seed of the order of the groups.
        shares: Per cent of train, val and test.
    """
    return _Draw(candidates, seed, dict(zip(SPLITS, shares, strict=True))).run()


class _Draw:
    """State of one draw: what each split is still due, of each label and of all items."""

    def __init__(self, candidates: Iterable[Candidate], seed: int, shares: dict[Split, int]) -> None:
        self._labels: dict[int, Counter[str]] = {}  # number of items by label, of each group
        self._items: Counter[int] = Counter()
        for item in candidates:
            self._labels.setdefault(item.group, Counter()).update(set(item.labels))
            self._items[item.group] += 1
        self._seed = seed
        self._splits = [split for split, share in shares.items() if share]
        self._order = sorted(self._items, key=self._drawn)
        self._groups: dict[str, list[int]] = {}
        for group in self._order:
            for label in self._labels[group]:
                self._groups.setdefault(label, []).append(group)
        least = min(share for share in shares.values() if share)
        self._groups = {label: held for label, held in self._groups.items() if len(held) * least >= _HALF}
        self._left = {label: sum(self._labels[group][label] for group in held) for label, held in self._groups.items()}
        self._due = {
            label: {split: left * shares[split] / 100 for split in self._splits} for label, left in self._left.items()
        }
        self._due_items = {split: self._items.total() * shares[split] / 100 for split in self._splits}
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
