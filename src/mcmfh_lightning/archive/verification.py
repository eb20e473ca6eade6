"""Verification of everything in an archive."""

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mcmfh_lightning.archive.deletion import Deleted
from mcmfh_lightning.archive.filters import is_date
from mcmfh_lightning.archive.info import ArchiveInfo, Location
from mcmfh_lightning.archive.model import load_archive_encoder, load_archive_hasher
from mcmfh_lightning.archive.progress import items_bar
from mcmfh_lightning.archive.schema import CodeColumns, code_array, code_columns, item_schema, relaxed_array
from mcmfh_lightning.archive.snapshot import is_at_hand
from mcmfh_lightning.archive.source import Source
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.archive.word_index import WORDS, with_words
from mcmfh_lightning.errors import DataError, McmfhError
from mcmfh_lightning.hashers.base import Hasher
from mcmfh_lightning.hashers.items import item_codes
from mcmfh_lightning.shards import SPLITS
from mcmfh_lightning.shards.members import check_image_header
from mcmfh_lightning.shards.verify.report import Check, Report

_AGAIN = "delete these items, then add them again with --restore-deleted"
_COPY = "copy the archive again, or build it again"

HASHER = Check("hasher.ckpt is the hasher of archive.json", "failed", _COPY)
COLUMNS = Check("the table has the columns of its format", "failed", _COPY)
DELETED = Check(
    "deleted items stay out",
    "failed",
    "a deletion was interrupted, or an earlier release added them again: `mcmfh-archive delete --erase` deletes them, "
    "`mcmfh-archive add --restore-deleted` keeps them",
)
IDS = Check("ids are unique and not empty", "failed", f"{_AGAIN}: another program added them")
PRESENT = Check("items have an image or a text, and a code of each and of no other", "failed", _AGAIN)
PADDING = Check("codes have no bits beyond their length", "failed", _AGAIN)
RELAXED_CODES = Check("codes are the signs of what is kept of them", "failed", _AGAIN)
CASES = Check("the case of an item of one modality is that modality", "failed", _AGAIN)
GROUPS = Check(
    "a group has one name and one number",
    "warning",
    "two groups of one number are left out of each other's results: rename the groups of one collection. If a name is "
    "a number, an earlier release added the item: upsert it",
)
LABELS = Check("labels are in the vocabulary, each once", "failed", _AGAIN)
KNOWN = Check("splits and dates are what they should be", "failed", "fix the collection, then upsert these items")
CONTENT = Check("content is kept as archive.json says", "failed", _AGAIN)
PICTURES = Check("kept pictures are pictures", "failed", _AGAIN)
RECOMPUTED = Check(
    "codes are those that the hasher computes",
    "failed",
    "the collection was written again or the table was changed: upsert these items",
)
CHECKS: tuple[Check, ...] = (HASHER, COLUMNS, IDS, DELETED, PRESENT, PADDING, RELAXED_CODES, CASES)
WORDS_OF_TEXTS = Check(
    "words are those of the texts, as this release reads them",
    "failed",
    "`mcmfh-archive reindex` writes them again: another release wrote them, or a command was interrupted",
)
CHECKS += (GROUPS, LABELS, KNOWN, CONTENT, WORDS_OF_TEXTS, PICTURES, RECOMPUTED)

_ROWS = 4096
_SAMPLE = 64  # items that are encoded again if no shards are given
# A bit may differ on another machine where the relaxed code is so near to 0: sums are rounded in another order.
_ROUNDING = 1e-3


def verify_archive(location: Location, source: Source | None) -> Report:
    """Check everything in an archive.

    Args:
        location: Place of the archive.
        source: Shards whose items are encoded again and compared. Without, this is done for a sample of items whose
            pair shards are on this machine, if the encoder can be built.

    Raises:
        DataError: If there is no archive.
    """
    info = ArchiveInfo.load(location)
    checks = _Checks(location, info, ItemTable.open(location), Deleted.load(location, info.uid))
    checks.check(source)
    return checks.report


