"""Looking at everything in an archive."""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from rich.console import Console

from mcmfh_lightning.archive.build import items_bar
from mcmfh_lightning.archive.content import ContentReader
from mcmfh_lightning.archive.encode import item_codes
from mcmfh_lightning.archive.identity import ArchiveInfo, build_archive_encoder, load_archive_hasher
from mcmfh_lightning.archive.location import Location
from mcmfh_lightning.archive.results import Side
from mcmfh_lightning.archive.schema import CODES, RELAXED, code_array, item_schema, relaxed_array
from mcmfh_lightning.archive.source import Source
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.errors import DataError, McmfhError
from mcmfh_lightning.hashers.base import Hasher
from mcmfh_lightning.shards import SPLITS
from mcmfh_lightning.shards.members import check_image_header
from mcmfh_lightning.shards.verify.report import Check, Report

_AGAIN = "delete these items and add them again"
_COPY = "copy the archive again, or build it again"

HASHER = Check("hasher.ckpt is the hasher of archive.json", "failed", _COPY)
COLUMNS = Check("the table has the columns of its format", "failed", _COPY)
IDS = Check(
    "ids are unique and not empty", "failed", "delete these items and add them again: a foreign writer added them"
)
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
KNOWN = Check("splits and dates are what they should be", "failed", "mend the collection, then upsert these items")
CONTENT = Check("content is kept as archive.json says", "failed", _AGAIN)
PICTURES = Check("kept pictures are pictures", "failed", _AGAIN)
RECOMPUTED = Check(
    "codes are those that the hasher computes",
    "failed",
    "the collection was written anew or the table was changed: upsert these items",
)
CHECKS = (
    HASHER,
    COLUMNS,
    IDS,
    PRESENT,
    PADDING,
    RELAXED_CODES,
    CASES,
    GROUPS,
    LABELS,
    KNOWN,
    CONTENT,
    PICTURES,
    RECOMPUTED,
)

_ROWS = 4096
_SAMPLE = 64
"""Items that are encoded again if no shards are given."""
_ROUNDING = 1e-3
"""A bit may differ on another machine where the relaxed code is so near to 0: sums are rounded in another order."""


def verify_archive(location: Location, source: Source | None, console: Console) -> Report:
    """Look at all that can be looked at.

    Args:
        location: Where the archive lies.
        source: Shards whose items are encoded again and compared. Without, a sample of items whose pair shards are at
            hand is, if the encoder is.
        console: For the progress bar.

    Raises:
        DataError: If there is no archive.
    """
    info = ArchiveInfo.load(location)
    table = ItemTable.open(location)
    report = Report(CHECKS)
    hasher = _hasher(location, info, report)
    report.look(COLUMNS)
    schema = item_schema(info.num_bits)
    first_version = schema.remove(schema.get_field_index("group_name"))
    if not any(table.schema.equals(due) for due in (schema, first_version)):
        report.find(COLUMNS, f"not those of {info.num_bits} bits: {', '.join(table.schema.names)}")
        return report
    look = _Look(info, report)
    with items_bar(console) as bar:
        task = bar.add_task("looking", total=len(table))
        for batch in table.batches(schema.names, _ROWS):
            look.at(batch)
            bar.advance(task, len(batch))
    if hasher is not None:
        if source is not None:
            _encode_again(info, table, hasher, source, report)
        else:
            _encode_sample(info, table, hasher, report)
    return report


def _hasher(location: Location, info: ArchiveInfo, report: Report) -> Hasher | None:
    report.look(HASHER)
    try:
        return load_archive_hasher(location, info)
    except McmfhError as error:
        report.find(HASHER, str(error))
        return None


