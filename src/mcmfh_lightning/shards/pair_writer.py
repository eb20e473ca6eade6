"""Write pair shards, so that an interrupted run can go on where it stopped."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.files import atomic_write, read_json, sha256_of, write_json
from mcmfh_lightning.shards.info import (
    DATASET_FILE,
    FORMAT_VERSION,
    DatasetInfo,
    ShardInfo,
    SplitInfo,
    check_split,
    shard_name,
)
from mcmfh_lightning.shards.members import encode_json
from mcmfh_lightning.shards.packing import place_checksum
from mcmfh_lightning.shards.pair import Pair, pair_to_members
from mcmfh_lightning.shards.tar import ShardWriter, index_tar, record_key

PROGRESS_FILE = "progress.json"
"""Lists the shards of an unfinished folder; gone once ``dataset.json`` is there."""

SKIPPED_FILE = "skipped.csv"
"""Lists every item that was left out, with the reason; there is none if nothing was."""

MAX_SKIPPED_EXAMPLES = 20


class PairShardWriter:
    """Write a folder of pair shards, whole shards at a time.

    A shard takes its name only when complete, ``dataset.json`` is written last, and equal pairs give equal bytes. A run
    that was interrupted, even killed, goes on from its last whole shard when started again with the same settings: ask
    `resume_from` how many pairs of a split to leave out. Skipped items are reported anew by every run.

    Pairs must come split by split, in an order that does not change from run to run.

    Args:
        folder: Where to write; made if it does not exist.
        name: Short name of the collection.
        source: Where it comes from.
        licence: Its licence.
        settings: What decides the content of the folder, as plain JSON; another value is another data set.
        label_vocabulary: The labels, in the order of their bits.
        normal_label: The label that says "nothing found", or None.
        pairs_per_shard: Pairs of a whole shard.

    Raises:
        DataError: If the folder holds a finished data set, or an unfinished one of other settings.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        name: str,
        source: str,
        licence: str,
        settings: Mapping[str, Any],
        label_vocabulary: Sequence[str],
        normal_label: str | None,
        pairs_per_shard: int = 1024,
    ) -> None:
        if pairs_per_shard < 1:
            raise ValueError(f"pairs_per_shard is {pairs_per_shard}; it must be at least 1")
        self.folder = Path(folder)
        self._info = DatasetInfo(
            format="mcmfh-pairs",
            name=name,
            source=source,
            licence=licence,
            # As it will be read again: a tuple becomes a list.
            settings=json.loads(encode_json(settings)),
            label_vocabulary=tuple(label_vocabulary),
            normal_label=normal_label,
            splits={},
        )
        self._pairs_per_shard = pairs_per_shard
        self._vocabulary = frozenset(label_vocabulary)
        self._shards: dict[str, list[ShardInfo]] = {}
        self._keys: set[str] = set()
        self._skipped: dict[str, list[str]] = {}
        self._open: ShardWriter | None = None
        self._finished: DatasetInfo | None = None
        self._start()
        # A split that already ended in a shard that is not full was complete when the earlier run stopped.
        self._complete = {s for s, shards in self._shards.items() if shards and shards[-1].pairs < pairs_per_shard}

    def resume_from(self, split: str) -> int:
        """Return how many pairs of a split are safely on disk: the caller leaves out that many."""
        check_split(split)
        return sum(shard.pairs for shard in self._shards.get(split, ()))

    def write(self, split: str, pair: Pair) -> None:
        """Append a pair to a split.

        Raises:
            DataError: If the pair cannot be stored as it is, or its id was written before.
            ValueError: If the split is unknown, or was left for another before.
        """
        check_split(split)
        self._enter(split)
        unknown = set(pair.labels) - self._vocabulary
        if unknown:
            raise DataError(
                f"pair {pair.id}: labels {sorted(unknown)} are not in the label vocabulary; add or drop them"
            )
        key = record_key(pair.id)
        if key in self._keys:
            raise DataError(f"pair {pair.id} is written twice: rename one, or leave out what resume_from() counts")
        name = shard_name(split, 0, len(self._shards[split]))
        number = 0 if self._open is None else self._open.records
        members = pair_to_members(pair, place_checksum(name, number, key))
        if self._open is None:
            self._open = ShardWriter(self.folder / name)
        self._open.write(key, members)
        self._keys.add(key)
        if self._open.pairs == self._pairs_per_shard:
            self._finish_shard()

    def skip(self, reason: str, item: str) -> None:
        """Note an item that is left out.

        Args:
            reason: Why, in the words of the summary.
            item: Its id.
        """
        # An id made of a file name may hold bytes that are no characters.
        self._skipped.setdefault(reason, []).append(item.encode("utf-8", "backslashreplace").decode())

    def close(self) -> DatasetInfo:
        """Finish the last shard and write ``skipped.csv`` and ``dataset.json``.

        Raises:
            DataError: If no pair was written.
        """
        if self._finished is not None:
            return self._finished
        self._finish_shard()
        if not self._keys:
            raise DataError(f"no pair to write into {self.folder}: {self._why_empty()}")
        info = replace(
            self._info,
            splits={split: SplitInfo.of(shards) for split, shards in self._shards.items()},
            skipped={reason: len(items) for reason, items in self._skipped.items()},
            skipped_examples={reason: items[:MAX_SKIPPED_EXAMPLES] for reason, items in self._skipped.items()},
        )
        self._write_skipped()
        info.write(self.folder)
        (self.folder / PROGRESS_FILE).unlink()
        self._finished = info
        return info

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        elif self._open is not None:
            self._open.abort()

    def _enter(self, split: str) -> None:
        """Make ``split`` the one that is being written."""
        last = next(reversed(self._shards), None)
        if split in self._shards and split != last:
            raise ValueError(f"pairs of {split} after those of {last}: write split by split")
        if split != last:
            self._finish_shard()
            self._shards[split] = []
        if split in self._complete:
            raise DataError(
                f"{self.folder} already holds {self.resume_from(split)} pairs of {split}, which an earlier run found to"
                " be all of them: the collection has changed since; delete the folder and convert again"
            )

    def _finish_shard(self) -> None:
        if self._open is None:
            return
        split = next(reversed(self._shards))
        self._shards[split].append(self._open.close())
        self._open = None
        self._write_progress()

    def _fingerprint(self) -> dict[str, Any]:
        info = self._info
        return {
            "name": info.name,
            "source": info.source,
            "licence": info.licence,
            "settings": info.settings,
            "label_vocabulary": list(info.label_vocabulary),
            "normal_label": info.normal_label,
            "pairs_per_shard": self._pairs_per_shard,
        }

    def _write_progress(self) -> None:
        shards = {split: [asdict(shard) for shard in shards] for split, shards in self._shards.items()}
        head = {"format": self._info.format, "format_version": FORMAT_VERSION}
        write_json(self.folder / PROGRESS_FILE, {**head, "fingerprint": self._fingerprint(), "shards": shards})

    def _write_skipped(self) -> None:
        if self._skipped:
            table = io.StringIO(newline="")
            rows = csv.writer(table, lineterminator="\n")
            rows.writerow(["reason", "item"])
            rows.writerows((reason, item) for reason, items in self._skipped.items() for item in items)
            with atomic_write(self.folder / SKIPPED_FILE) as stream:
                stream.write(table.getvalue().encode())

    def _start(self) -> None:
        """Make a new folder, or take up an unfinished one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if (self.folder / DATASET_FILE).exists():
            raise DataError(f"{self.folder} holds a finished data set: choose another folder, or delete this one first")
        if (self.folder / PROGRESS_FILE).exists():
            self._take_up()
            return
        foreign = next(self.folder.glob("*.tar"), None)
        if foreign is not None:
            raise DataError(
                f"{foreign} was not written by this command (there is no {PROGRESS_FILE} beside it):"
                " choose another folder, or delete this one first"
            )
        self._write_progress()

    def _take_up(self) -> None:
        path = self.folder / PROGRESS_FILE
        progress = read_json(path)
        if not isinstance(progress, dict) or progress.get("format_version") != FORMAT_VERSION:
            raise DataError(
                f"{path} is of a conversion that another release began, or damaged: delete {self.folder} and convert"
                " again"
            )
        then, now = progress["fingerprint"], self._fingerprint()
        if then != now:
            raise DataError(
                f"{self.folder} holds an unfinished conversion with other settings ({_difference(then, now)}):"
                " repeat those, choose another folder, or delete this one first"
            )
        for split, shards in progress["shards"].items():
            self._shards[split] = [ShardInfo(**shard) for shard in shards]
            for shard in self._shards[split]:
                if sha256_of(shard.check_present(self.folder)) != shard.sha256:
                    raise DataError(
                        f"shard {self.folder / shard.name} was changed: delete the folder and convert again"
                    )
                self._keys.update(index_tar(self.folder / shard.name))

    def _why_empty(self) -> str:
        if not self._skipped:
            return "the collection is empty; check its path"
        return (
            ", ".join(f"{len(items)} skipped: {reason}" for reason, items in self._skipped.items())
            + "; mend these first"
        )


def _difference(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    return "; ".join(f"{key}: {then.get(key)!r} then, {now[key]!r} now" for key in now if then.get(key) != now[key])