class _Checks:
    """Checks of an archive, and what they found."""

    def __init__(self, location: Location, info: ArchiveInfo, table: ItemTable, deleted: Deleted) -> None:
        self.report = Report(CHECKS)
        self._location = location
        self._info = info
        self._table = table
        self._deleted = deleted
        self._columns = code_columns(query_codes=info.query_codes)
        self._ids: set[str] = set()
        self._numbers: dict[str, int] = {}
        self._names: dict[int, str] = {}

    def check(self, source: Source | None) -> None:
        hasher: Hasher | None = None
        self.report.look(HASHER)
        try:
            hasher = load_archive_hasher(self._location, self._info)
        except McmfhError as error:
            self.report.find(HASHER, str(error))
        self.report.look(COLUMNS)
        schema, found = item_schema(self._info.num_bits, query_codes=self._info.query_codes), self._table.schema
        columns = schema.names
        if WORDS in found.names:  # made of the texts
            found, columns = found.remove(found.get_field_index(WORDS)), [*columns, WORDS]
        if not found.equals(schema) and not found.equals(schema.remove(schema.get_field_index("group_name"))):
            self.report.find(COLUMNS, f"not those of {self._info.num_bits} bits: {', '.join(found.names)}")
            return
        with items_bar() as bar:
            task = bar.add_task("checking", total=len(self._table))
            for batch in self._table.batches(columns, _ROWS):
                self._check_rows(batch)
                bar.advance(task, len(batch))
        if hasher is not None and source is not None:
            self._encode_again(hasher, source)
        elif hasher is not None:
            self._encode_sample(hasher)

    def _check_rows(self, batch: pa.Table) -> None:
        ids: list[str] = batch["id"].to_pylist()
        present = {side: batch[f"has_{side}"].to_numpy() for side in ("image", "text")}
        names = [name for one in self._columns for name in (one.codes, one.relaxed)]
        there = {name: pc.is_valid(batch[name]).to_numpy() for name in (*names, "text", "thumbnail")}
        self.report.look(IDS, len(ids))
        for name in ids:
            if name in self._ids or not name:
                self.report.find(IDS, repr(name))
            self._ids.add(name)
        self._find(DELETED, ids, self._deleted.of_items(batch), "was deleted from this archive")
        self._find(PRESENT, ids, ~(present["image"] | present["text"]), "neither image nor text")
        bits = self._info.num_bits
        for one in self._columns:
            if one.side in present:
                self._find(PRESENT, ids, present[one.side] != there[one.codes], f"its {one.side} and {one.codes}")
            codes = self._bits(batch, one)  # (rows, parts, 8 bytes)
            self._find(PADDING, ids, (codes[..., bits:] != 0).any(axis=(1, 2)), one.codes)
            kept = there[one.relaxed]
            due = there[one.codes] if self._info.keep_relaxed else np.zeros_like(kept)
            self._find(RELAXED_CODES, ids, kept != due, f"whether it has {one.relaxed}")
            relaxed = relaxed_array(batch[one.relaxed]).reshape(-1, len(one.parts), bits)
            # Half precision takes a tiny negative number for 0, whose bit would be 1.
            wrong = ((relaxed >= 0) != codes[..., :bits].astype(bool)) & (relaxed != 0)
            wrong |= ~(np.abs(relaxed) <= 1)  # NaN too
            self._find(RELAXED_CODES, ids, kept & wrong.any(axis=(1, 2)), one.relaxed)
        for side, other in (("image", "text"), ("text", "image")):
            differ = (code_array(batch["case_code"]) != code_array(batch[f"{side}_code"])).any(1)
            self._find(CASES, ids, present[side] & ~present[other] & differ, f"an item of {side} alone")
        self._check_groups(ids, batch)
        labels = batch["labels"].to_pylist()
        vocabulary = set(self._info.label_vocabulary)
        odd = [len(set(some)) != len(some) or not vocabulary.issuperset(some) for some in labels]
        self._find(LABELS, ids, odd, map(", ".join, labels))
        known = list(zip(batch["split"].to_pylist(), batch["date"].to_pylist(), strict=True))
        odd = [split not in (None, *SPLITS) or not (day is None or is_date(day)) for split, day in known]
        self._find(KNOWN, ids, odd, (f"split {split!r}, date {day!r}" for split, day in known))
        for column, side in (("text", "text"), ("thumbnail", "image")):
            due = present[side] & self._info.store_content
            self._find(CONTENT, ids, due != there[column], f"whether its {column} is kept")
        self._check_words(ids, batch)
        for name, picture in zip(ids, batch["thumbnail"].to_pylist(), strict=True):
            if picture is not None:
                self.report.look(PICTURES)
                try:
                    check_image_header(picture)
                except DataError as error:
                    self.report.find(PICTURES, f"{name}: {error}")

    def _check_words(self, ids: Sequence[str], batch: pa.Table) -> None:
        if WORDS in batch.schema.names:
            written = with_words(batch.select(["text"]))[WORDS].to_pylist()
            odd = [due != stored for due, stored in zip(written, batch[WORDS].to_pylist(), strict=True)]
            self._find(WORDS_OF_TEXTS, ids, odd, "its words")

    def _bits(self, batch: pa.Table, column: CodeColumns) -> NDArray[np.uint8]:
        """Read the bits of codes, padding included: (rows, parts, 8 bytes)."""
        packed = code_array(batch[column.codes])
        return np.unpackbits(packed.reshape(len(packed), len(column.parts), -1), axis=2)

    def _check_groups(self, ids: Sequence[str], batch: pa.Table) -> None:
        self.report.look(GROUPS, len(ids))
        groups = zip(batch["group_name"].to_pylist(), batch["group"].to_pylist(), strict=True)
        for item, (name, number) in zip(ids, groups, strict=True):
            known = self._names.setdefault(number, name)
            if known != name:
                self.report.find(GROUPS, f"{item}: groups {known!r} and {name!r} have one number")
            elif self._numbers.setdefault(name, number) != number:
                self.report.find(GROUPS, f"{item}: group {name!r} has two numbers")

    def _find(self, check: Check, ids: Sequence[str], wrong: Iterable[bool], what: str | Iterable[str]) -> None:
        """Report the items for which something is wrong."""
        self.report.look(check, len(ids))
        for name, bad, detail in zip(ids, wrong, repeat(what) if isinstance(what, str) else what, strict=False):
            if bad:
                self.report.find(check, f"{name}: {detail}")

    def _encode_sample(self, hasher: Hasher) -> None:
        """Encode items again, evenly spread over those whose collection is on this machine."""
        known = self._table.select(["id", "folder"], where="folder IS NOT NULL")
        folders = [folder for folder in pc.unique(known["folder"]).to_pylist() if is_at_hand(folder)]
        for folder in folders:
            ids = known.filter(pc.equal(known["folder"], folder))["id"].to_pylist()
            few = set(ids[:: max(1, len(ids) * len(folders) // _SAMPLE)])
            try:
                self._encode_again(hasher, Source(None, folder), few)
            except McmfhError as error:
                self.report.look(RECOMPUTED)
                self.report.find(RECOMPUTED, str(error))

    def _encode_again(self, hasher: Hasher, source: Source, few: set[str] | None = None) -> None:
        """Compare the codes of items with what they are computed to be now.

        Raises:
            CheckpointError: If the features are of another encoder.
        """
        source.check_encoder(self._info.encoder)
        stored = self._table.select(["id", "has_image", "has_text", *(one.codes for one in self._columns)])
        places = {name: row for row, name in enumerate(stored["id"].to_pylist())}
        wanted = [row for row, name in enumerate(source.ids) if name in places and (few is None or name in few)]
        if not wanted:
            return
        encoder = load_archive_encoder(self._location, self._info) if source.features is None else None
        for batch in source.batches(np.array(wanted), encoder, "cpu"):
            ids = [source.ids[row] for row in batch["index"].tolist()]
            rows = stored.take(pa.array([places[name] for name in ids]))
            has_image, has_text = batch["present"].numpy().T
            has: dict[str, Any] = {"image": has_image, "text": has_text, "case": True}
            computed = item_codes(hasher, batch)
            for one in self._columns:
                relaxed = np.stack([computed[part].numpy() for part in one.parts], axis=1)  # (rows, parts, bits)
                bits = self._bits(rows, one)[..., : self._info.num_bits].astype(bool)
                wrong = ((bits != (relaxed >= 0)) & (np.abs(relaxed) > _ROUNDING)).any(axis=(1, 2))
                self.report.look(RECOMPUTED, len(ids))
                for row in np.flatnonzero(wrong & has[one.side]).tolist():
                    self.report.find(RECOMPUTED, f"{ids[row]}: {one.codes}")
