"""Writer of pair shards, which can resume an interrupted run."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from mcmfh_lightning.errors import DataError, check_choice
from mcmfh_lightning.files import atomic_write, read_json, sha256_of, write_json
from mcmfh_lightning.shards.info import FORMAT_VERSION, DatasetInfo, Split, SplitInfo
from mcmfh_lightning.shards.members import encode_json
from mcmfh_lightning.shards.pair import Pair, pair_to_members
from mcmfh_lightning.shards.tar import FolderWriter, index_tar, read_shards, record_key

PROGRESS_FILE = "progress.json"
"""List of the shards of an unfinished folder; removed once ``dataset.json`` is there."""

SKIPPED_FILE = "skipped.csv"
"""List of the items that were left out, with the reason; there is none if nothing was."""

MAX_SKIPPED_EXAMPLES = 20


class PairShardWriter(FolderWriter):
    """Writer of a folder of pair shards, whole shards at a time.

    A shard takes its name only when complete, ``dataset.json`` is written last, and equal pairs give equal bytes. A run
    that was interrupted, even killed, resumes after its last whole shard when started again with the same settings: ask
    `resume_from` how many pairs of a split to leave out. Every run reports all skipped items.

    Pairs must come split by split, in an order that does not change from run to run.

    Args:
        folder: Where to write; made if it does not exist.
        name: Short name of the collection.
        source: Where it comes from.
        licence: Its license.
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
        # As it will be read again: a tuple becomes a list.
        settings = json.loads(encode_json(settings))
        vocabulary = tuple(label_vocabulary)
        self._info = DatasetInfo("mcmfh-pairs", name, source, licence, settings, vocabulary, normal_label, splits={})
        # As plain JSON, to be compared with that of an unfinished folder.
        identity = ("name", "source", "licence", "settings", "label_vocabulary", "normal_label")
        self._fingerprint = {name: getattr(self._info, name) for name in identity}
        self._fingerprint |= {"label_vocabulary": list(vocabulary), "pairs_per_shard": pairs_per_shard}
        super().__init__(folder)
        self._pairs_per_shard = pairs_per_shard
        self._vocabulary = frozenset(vocabulary)
        self._keys: set[str] = set()
        self._skipped: dict[str, list[str]] = {}
        self._finished: DatasetInfo | None = None
        if (self.folder / PROGRESS_FILE).exists():
            self._resume()
        elif foreign := next(self.folder.glob("*.tar"), None):
            raise DataError(
                f"{foreign} was not written by this command (there is no {PROGRESS_FILE} next to it):"
                " choose another folder, or delete this one first"
            )
        else:
            self._write_progress()
        # A split that already ended in a shard that is not full was complete when the earlier run stopped.
        self._complete = {s for s, shards in self._shards.items() if shards and shards[-1].pairs < pairs_per_shard}

    def resume_from(self, split: str) -> int:
        """Return how many pairs of a split are safely on disk: the caller leaves out that many."""
        check_choice("split", split, Split)
        return sum(shard.pairs for shard in self._shards.get(split, ()))

    def write(self, split: str, pair: Pair) -> None:
        """Append a pair to a split.

        Raises:
            DataError: If the pair cannot be stored as it is, or its id was written before.
            ValueError: If the split is unknown, or was left for another before.
        """
        self._enter(split)
        if split in self._complete:
            raise DataError(
                f"{self.folder} already holds {self.resume_from(split)} pairs of {split}, which an earlier run found to"
                " be all of them: the collection has changed since; delete the folder and convert again"
            )
        unknown = set(pair.labels) - self._vocabulary
        if unknown:
            raise DataError(
                f"pair {pair.id}: labels {sorted(unknown)} are not in the label vocabulary; add or drop them"
            )
        key = record_key(pair.id)
        if key in self._keys:
            raise DataError(f"pair {pair.id} is written twice: rename one, or leave out what resume_from() counts")
        self._append(key, pair_to_members(pair, self._place(key)))
        self._keys.add(key)
        if self._open is not None and self._open.pairs == self._pairs_per_shard:
            self._finish_shard()

    def skip(self, reason: str, item: str) -> None:
        """Note an item that is left out.

        Args:
            reason: Why, in the words of the summary.
            item: Its id.
        """
        # An id made of a file name may hold bytes that are not characters.
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
            skipped = ", ".join(f"{len(items)} skipped: {reason}" for reason, items in self._skipped.items())
            why = f"{skipped}; correct these first" if skipped else "the collection is empty; check its path"
            raise DataError(f"no pair to write into {self.folder}: {why}")
        info = replace(
            self._info,
            splits={split: SplitInfo.of(shards) for split, shards in self._shards.items()},
            skipped={reason: len(items) for reason, items in self._skipped.items()},
            skipped_examples={reason: items[:MAX_SKIPPED_EXAMPLES] for reason, items in self._skipped.items()},
        )
        if self._skipped:
            table = io.StringIO(newline="")
            rows = csv.writer(table, lineterminator="\n")
            rows.writerow(["reason", "item"])
            rows.writerows((reason, item) for reason, items in self._skipped.items() for item in items)
            with atomic_write(self.folder / SKIPPED_FILE) as stream:
                stream.write(table.getvalue().encode())
        info.write(self.folder)
        (self.folder / PROGRESS_FILE).unlink()
        self._finished = info
        return info

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        elif self._open is not None:
            self._open.abort()

    def _finish_shard(self) -> None:
        if self._open is not None:
            super()._finish_shard()
            self._write_progress()

    def _write_progress(self) -> None:
        head = {"format": self._info.format, "format_version": FORMAT_VERSION}
        content = {**head, "fingerprint": self._fingerprint, "shards": self._list_shards()}
        write_json(self.folder / PROGRESS_FILE, content)

    def _resume(self) -> None:
        """Take over the shards of an unfinished folder."""
        path = self.folder / PROGRESS_FILE
        progress = read_json(path)
        if not isinstance(progress, dict) or progress.get("format_version") != FORMAT_VERSION:
            raise DataError(
                f"{path} is of a conversion that another release began, or damaged: delete {self.folder} and convert"
                " again"
            )
        then, now = progress["fingerprint"], self._fingerprint
        if then != now:
            other = [name for name in now if then.get(name) != now[name]]
            differences = "; ".join(f"{name}: {then.get(name)!r} then, {now[name]!r} now" for name in other)
            raise DataError(
                f"{self.folder} holds an unfinished conversion with other settings ({differences}):"
                " repeat those, choose another folder, or delete this one first"
            )
        self._shards = read_shards(progress["shards"])
        self._split = next(reversed(self._shards), "")
        for shard in (shard for shards in self._shards.values() for shard in shards):
            shard_path = shard.check_present(self.folder)
            if sha256_of(shard_path) != shard.sha256:
                raise DataError(f"shard {shard_path} was changed: delete the folder and convert again")
            self._keys.update(index_tar(shard_path))