class _Look:
    """Rows, batch by batch."""

    def __init__(self, info: ArchiveInfo, report: Report) -> None:
        self._info = info
        self._report = report
        self._vocabulary = set(info.label_vocabulary)
        self._ids: set[str] = set()
        self._numbers: dict[str, int] = {}
        self._names: dict[int, str] = {}

    def at(self, batch: pa.Table) -> None:
        """Look at some rows."""
        ids: list[str] = batch["id"].to_pylist()
        self._unique(ids)
        present = {side: batch[f"has_{side}"].to_numpy() for side in ("image", "text")}
        valid = {name: pc.is_valid(batch[name]).to_numpy() for name in (*CODES, *RELAXED, "text", "thumbnail")}
        self._tell(PRESENT, ids, ~(present["image"] | present["text"]), "neither image nor text")
        for side, there in present.items():
            self._tell(PRESENT, ids, there != valid[f"{side}_code"], f"its {side} and the code of that")
        self._codes(ids, batch, valid)
        self._cases(ids, batch, present)
        self._groups(ids, batch)
        self._known(ids, batch)
        self._content(ids, batch, present, valid)

    def _unique(self, ids: Sequence[str]) -> None:
        self._report.look(IDS, len(ids))
        for name in ids:
            if name in self._ids or not name:
                self._report.find(IDS, repr(name))
            self._ids.add(name)

    def _codes(self, ids: Sequence[str], batch: pa.Table, valid: dict[str, NDArray[np.bool_]]) -> None:
        bits = self._info.num_bits
        for name, relaxed_name in zip(CODES, RELAXED, strict=True):
            codes = np.unpackbits(code_array(batch[name]), axis=1)
            self._tell(PADDING, ids, (codes[:, bits:] != 0).any(axis=1), name)
            kept = valid[relaxed_name]
            due = valid[name] if self._info.keep_relaxed else np.zeros_like(kept)
            self._tell(RELAXED_CODES, ids, kept != due, f"whether it has {relaxed_name}")
            relaxed = relaxed_array(batch[relaxed_name])
            # Half precision takes a tiny negative number for 0, whose bit would be 1.
            wrong = ((relaxed >= 0) != codes[:, :bits].astype(bool)) & (relaxed != 0)
            wrong |= ~(np.abs(relaxed) <= 1)  # NaN too
            self._tell(RELAXED_CODES, ids, kept & wrong.any(axis=1), relaxed_name)

    def _cases(self, ids: Sequence[str], batch: pa.Table, present: dict[str, NDArray[np.bool_]]) -> None:
        for side, other in (("image", "text"), ("text", "image")):
            single = present[side] & ~present[other]
            differ = (code_array(batch["case_code"]) != code_array(batch[f"{side}_code"])).any(1)
            self._tell(CASES, ids, single & differ, f"an item of {side} alone")

    def _groups(self, ids: Sequence[str], batch: pa.Table) -> None:
        self._report.look(GROUPS, len(ids))
        groups = zip(batch["group_name"].to_pylist(), batch["group"].to_pylist(), strict=True)
        for item, (name, number) in zip(ids, groups, strict=True):
            known = self._names.setdefault(number, name)
            if known != name:
                self._report.find(GROUPS, f"{item}: groups {known!r} and {name!r} have one number")
            elif self._numbers.setdefault(name, number) != number:
                self._report.find(GROUPS, f"{item}: group {name!r} has two numbers")

    def _known(self, ids: Sequence[str], batch: pa.Table) -> None:
        for name, labels in zip(ids, batch["labels"].to_pylist(), strict=True):
            self._report.look(LABELS)
            if len(set(labels)) != len(labels) or not self._vocabulary.issuperset(labels):
                self._report.find(LABELS, f"{name}: {', '.join(labels)}")
        for name, split, day in zip(ids, batch["split"].to_pylist(), batch["date"].to_pylist(), strict=True):
            self._report.look(KNOWN)
            if (split is not None and split not in SPLITS) or not _is_date(day):
                self._report.find(KNOWN, f"{name}: split {split!r}, date {day!r}")

    def _content(
        self,
        ids: Sequence[str],
        batch: pa.Table,
        present: dict[str, NDArray[np.bool_]],
        valid: dict[str, NDArray[np.bool_]],
    ) -> None:
        for column, side in (("text", "text"), ("thumbnail", "image")):
            due = present[side] & self._info.store_content
            self._tell(CONTENT, ids, due != valid[column], f"whether its {column} is kept")
        for name, picture in zip(ids, batch["thumbnail"].to_pylist(), strict=True):
            if picture is not None:
                self._report.look(PICTURES)
                try:
                    check_image_header(picture)
                except DataError as error:
                    self._report.find(PICTURES, f"{name}: {error}")

    def _tell(self, check: Check, ids: Sequence[str], wrong: NDArray[np.bool_], what: str) -> None:
        self._report.look(check, len(ids))
        for row in np.flatnonzero(wrong).tolist():
            self._report.find(check, f"{ids[row]}: {what}")


def _is_date(text: str | None) -> bool:
    try:
        return text is None or date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _encode_sample(info: ArchiveInfo, table: ItemTable, hasher: Hasher, report: Report) -> None:
    """Items evenly spread over those whose collection is at hand, through the encoder."""
    known = table.select(["id", "folder"], where="folder IS NOT NULL")
    folders = pc.unique(known["folder"]).to_pylist() if len(known) else []
    at_hand = [folder for folder in folders if ContentReader.at_hand(folder) is not None]
    for folder in at_hand:
        ids = known.filter(pc.equal(known["folder"], folder))["id"].to_pylist()
        few = set(ids[:: max(1, len(ids) * len(at_hand) // _SAMPLE)])
        try:
            source = Source.of(None, folder)
            _encode_again(info, table, hasher, source, report, few)
        except McmfhError as error:
            report.look(RECOMPUTED)
            report.find(RECOMPUTED, str(error))


def _encode_again(
    info: ArchiveInfo, table: ItemTable, hasher: Hasher, source: Source, report: Report, few: set[str] | None = None
) -> None:
    """Compare the codes of items with what they are computed to be now.

    Raises:
        CheckpointError: If the features are of another encoder.
    """
    source.check_encoder(info.encoder)
    stored = table.select(["id", "has_image", "has_text", *CODES])
    places = {name: row for row, name in enumerate(stored["id"].to_pylist())}
    wanted = [row for row, name in enumerate(source.ids) if name in places and (few is None or name in few)]
    if not wanted:
        return
    encoder = build_archive_encoder(info) if source.features is None else None
    for batch in source.batches(np.array(wanted), encoder, "cpu"):
        ids = [source.ids[row] for row in batch["index"].tolist()]
        rows = stored.take(pa.array([places[name] for name in ids]))
        for side, wrong in _differing(rows, item_codes(hasher, batch), batch["present"].numpy(), info.num_bits):
            report.look(RECOMPUTED, len(ids))
            for row in np.flatnonzero(wrong).tolist():
                report.find(RECOMPUTED, f"{ids[row]}: {side}_code")


def _differing(
    rows: pa.Table, codes: dict[Side, Any], present: NDArray[np.bool_], num_bits: int
) -> Iterator[tuple[Side, NDArray[np.bool_]]]:
    """Which items have another code than the one that was computed, side by side."""
    there = {"image": present[:, 0], "text": present[:, 1], "case": np.ones(len(rows), dtype=np.bool_)}
    for side, computed in codes.items():
        relaxed = computed.numpy()
        bits = np.unpackbits(code_array(rows[f"{side}_code"]), axis=1)[:, :num_bits].astype(bool)
        wrong = ((bits != (relaxed >= 0)) & (np.abs(relaxed) > _ROUNDING)).any(1)
        yield side, there[side] & wrong
