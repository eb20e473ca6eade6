"""Archives of items made up from a seed, and their rankings item by item in plain Python."""

import shutil
from copy import deepcopy
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow as pa

from mcmfh_lightning.archive import Filters
from mcmfh_lightning.archive.info import ArchiveInfo
from mcmfh_lightning.archive.schema import binary_column, item_schema
from mcmfh_lightning.archive.store import ItemTable

SIDES = ("image", "text", "case")
LABELS = ("Cardiomegaly", "Effusion", "normal")


class Made:
    """Items made up from a seed, with codes that tie, and the archive of them."""

    def __init__(self, folder: Path, seed: int, count: int, num_bits: int, *, keep_relaxed: bool = True) -> None:
        rng = np.random.default_rng(seed)
        # Ids whose order by code point is not the order of the rows, nor that of their numbers.
        self.ids = [f"{'éaZ'[place % 3]}{place}" for place in rng.permutation(count)]
        self.groups = rng.integers(0, max(1, count // 2), count)
        kind = rng.integers(0, 4, count)
        self.has = {"image": kind != 1, "text": kind != 2, "case": np.ones(count, bool)}
        self.labels = [sorted(rng.choice(LABELS, rng.integers(0, 3), replace=False)) for _ in range(count)]
        self.splits = [[None, "train", "test"][number] for number in rng.integers(0, 3, count)]
        few = rng.uniform(-1, 1, (5, num_bits))
        self.relaxed = {
            side: np.clip(few[rng.integers(0, 5, count)] + 0.3 * rng.normal(size=(count, num_bits)), -1, 1).astype("f2")
            for side in SIDES
        }
        self.codes = {side: np.packbits(values >= 0, axis=1) for side, values in self.relaxed.items()}
        self.num_bits = num_bits
        self.folder = folder
        table = ItemTable.create(folder, num_bits)
        rows = self._rows(keep_relaxed)
        for part in (rows.slice(0, count // 2), rows.slice(count // 2)):
            if len(part):
                table.add(part)
        kept = {"store_content": True, "keep_relaxed": keep_relaxed, "value_range": None}
        by = {"uid": uuid4().hex, "created_by": "this test"}
        ArchiveInfo(num_bits, "MadeUp", "0" * 64, {"name": "made up"}, {}, LABELS, **kept, **by).write(folder)

    def copied(self, folder: Path) -> "Made":
        """The same items, and a copy of the archive that a test may change."""
        copy = deepcopy(self)
        copy.folder = Path(shutil.copytree(self.folder, folder))
        return copy

    def _rows(self, keep_relaxed: bool) -> pa.Table:
        count, schema = len(self.ids), item_schema(self.num_bits)
        columns = {
            "id": self.ids,
            "group": self.groups,
            "group_name": [f"P-{group}" for group in self.groups],
            "split": self.splits,
            "has_image": self.has["image"],
            "has_text": self.has["text"],
            "labels": self.labels,
            "date": [None] * count,
            "licence": ["CC0"] * count,
            "source": ["made up"] * count,
            "text": [None] * count,
            "thumbnail": [None] * count,
            "folder": [None] * count,
            "shard": [None] * count,
        }
        for side in SIDES:
            columns[f"{side}_code"] = binary_column(self.codes[side], self.has[side])
            kept = self.has[side] if keep_relaxed else np.zeros(count, bool)
            columns[f"{side}_relaxed"] = binary_column(self.relaxed[side], kept)
        arrays = [
            columns[field.name]
            if isinstance(columns[field.name], pa.Array)
            else pa.array(columns[field.name], field.type)
            for field in schema
        ]
        return pa.table(arrays, schema=schema)

    def distances(self, query: int, modality: str, against: str) -> list[int]:
        """Of an item to all, those that `hamming_distances` of the metric code gives; without torch."""
        return np.bitwise_count(self.codes[modality][query] ^ self.codes[against]).sum(axis=1, dtype=int).tolist()

    def passing(self, query: int, against: str, filters: Filters) -> list[int]:
        """Places of the items that may be found."""
        return [
            place
            for place in range(len(self.ids))
            if self.has[against][place]
            and self.groups[place] != self.groups[query]
            and set(filters.labels) <= set(self.labels[place])
            and (not filters.splits or self.splits[place] in filters.splits)
            and filters.has_text in (None, self.has["text"][place])
        ]

    def cosine(self, query: int, modality: str, against: str, place: int) -> float:
        ours = self.relaxed[modality][query].astype(float)
        theirs = self.relaxed[against][place].astype(float)
        return float(np.dot(ours, theirs) / np.linalg.norm(ours) / np.linalg.norm(theirs))
